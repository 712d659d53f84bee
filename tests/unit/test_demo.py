"""The demo: its motion is known, its measure is right, its files are there."""

from __future__ import annotations

import csv
from dataclasses import replace
from math import sqrt
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import lmdeploy.demo as demo
from lmdeploy.errors import InputError, MissingExtraError
from lmdeploy.geometry import scale_of, transform
from lmdeploy.images import read_image
from lmdeploy.types import Box, Landmarks
from lmdeploy.video.file import PyAVVideo
from lmdeploy.video.pipeline import Summary
from tests.blob_video import SHAPE
from tests.tiny_bundle import blob_image, make_tiny_bundle

HW = (600, 512)
PLACE = SHAPE * 2 + np.array([255.0, 215.0])  # where the portrait's face is


@pytest.fixture
def blob_portrait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A portrait whose landmarks the blob network finds, with a box that a stand-in for Haar knows."""
    path = tmp_path / "portrait.png"
    cv2.imwrite(str(path), cv2.cvtColor(blob_image(*HW, PLACE, sigma=7.0), cv2.COLOR_RGB2BGR))
    monkeypatch.setattr(demo, "portrait_path", lambda: path)
    monkeypatch.setattr("lmdeploy.detect.haar.Haar.detect", blob_box)
    return path


def blob_box(_: object, image: np.ndarray) -> list[Box]:
    """The box round everything that is coloured."""
    colour = image.max(axis=2).astype(int) - image.min(axis=2) > 60
    if not colour.any():
        return []
    y, x = np.nonzero(colour)
    return [Box(float(x.min()), float(y.min()), float(x.max()), float(y.max()))]


def test_real_portrait_is_there_and_has_a_face() -> None:
    image = read_image(demo.portrait_path())
    assert image.shape == (600, 512, 3)
    from lmdeploy.detect import open_detector

    (box, *_) = open_detector("haar").detect(image)
    assert abs(box.center[0] - 275) < 60
    assert abs(box.center[1] - 215) < 60


def test_motion_is_a_smooth_similarity_that_returns() -> None:
    steps = [demo.motion(i / 30, HW) for i in range(301)]
    np.testing.assert_allclose(steps[0], steps[300], atol=1e-9)
    for matrix in steps:
        scale = scale_of(matrix)
        np.testing.assert_allclose(matrix[:, :2] @ matrix[:, :2].T, np.eye(2) * scale**2, atol=1e-9)
        assert 0.8 < scale < 3
    places = np.stack([transform(m, PLACE) for m in steps])
    assert np.linalg.norm(np.diff(places, axis=0), axis=2).max() < 25  # px from one frame to the next
    assert (places >= 0).all()
    assert (places < [1280, 720]).all()


def test_picture_moves_as_the_matrix_says() -> None:
    portrait = blob_image(*HW, PLACE, sigma=7.0)
    for index in (0, 17, 140, 260):
        frame = demo.moved(portrait, index / 30).astype(float)
        points = transform(demo.motion(index / 30, HW), PLACE)
        for channel, (x, y) in enumerate(points):
            others = frame[..., [c for c in range(3) if c != channel]].max(axis=2)
            weight = np.clip(frame[..., channel] - others - 30, 0, None)
            rows, columns = np.mgrid[:720, :1280]
            found = (weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()
            np.testing.assert_allclose(found, (x, y), atol=0.5)


def faces_at(truth: np.ndarray, error: np.ndarray) -> list[list[Landmarks]]:
    made = []
    for points, off in zip(truth, error, strict=True):
        ones = np.ones(len(points), np.float32)
        moved = (points + off).astype(np.float32)
        made.append([Landmarks(moved, points.astype(np.float32), ones, ones, Box(0, 0, 1, 1))])
    return made


def test_constant_error_is_error_without_jitter() -> None:
    truth = np.stack([np.array([[0.0, 0.0], [100.0, 100.0]]) + i for i in range(5)])  # size 100
    result = demo.measure(Summary(), faces_at(truth, np.full((5, 1, 2), [3.0, 4.0])), list(truth))
    assert result.error == pytest.approx(5.0, abs=1e-3)
    assert result.jitter == pytest.approx(0.0, abs=1e-3)
    assert (result.error_raw, result.jitter_raw) == (0.0, 0.0)


def test_alternating_error_is_jitter() -> None:
    truth = np.stack([np.array([[0.0, 0.0], [100.0, 100.0]])] * 6)
    error = np.array([[[(-1) ** i * 1.0, 0.0]] for i in range(6)])
    result = demo.measure(Summary(), faces_at(truth, error), list(truth))
    assert result.jitter == pytest.approx(2.0, abs=1e-3)
    assert result.error == pytest.approx(1.0, abs=1e-3)


def test_missed_frames_are_counted_and_nothing_at_all_is_an_error() -> None:
    truth = np.stack([np.array([[0.0, 0.0], [100.0, 100.0]])] * 3)
    faces = faces_at(truth, np.zeros((3, 1, 2)))
    faces[1] = []
    assert demo.measure(Summary(), faces, list(truth)).missed == 1
    with pytest.raises(InputError, match="no face"):
        demo.measure(Summary(), [[], [], []], list(truth))


def test_whole_demo_with_known_landmarks(blob_portrait: Path, tmp_path: Path) -> None:
    model = make_tiny_bundle(tmp_path / "tiny").path
    out = tmp_path / "out"
    result = demo.run_demo(out, str(model), threads=1, seconds=1.0)
    assert sorted(p.name for p in out.iterdir()) == ["demo.mp4", "landmarks.csv", "portrait.mp4", "sheet.png"]
    frames = list(PyAVVideo(out / "demo.mp4", av))
    assert len(frames) == result.summary.frames == 30
    assert frames[0].image.shape == (720, 1280, 3)
    assert read_image(out / "sheet.png").shape == (1080, 2560, 3)
    assert result.missed == 0
    assert 0 < result.error_raw < 1.0  # % of the face's size; measured 0.3: H.264 and the crop's pixels
    with (out / "landmarks.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    size = sqrt(np.prod(np.ptp(PLACE, axis=0)))
    for index, row in enumerate(rows):
        points = np.array([[float(row[f"{a}{k}"]) for a in "xy"] for k in range(3)])
        wanted = transform(demo.motion(index / 30, HW), PLACE)
        assert np.linalg.norm(points - wanted, axis=1).mean() < 0.03 * size * scale_of(demo.motion(index / 30, HW))
    for word in ("frames/s", "network", "error", "jitter"):
        assert word in result.text()


def test_model_that_finds_nothing_is_named(blob_portrait: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(blob_portrait), np.full((600, 512, 3), 90, np.uint8))
    model = make_tiny_bundle(tmp_path / "tiny").path
    with pytest.raises(InputError, match="finds no face in the demo's portrait"):
        demo.run_demo(tmp_path / "out", str(model), threads=1, seconds=1.0)


def test_without_matplotlib_the_install_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.cbook", None)
    with pytest.raises(MissingExtraError, match=r"landmark-deploy\[plots\]"):
        demo.portrait_path()


def test_text_tells_what_was_missed() -> None:
    result = demo.DemoResult(Summary(frames=3), 1.0, 2.0, 0.1, 0.2, 1)
    assert "1 frames without the face" in replace(result, missed=1).text()


def test_a_place_that_takes_no_files_is_told_before_the_video_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is no folder that takes files"):
        demo.run_demo(tmp_path / "file", "no-such-model")
