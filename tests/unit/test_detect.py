"""Detectors on a real public-domain portrait (it comes with matplotlib) and on the faces beside the checkout."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdeploy.boxes import iou
from lmdeploy.dataset import read_labelled
from lmdeploy.detect import DETECTORS, check_detector, open_detector
from lmdeploy.detect import haar as haar_file
from lmdeploy.detect.base import bounded_size, pixel_block_to_box
from lmdeploy.errors import InputError
from lmdeploy.geometry import landmark_box, whole_image_box
from lmdeploy.images import read_image
from lmdeploy.schema import load_schema
from lmdeploy.types import Box

YUNET = "models/face_detection_yunet_2023mar.onnx"
FACE = Box(178, 168, 356, 333)  # from ear to ear and brows to chin, read off the portrait by eye


@pytest.fixture(scope="module")
def portrait():
    return read_image(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")


@pytest.fixture(params=sorted(set(DETECTORS) - {"whole_image"}))
def detector(request):
    if request.param != "yunet":
        return open_detector(request.param)
    return open_detector("yunet", request.getfixturevalue("shared_data") / YUNET)


def test_the_portrait_s_face_is_found_once(detector, portrait):
    (box,) = detector.detect(portrait)
    assert iou(box, FACE) > 0.5
    assert 0 < box.score <= 1


@pytest.mark.parametrize("scale", [0.5, 1.7, 3.0])
def test_the_box_scales_with_the_picture(detector, portrait, scale):
    """The frame is reduced to a bounded size inside, so the box must come back in the frame's own pixels."""
    size = (round(portrait.shape[1] * scale), round(portrait.shape[0] * scale))
    resized = cv2.resize(portrait, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    (first,), (second,) = detector.detect(portrait), detector.detect(np.asarray(resized, np.uint8))
    back = Box(*[(edge + 0.5) / scale - 0.5 for edge in (second.x0, second.y0, second.x1, second.y1)])
    assert iou(first, back) > 0.8  # measured 0.885 or more; a box left in reduced pixels gives under 0.4


def test_nothing_is_found_where_nothing_is(detector):
    assert detector.detect(np.full((240, 320, 3), 128, np.uint8)) == []
    assert detector.detect(np.zeros((1, 1, 3), np.uint8)) == []


@pytest.mark.data
def test_a_narrow_picture_does_not_make_yunet_read_memory_that_it_never_wrote(shared_data):
    """OpenCV 4.14 answers one in sixty such pictures with an infinite box of score 1 where a side is at most 32 px."""
    detector = open_detector("yunet", shared_data / YUNET)
    rng = np.random.default_rng(0)
    for _ in range(400):
        height, width = rng.permutation([int(rng.integers(1, 33)), int(rng.integers(1, 300))])
        assert detector.detect(np.zeros((height, width, 3), np.uint8)) == []


def test_two_faces_come_best_first(detector, portrait):
    pair = np.concatenate([portrait, portrait[:, ::-1]], axis=1)
    boxes = detector.detect(pair)
    assert len(boxes) == 2
    assert boxes[0].score >= boxes[1].score
    assert {box.center[0] < portrait.shape[1] for box in boxes} == {True, False}


def test_whole_image_is_the_whole_image():
    assert open_detector("whole_image").detect(np.zeros((7, 9, 3), np.uint8)) == [whole_image_box(7, 9)]


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_a_detector_s_name_is_its_key(name, request):
    path = request.getfixturevalue("shared_data") / YUNET if name == "yunet" else None
    assert open_detector(name, path).name == name


def test_haar_reduces_a_720p_frame_and_asks_for_no_tiny_face(monkeypatch):
    """The bound on its cost: area and range of sizes, whatever the camera delivers."""
    asked = {}

    class Cascade:
        def detectMultiScale2(self, grey, **options):
            asked.update(options, shape=grey.shape)
            return (), ()

    detector = open_detector("haar")
    monkeypatch.setattr(detector, "_cascade", Cascade())
    assert detector.detect(np.zeros((720, 1280, 3), np.uint8)) == []
    assert asked["shape"] == (225, 400)
    assert asked["minSize"] == (27, 27)
    assert asked["scaleFactor"] >= 1.1


def test_an_opencv_without_cascades_names_the_alternative(monkeypatch, tmp_path):
    monkeypatch.setattr(cv2.data, "haarcascades", str(tmp_path))
    with pytest.raises(InputError, match=r"without Haar cascades.*yunet"):
        open_detector("haar")
    monkeypatch.delattr(cv2, "data")
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(InputError, match=r"without Haar cascades.*yunet"):
        open_detector("haar")


def test_names_and_files_are_checked_before_opencv_is_needed(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match="haar, whole_image, yunet"):
        check_detector("mtcnn")
    with pytest.raises(InputError, match="--yunet"):
        check_detector("yunet")
    with pytest.raises(InputError, match=r"nothing\.onnx: no such YuNet model file"):
        check_detector("yunet", tmp_path / "nothing.onnx")
    check_detector("haar")


@pytest.mark.parametrize("content", [b"", b"not a network"])
def test_a_file_that_is_no_yunet_is_refused(tmp_path, content):
    (tmp_path / "broken.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.onnx is no ONNX file"):
        open_detector("yunet", tmp_path / "broken.onnx")


def test_haar_file_names_an_existing_cascade():
    assert (Path(cv2.data.haarcascades) / haar_file.CASCADE).is_file()


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(16, 640))
def test_bounded_size_never_enlarges_and_keeps_the_aspect(height, width, longer):
    h, w = bounded_size((height, width), longer)
    assert 1 <= h <= min(height, max(longer, 1))
    assert 1 <= w <= min(width, max(longer, 1))
    factor = min(1, longer / max(height, width))
    assert abs(h - height * factor) <= 1
    assert abs(w - width * factor) <= 1


@given(st.integers(1, 8), st.integers(0, 20), st.integers(0, 20), st.integers(1, 20), st.integers(1, 20))
def test_a_block_of_pixels_maps_edge_to_edge(factor, x, y, w, h):
    """Block (x, y, w, h) of the reduced image covers pixels factor x .. factor (x + w) - 1 of the full one."""
    box = pixel_block_to_box(np.array([x, y, w, h], float), (50, 60), (50 * factor, 60 * factor), 0.25)
    first, last = (factor * x, factor * y), (factor * (x + w) - 1, factor * (y + h) - 1)
    assert (box.x0, box.y0) == pytest.approx((first[0] - 0.5, first[1] - 0.5))
    assert (box.x1, box.y1) == pytest.approx((last[0] + 0.5, last[1] + 0.5))
    assert box.score == 0.25


@pytest.mark.data
def test_faces_in_the_wild_are_found(detector, shared_data):
    """Measured over all 165: Haar 156, YuNet 165 with an IoU of at least 0.3."""
    samples = read_labelled(shared_data / "faces68_300w" / "test_public", load_schema("ibug68"))[:60]
    found = [any(iou(b, landmark_box(s.points)) >= 0.3 for b in detector.detect(read_image(s.path))) for s in samples]
    assert np.mean(found) > {"haar": 0.85, "yunet": 0.98}[detector.name]
