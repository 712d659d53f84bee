"""The pixel-centre convention, by pictures: a blob is found where its point is said to be."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmdeploy.errors import InputError
from lmdeploy.geometry import (
    BoxMap,
    CropRule,
    compose,
    crop_image,
    crop_matrix,
    fit_box_map,
    invert,
    landmark_box,
    resize_matrix,
    scale_of,
    transform,
    whole_image_box,
)
from lmdeploy.types import Box

TOLERANCE_PX = 0.05  # of the target frame; measured at most 0.02 over the cases below


def blob(height, width, x, y, sigma):
    rows, columns = np.mgrid[:height, :width]
    value = 250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.repeat(value.round().astype(np.uint8)[..., None], 3, axis=2)


def centroid(image):
    weight = image[..., 0].astype(float)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


@pytest.mark.parametrize("kind", ["square", "stretch"])
@pytest.mark.parametrize("angle", [0.0, 0.4, -2.0])
@pytest.mark.parametrize(("side", "sigma"), [(40.0, 1.6), (90.0, 3.0), (230.0, 7.0), (520.0, 14.0), (777.0, 20.0)])
def test_a_blob_stays_with_its_point_through_every_crop(kind, angle, side, sigma):
    """Enlarging, shrinking a little, and shrinking by 2, 4 and 7, where blocks are averaged first."""
    x, y = 401.3, 338.7
    image = blob(700, 820, x, y, sigma)
    box = Box(x - 0.6 * side, y - 0.35 * side, x + 0.4 * side, y + 0.4 * side)
    rule = CropRule(kind=kind, scale=1.25, size=96)
    matrix = crop_matrix(box, rule, angle)
    crop = crop_image(image, matrix, rule.size)
    assert crop.shape == (96, 96, 3)
    assert crop.dtype == np.uint8
    told = transform(matrix, np.array([x, y]))
    assert np.abs(centroid(crop) - told).max() < TOLERANCE_PX


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_averaged_blocks_keep_the_whole_pixel_grid(factor):
    """Factor 2..4 with a crop that starts at an odd pixel, so that the last block is padded."""
    image = blob(403, 405, 205.0, 199.0, 4.0 * factor)
    size = 64
    start = np.array([[1.0, 0, 30 * factor - 205], [0, 1, 30 * factor - 199]])
    matrix = compose(resize_matrix((size * factor, size * factor), (size, size)), start)
    assert scale_of(matrix) == pytest.approx(1 / factor)
    found = centroid(crop_image(image, matrix, size))
    assert np.abs(found - transform(matrix, np.array([205.0, 199.0]))).max() < TOLERANCE_PX


@pytest.mark.parametrize("to_hw", [(31, 87), (240, 160), (120, 200)])
def test_resize_matrix_is_what_opencv_resize_does(to_hw):
    image = blob(120, 100, 47.2, 66.9, 6.0)
    small = cv2.resize(image, to_hw[::-1], interpolation=cv2.INTER_AREA if to_hw[0] < 120 else cv2.INTER_LINEAR)
    told = transform(resize_matrix((120, 100), to_hw), np.array([47.2, 66.9]))
    assert np.abs(centroid(small) - told).max() < TOLERANCE_PX


def test_resize_matrix_maps_the_outer_edges_onto_each_other():
    corners = transform(resize_matrix((30, 50), (90, 75)), np.array([[-0.5, -0.5], [49.5, 29.5]]))
    assert corners.tolist() == [[-0.5, -0.5], [74.5, 89.5]]


def test_the_whole_image_at_scale_1_is_a_plain_resize():
    box = whole_image_box(60, 60)
    rule = CropRule(kind="square", scale=1.0, size=32)
    np.testing.assert_allclose(crop_matrix(box, rule), resize_matrix((60, 60), (32, 32)), atol=1e-12)


def test_outside_the_image_is_black():
    image = np.full((50, 50, 3), 200, np.uint8)
    rule = CropRule(scale=1.0, size=64)
    crop = crop_image(image, crop_matrix(Box(-51.0, 0.0, 49.0, 100.0), rule), 64)
    assert crop[:, :30].max() == 0
    assert crop[2:30, 36:].min() == 200


def test_crop_fills_a_given_array():
    image = blob(80, 80, 40, 40, 5)
    matrix = crop_matrix(Box(20, 20, 60, 60), CropRule(size=32))
    out = np.full((32, 32, 3), 9, np.uint8)
    assert np.array_equal(crop_image(image, matrix, 32, out), crop_image(image, matrix, 32))
    assert np.array_equal(out, crop_image(image, matrix, 32))


def test_square_keeps_the_aspect_and_stretch_does_not():
    box = Box(10, 20, 50, 100)
    square = crop_matrix(box, CropRule(kind="square", scale=1.0, size=80))
    stretch = crop_matrix(box, CropRule(kind="stretch", scale=1.0, size=80))
    assert (square[0, 0], square[1, 1]) == (1.0, 1.0)
    assert (stretch[0, 0], stretch[1, 1]) == (2.0, 1.0)


@pytest.mark.parametrize("corner", [(5, 9), (9, 5), (1, 1), (np.nan, 9), (np.inf, 9)])
def test_a_box_without_area_is_refused(corner):
    with pytest.raises(InputError, match="no area"):
        crop_matrix(Box(5, 5, *corner), CropRule(kind="stretch"))


finite = st.floats(-500, 500)
sizes = st.floats(5, 400)


@settings(max_examples=60, deadline=None)
@given(finite, finite, sizes, sizes, st.floats(-3.2, 3.2), st.sampled_from(["square", "stretch"]))
def test_invert_undoes_and_compose_chains(x, y, w, h, angle, kind):
    matrix = crop_matrix(Box(x, y, x + w, y + h), CropRule(kind=kind, size=128), angle)
    points = np.array([[x, y], [x + w, y + h], [x + w / 2, y - h]])
    assert np.abs(transform(invert(matrix), transform(matrix, points)) - points).max() < 0.01
    assert np.abs(compose(invert(matrix), matrix) - np.array([[1, 0, 0], [0, 1, 0]])).max() < 1e-6
    middle = transform(matrix, np.array([x + w / 2, y + h / 2]))
    assert np.abs(middle - 63.5).max() < 1e-3


def test_transform_keeps_the_shape_and_nan():
    points = np.full((2, 3, 2), np.nan)
    points[0, 1] = (4, 5)
    moved = transform(np.array([[2.0, 0, 1], [0, 2.0, 1]]), points)
    assert moved.dtype == np.float32
    assert moved[0, 1].tolist() == [9, 11]
    assert np.isnan(moved).sum() == 10


def test_landmark_box_ignores_what_is_not_annotated():
    points = np.array([[3.0, 9], [np.nan, 2], [7, 4]])
    assert landmark_box(points) == Box(3, 4, 7, 9)
    with pytest.raises(InputError, match="no annotated point"):
        landmark_box(np.full((4, 2), np.nan))


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(0.4, 2), st.floats(0.4, 2), st.integers(0, 9999))
def test_fit_box_map_finds_the_map_that_made_the_boxes(dx, dy, sw, sh, seed):
    rng = np.random.default_rng(seed)
    true = BoxMap(dx=dx, dy=dy, sw=sw, sh=sh)
    detected = [Box(x, y, x + w, y + h) for x, y, w, h in rng.uniform(10, 200, (7, 4))]
    fitted = fit_box_map(detected, [true.apply(box) for box in detected])
    assert [fitted.dx, fitted.dy, fitted.sw, fitted.sh] == pytest.approx([dx, dy, sw, sh], abs=1e-9)


def test_fit_box_map_is_not_moved_by_one_wrong_detection():
    good = [Box(0, 0, 10, 10), Box(5, 5, 25, 25), Box(1, 2, 3, 4)]
    assert fit_box_map([*good, Box(0, 0, 1, 1)], [*good, Box(90, 90, 190, 190)]) == BoxMap()
    with pytest.raises(InputError, match="same number"):
        fit_box_map([], [])


def test_box_map_keeps_the_score():
    assert BoxMap(dx=0.5).apply(Box(0, 0, 10, 20, 0.7)) == Box(5, 0, 15, 20, 0.7)


def test_box_says_its_size_and_centre():
    box = Box(1, 2, 5, 10)
    assert (box.width, box.height, box.center) == (4, 8, (3, 6))
