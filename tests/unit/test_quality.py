"""The ELT residual of any predictor: 0 for one that follows the picture, the maps' own for one that never looks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lmdeploy import quality
from lmdeploy.dataset import read_labelled
from lmdeploy.errors import InputError
from lmdeploy.geometry import crop_image, crop_matrix, landmark_box
from lmdeploy.images import read_image
from lmdeploy.model import open_model
from lmdeploy.schema import load_schema
from lmdeploy.types import U8, Prediction

SIZE = 64


def answer(points: np.ndarray) -> Prediction:
    plain = np.ones(points.shape[:2], np.float32)
    return Prediction(points.astype(np.float32), plain, plain)


class Centroid:
    """Equivariant: the centroid of the light in the red and in the green channel."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def run(self, crops: U8) -> Prediction:
        self.calls.append(len(crops))
        light = crops[..., :2].astype(float)
        axis = np.arange(crops.shape[1])
        total = light.sum(axis=(1, 2))
        x = (light.sum(axis=1) * axis[None, :, None]).sum(axis=1) / total
        y = (light.sum(axis=2) * axis[None, :, None]).sum(axis=1) / total
        return answer(np.stack([x, y], axis=-1))


class Constant:
    """Never looks; its points are halfway between centre and corners."""

    def run(self, crops: U8) -> Prediction:
        half = np.array([[x, y] for x in (0.25, 0.75) for y in (0.25, 0.75)]) * (crops.shape[1] - 1)
        return answer(np.tile(half, (len(crops), 1, 1)))


def blobs(count: int) -> U8:
    random = np.random.default_rng(0)
    axis = np.arange(SIZE)
    crops = np.zeros((count, SIZE, SIZE, 3), np.uint8)
    for crop in crops:
        for channel in range(2):
            x, y = random.uniform(24, 40, 2)
            crop[..., channel] = 255 * np.exp(-((axis - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * 3**2))
    return crops


def test_a_predictor_that_follows_the_picture_has_none() -> None:
    found = quality.elt_residual(Centroid(), blobs(5))
    assert found.px.shape == (5,)
    assert found.px.max() < 0.1  # px; measured 0.04, the picture is rounded to 256 grey levels
    np.testing.assert_allclose(found.relative, found.px / SIZE)


def test_a_constant_predictor_has_that_of_the_maps() -> None:
    found = quality.elt_residual(Constant(), blobs(3))
    np.testing.assert_allclose(found.px, quality.of_constant(SIZE), rtol=1e-5)
    assert quality.of_constant(SIZE) > 3


def test_by_hand_over_one_shift() -> None:
    """A shift by 20 px takes the two right points out of the frame; the left ones are 20 px off."""
    shift = np.array([[[1.0, 0.0, 20.0], [0.0, 1.0, 0.0]]])
    np.testing.assert_allclose(quality.elt_residual(Constant(), blobs(1), shift).px, [20.0], rtol=1e-6)
    far = np.array([[[1.0, 0.0, 60.0], [0.0, 1.0, 0.0]]])
    assert np.isnan(quality.elt_residual(Constant(), blobs(1), far).px).all()


def test_batches_do_not_change_it_and_the_maps_are_fixed() -> None:
    one, several = Centroid(), Centroid()
    whole, pieces = quality.elt_residual(one, blobs(5)).px, quality.elt_residual(several, blobs(5), batch=2).px
    np.testing.assert_allclose(whole, pieces, rtol=1e-12)
    assert one.calls == [5] * (1 + quality.MAPS)
    assert several.calls == ([2] * (1 + quality.MAPS)) * 2 + [1] * (1 + quality.MAPS)
    np.testing.assert_array_equal(quality.fixed_maps(SIZE), quality.fixed_maps(SIZE))


def test_maps_are_small_and_turn_about_the_centre() -> None:
    maps = quality.fixed_maps(SIZE, count=200)
    zoom = np.sqrt(np.linalg.det(maps[:, :, :2]))
    angle = np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0]))
    centre = np.full(2, (SIZE - 1) / 2)
    shift = np.abs(maps[:, :, :2] @ centre + maps[:, :, 2] - centre)
    assert np.abs(zoom - 1).max() <= quality.SCALE
    assert np.abs(angle).max() <= quality.ROTATE
    assert shift.max() <= quality.TRANSLATE * SIZE
    assert np.abs(angle).max() > 0.9 * quality.ROTATE


def test_nothing_to_judge_and_wrong_shapes() -> None:
    assert quality.elt_residual(Constant(), np.zeros((0, SIZE, SIZE, 3), np.uint8)).px.shape == (0,)
    with pytest.raises(InputError, match="S,S,3"):
        quality.elt_residual(Constant(), np.zeros((1, SIZE, 32, 3), np.uint8))
    with pytest.raises(InputError, match="at least one"):
        quality.elt_residual(Constant(), blobs(1), np.zeros((0, 2, 3)))


def test_the_built_in_model_follows_faces_and_not_noise(shared_data: Path) -> None:
    model = open_model("face68", threads=1)
    rule = model.spec.crop
    samples = read_labelled(shared_data / "faces68_300w" / "test_public", load_schema("ibug68"))[:8]
    faces = np.stack([
        crop_image(read_image(s.path), crop_matrix(landmark_box(s.points), rule), rule.size)
        for s in samples
        if s.points is not None
    ])  # fmt: skip
    random = np.random.default_rng(1)
    noise = random.integers(0, 256, faces.shape).astype(np.uint8)
    shuffled = random.permuted(faces.reshape(len(faces), -1, 3), axis=1).reshape(faces.shape)
    try:
        on_faces, on_noise, on_shuffled = (
            quality.elt_residual(model.backend, crops).relative for crops in (faces, noise, shuffled)
        )
    finally:
        model.backend.close()
    assert on_faces.max() < 0.02  # measured 0.005 to 0.012
    assert on_noise.min() > 0.05  # measured 0.09 to 0.13
    assert on_shuffled.min() > 0.05
