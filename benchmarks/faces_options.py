"""Options that the benchmarks on real faces share."""

from __future__ import annotations

import argparse
from pathlib import Path

YUNET = Path("models") / "face_detection_yunet_2023mar.onnx"  # in the folder of the real data


def options(about: str | None, name: str) -> argparse.ArgumentParser:
    """A parser with --quick, --shared, --seeds, --workers and --out runs/NAME; about: the script's docstring."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="drawn faces, few rows, under 50 s on 2 cores; no record")
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"), help="folder of the real data")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="runs at a time")
    parser.add_argument("--out", type=Path, default=Path("runs") / name)
    return parser
