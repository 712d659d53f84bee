"""benchmarks/memory.py: the peak of the whole command."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import memory
from tests.tiny_bundle import make_tiny_bundle


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_peak_memory_on_720p_video_is_under_350_mb(tmp_path: Path) -> None:
    """The blob network finds no face here, so Haar runs on every frame: the costliest path."""
    bundle = make_tiny_bundle(tmp_path / "tiny", size=128)
    assert memory.peak_mb(str(bundle.path), 1.0) < 350
