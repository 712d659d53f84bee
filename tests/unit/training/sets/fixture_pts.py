"""A .pts file as iBUG writes it (300-W, 300-VW)."""

from __future__ import annotations

from pathlib import Path

from lmdeploy.types import Array


def write_pts(path: Path, raw: Array) -> Path:
    """raw: f[K,2] as they stand in the file, 1-based."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "\n".join(f"{x:.6f} {y:.6f}" for x, y in raw)
    path.write_text(f"version: 1\nn_points:  {len(raw)}\n{{\n{rows}\n}}\n", encoding="utf-8")
    return path
