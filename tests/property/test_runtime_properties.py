"""What must hold for every box, motion and stream of the runtime."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmdeploy.backends.ort import OrtBackend
from lmdeploy.geometry import CropRule
from lmdeploy.landmarker import Landmarker
from lmdeploy.model import Model
from lmdeploy.types import U8, Box, Landmarks
from lmdeploy.video.latency import Latencies
from lmdeploy.video.smooth import OneEuro, OneEuroConfig
from lmdeploy.video.track import iou
from tests.tiny_bundle import BLOBS3, blob_image, mixing, tiny_onnx

POINTS = np.array([[140.0, 110.0], [180.0, 114.0], [158.0, 155.0]])
numbers = st.floats(-300, 300, allow_nan=False, width=32)
boxes = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), numbers, numbers, st.floats(1, 400), st.floats(1, 400))


@functools.cache
def landmarker() -> Landmarker:
    from lmdeploy.bundle import ModelSpec

    spec = ModelSpec(name="t", landmarks=BLOBS3, crop=CropRule(scale=1.0, size=64), codec="subpixel", method="fixture")

    def no_detector() -> None:
        raise AssertionError("boxes are given here")

    return Landmarker(Model(spec, OrtBackend(tiny_onnx(64, mixing(3)), threads=1), "d"), no_detector)  # type: ignore[arg-type]  # never called


@functools.cache
def image() -> U8:
    return blob_image(260, 320, POINTS, sigma=5.0)


@settings(max_examples=60, deadline=None)
@given(x=st.floats(-12, 12), y=st.floats(-12, 12), side=st.floats(95, 200), color=st.sampled_from(["rgb", "bgr"]))
def test_points_do_not_depend_on_the_crop_that_holds_them(x: float, y: float, side: float, color: str) -> None:
    cx, cy = POINTS.mean(axis=0) + np.array([x, y])
    box = Box(cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2)
    picture = image() if color == "rgb" else image()[..., ::-1]
    (found,) = landmarker().predict(picture, [box], color=color)  # type: ignore[arg-type]  # one of the two
    np.testing.assert_allclose(found.points, POINTS, atol=0.35)  # px; measured 0.2 at 3 px of image per crop px


@settings(max_examples=60, deadline=None)
@given(box=boxes)
def test_any_box_with_area_gives_finite_points_inside_its_crop(box: Box) -> None:
    (found,) = landmarker().predict(image(), [box])
    assert np.isfinite(found.points).all()
    side = max(box.width, box.height)
    cx, cy = box.center
    assert (np.abs(found.points - [cx, cy]) <= side / 2 + 1e-3).all()


@settings(max_examples=20, deadline=None)
@given(some=st.lists(boxes, min_size=1, max_size=6))
def test_a_batch_equals_its_boxes_one_by_one(some: list[Box]) -> None:
    together = landmarker().predict(image(), some)
    for box, found in zip(some, together, strict=True):
        (alone,) = landmarker().predict(image(), [box])
        np.testing.assert_allclose(found.points, alone.points, atol=1e-2)
        np.testing.assert_allclose(found.score, alone.score, atol=1e-5)


@given(a=boxes, b=boxes)
def test_overlap_is_symmetric_and_between_zero_and_one(a: Box, b: Box) -> None:
    assert iou(a, b) == pytest.approx(iou(b, a))
    assert 0.0 <= iou(a, b) <= 1.0 + 1e-9
    assert iou(a, a) == pytest.approx(1.0)


@settings(deadline=None)
@given(
    values=st.lists(numbers, min_size=2, max_size=30),
    gaps=st.lists(st.floats(0, 2), min_size=30, max_size=30),
    cutoff=st.floats(0.01, 20),
    beta=st.floats(0, 100),
)
def test_smoothed_points_stay_between_what_was_seen(
    values: list[float], gaps: list[float], cutoff: float, beta: float
) -> None:
    """A low-pass is a weighted mean of its past: it never overshoots, whatever the times and parameters."""
    one = OneEuro(OneEuroConfig(min_cutoff=cutoff, beta=beta))
    time = 0.0
    for value, gap in zip(values, gaps, strict=False):
        time += gap
        (smooth,) = one(np.array([[value, -value]]), time, 50.0)
        assert min(values) - 1e-3 <= smooth[0] <= max(values) + 1e-3
        assert smooth[1] == pytest.approx(-smooth[0], abs=1e-3)


@given(st.lists(st.floats(0.002, 50_000), min_size=1, max_size=50))
def test_histogram_median_lies_within_a_bin_of_a_middle_value(values: list[float]) -> None:
    latencies = Latencies()
    for value in values:
        latencies.add("x", value)
    lower = sorted(values)[(len(values) - 1) // 2]
    found = latencies.summary()["x"]
    assert lower / 1.03 <= found.median_ms <= lower * 1.03
    assert found.p99_ms >= found.median_ms


def test_landmarks_are_frozen() -> None:
    (found,) = landmarker().predict(image(), [Box(100, 80, 220, 200)])
    assert isinstance(found, Landmarks)
    with pytest.raises(AttributeError):
        found.track = 3  # type: ignore[misc]  # that is the point
