"""benchmarks/drawn_runs.py: cells that run side by side share one decoding of their images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Timer

import pytest

from benchmarks import drawn_runs
from lmdeploy.geometry import CropRule, whole_image_box
from tests.data_folder import random_points, write_labelled


def test_a_cell_waits_while_another_decodes_the_same_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr(drawn_runs, "WAIT_S", 0.05)
    folder = write_labelled(tmp_path / "data", random_points(3))
    samples = [replace(one, box=whole_image_box(100, 100)) for one in drawn_runs.samples_of(folder, "ibug68")]
    rule, cache = CropRule(size=32), tmp_path / "cache"
    made = drawn_runs.crops_of(samples, "ibug68", rule, cache, "a")
    (file,) = cache.glob("*.npy")
    file.unlink()
    other = (cache / f".{file.name}.part").open("wb")
    fcntl.flock(other, fcntl.LOCK_EX)
    Timer(0.3, other.close).start()
    again = drawn_runs.crops_of(samples, "ibug68", rule, cache, "a")
    assert other.closed
    assert (again.images == made.images).all()
