"""Evaluation of a whole folder of real faces."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy.dataset import read_labelled
from lmdeploy.evaluate import evaluate_folder
from lmdeploy.geometry import CropRule, crop_matrix, landmark_box, transform
from lmdeploy.schema import load_schema
from tests.fake_model import constant, fake_model

IBUG68 = load_schema("ibug68")


@pytest.mark.data
def test_the_mean_face_on_real_faces(shared_data):
    """A model that always says the mean shape of the training faces, measured 17.07 % over 165 images."""
    train = read_labelled(shared_data / "faces68_300w" / "train", IBUG68)
    shapes = [transform(crop_matrix(landmark_box(s.points), CropRule()), s.points) for s in train]
    model = fake_model(constant(np.mean(shapes, axis=0).astype(np.float32)))
    _, result = evaluate_folder(model, shared_data / "faces68_300w" / "test_public")
    assert result.nme == pytest.approx(17.07, abs=0.01)
    assert result.images == 165
