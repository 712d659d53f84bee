"""Running a model on samples: the right crops go in, image pixels come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lmdeploy.boxes import Boxed, boxes_for
from lmdeploy.dataset import Sample, read_labelled
from lmdeploy.errors import DataError, InputError
from lmdeploy.geometry import CropRule, crop_image, crop_matrix, landmark_box, transform
from lmdeploy.images import read_image
from lmdeploy.model import open_model
from lmdeploy.outcome import predict_samples
from lmdeploy.schema import load_schema
from tests.data_folder import random_points, write_labelled
from tests.fake_model import constant, fake_model
from tests.odd_images import write_jpeg
from tests.tiny_bundle import BLOBS3, blob_image, make_tiny_bundle

CENTRE = np.full((68, 2), 20.0, np.float32)


@pytest.fixture
def boxed(tmp_path):
    write_labelled(tmp_path / "set", random_points(70))
    return boxes_for(read_labelled(tmp_path / "set", load_schema("ibug68")), "gt")


def test_a_real_network_finds_blobs_in_the_image_s_own_pixels(tmp_path):
    """Crops are enlarged, shrunk, and shrunk by averaging; measured at most 0.19 px of the crop."""
    samples = []
    for number, scale in enumerate((0.6, 2.0, 5.0)):
        points = np.array([[60, 40], [90, 44], [73, 80]]) * scale
        image = blob_image(round(140 * scale), round(150 * scale), points, sigma=3.0 * scale)
        path = write_jpeg(tmp_path / f"{number}.jpg", image)
        samples.append(Sample(path.name, path, points.astype(np.float32)))
    model = open_model(make_tiny_bundle(tmp_path / "tiny", size=96).path, threads=1)
    outcome = predict_samples(model, boxes_for(samples, "gt"))
    assert outcome.points_image.dtype == np.float32
    wrong_crop_px = np.linalg.norm(
        outcome.to_crop(outcome.points_image) - outcome.to_crop(outcome.truth_image), axis=2
    )
    assert wrong_crop_px.max() < 0.3


def test_the_network_sees_the_crops_of_the_model_s_own_rule(boxed):
    seen = []

    def remember(crops):
        seen.extend(crops.copy())
        return constant(CENTRE)(crops)

    rule = CropRule(kind="stretch", scale=1.1, size=48)
    outcome = predict_samples(fake_model(remember, crop=rule), boxed)
    assert len(seen) == 70
    for index in (0, 31, 32, 69):
        sample = boxed.samples[index]
        matrix = crop_matrix(landmark_box(sample.points), rule)
        wanted = crop_image(read_image(sample.path), matrix, 48)
        assert np.array_equal(seen[index], wanted)
        assert np.array_equal(outcome.crop(index), wanted)
        np.testing.assert_allclose(outcome.matrices[index], matrix)
        np.testing.assert_allclose(transform(matrix, outcome.points_image[index]), CENTRE, atol=1e-3)


def test_batches_are_bounded(boxed):
    model = fake_model(constant(CENTRE))
    outcome = predict_samples(model, boxed)
    assert model.backend.batches == [32, 32, 6]
    assert outcome.points_image.shape == (70, 68, 2)


def test_truth_is_that_of_the_samples_and_unlabelled_ones_have_none(boxed):
    outcome = predict_samples(fake_model(constant(CENTRE)), boxed)
    np.testing.assert_array_equal(outcome.truth_image[5], boxed.samples[5].points)
    nameless = Boxed((Sample("u.jpg", boxed.samples[0].path),), boxed.boxes[:1], (), "file")
    with pytest.raises(InputError, match=r"u\.jpg has no label"):
        _ = predict_samples(fake_model(constant(CENTRE)), nameless).truth_image


def test_unreadable_images_are_named_together(boxed):
    boxed.samples[3].path.write_bytes(b"")
    boxed.samples[40].path.unlink()
    with pytest.raises(DataError, match="2 images cannot be read") as caught:
        predict_samples(fake_model(constant(CENTRE)), boxed)
    assert [Path(problem.split(":")[0]).name for problem in caught.value.problems] == ["im003.jpg", "im040.jpg"]


def test_no_box_at_all_is_an_error():
    with pytest.raises(InputError, match=r"none of 2 has a box \(boxes: haar\)"):
        predict_samples(fake_model(constant(CENTRE)), Boxed((), (), ("a", "b"), "haar"))


def test_the_blob_network_s_schema_is_its_own():
    assert BLOBS3.points == 3
