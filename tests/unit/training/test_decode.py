"""The decoder of crops: in order on many threads, restartable, and honest about the disk."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lmdeploy.dataset import Sample, read_labelled
from lmdeploy.errors import DataError, InputError
from lmdeploy.geometry import CropRule, crop_image, crop_matrix, landmark_box
from lmdeploy.images import read_image
from lmdeploy.schema import load_schema
from lmdeploy.types import F64
from training.data import decode

SIZE = 48


@pytest.fixture
def work(toy: Path) -> tuple[list[Sample], F64]:
    """The twelve drawn faces and the matrices of their crops."""
    samples = read_labelled(toy / "labelled", load_schema("ibug68"))
    boxes = [landmark_box(s.points) for s in samples if s.points is not None]
    return samples, np.stack([crop_matrix(box, CropRule(size=SIZE)) for box in boxes])


@pytest.mark.parametrize("threads", [1, 3])
def test_every_crop_lies_at_its_place(threads: int, work: tuple[list[Sample], F64], tmp_path: Path) -> None:
    samples, matrices = work
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    decode.decode(samples, matrices, SIZE, tmp_path / "a.npy")
    torch.set_num_threads(before)
    found = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert found.shape == (12, SIZE, SIZE, 3)
    for sample, matrix, crop in zip(samples, matrices, found, strict=True):
        np.testing.assert_array_equal(crop, crop_image(read_image(sample.path), matrix, SIZE))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


@pytest.mark.parametrize("torn", [0, 1000, -60])
def test_a_killed_call_goes_on_after_its_last_whole_crop(
    torn: int, work: tuple[list[Sample], F64], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, matrices = work
    decode.decode(samples, matrices, SIZE, tmp_path / "whole.npy")
    whole = (tmp_path / "whole.npy").read_bytes()
    header = len(whole) - 12 * SIZE * SIZE * 3
    kept = header + 5 * SIZE * SIZE * 3 + torn if torn >= 0 else header + torn  # within a crop, or in the header
    (tmp_path / ".again.npy.part").write_bytes(whole[:kept])
    read: list[str] = []
    real = decode.read_image
    monkeypatch.setattr(decode, "read_image", lambda path: read.append(path.name) or real(path))
    decode.decode(samples, matrices, SIZE, tmp_path / "again.npy")
    assert (tmp_path / "again.npy").read_bytes() == whole
    assert sorted(read) == sorted(s.path.name for s in samples[5 if torn >= 0 else 0 :])
    assert not (tmp_path / ".again.npy.part").exists()


def test_a_call_that_dies_leaves_no_final_file(
    work: tuple[list[Sample], F64], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, matrices = work
    real = decode.read_image

    def dies(path: Path) -> Any:
        if path == samples[7].path:
            raise KeyboardInterrupt
        return real(path)

    monkeypatch.setattr(decode, "read_image", dies)
    with pytest.raises(KeyboardInterrupt):
        decode.decode(samples, matrices, SIZE, tmp_path / "a.npy")
    assert not (tmp_path / "a.npy").exists()
    monkeypatch.setattr(decode, "read_image", real)
    decode.decode(samples, matrices, SIZE, tmp_path / "a.npy")
    decode.decode(samples, matrices, SIZE, tmp_path / "b.npy")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_broken_images_between_good_ones_are_all_named(work: tuple[list[Sample], F64], tmp_path: Path) -> None:
    samples, matrices = work
    for i in (3, 8):
        path = tmp_path / f"bad{i}.jpg"
        path.write_bytes(b"\xff\xd8 not a picture")
        samples[i] = replace(samples[i], path=path)
    with pytest.raises(DataError, match="2 of 12 images") as caught:
        decode.decode(samples, matrices, SIZE, tmp_path / "a.npy")
    assert [problem.count("bad") for problem in caught.value.problems] == [1, 1]
    assert not list(tmp_path.glob("*a.npy*"))


def test_a_full_disk_is_one_sentence_before_anything_is_decoded(
    work: tuple[list[Sample], F64], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10e6))
    monkeypatch.setattr(decode, "_append", None)
    with pytest.raises(InputError, match=r"take 0\.0 GB, and the disk has 0\.0 GB left: choose another --out"):
        decode.decode(*work, SIZE, tmp_path / "a.npy")
    assert list(tmp_path.iterdir()) == []


def test_two_calls_at_once_are_refused(work: tuple[list[Sample], F64], tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / ".a.npy.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(decode.StillDecodingError, match="another process is decoding"):
            decode.decode(*work, SIZE, tmp_path / "a.npy")
