"""The baseline of the training benchmark: its targets are the codec's, its points follow its images."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from benchmarks.authors_step import AuthorsLoader
from benchmarks.training_ways import Way, faces, our_step
from training.codec import CODECS


def blob_at(x: int, y: int) -> np.ndarray:
    image = np.zeros((64, 64, 3), np.uint8)
    image[y - 2 : y + 3, x - 2 : x + 3] = 255
    return image


def loader(points: np.ndarray, image: np.ndarray) -> AuthorsLoader:
    return AuthorsLoader(image[None], points[None].astype(np.float32), [0], maps=True)


def test_the_targets_are_those_of_the_stld_codec() -> None:
    points = np.array([[20.0, 41.0], [3.3, 63.9], [80.0, -7.0]])
    serve = AuthorsLoader(np.zeros((1, 64, 64, 3), np.uint8), points[None].astype(np.float32), [0, 1, 2], maps=True)
    wanted = CODECS["stld"].encode(torch.tensor(points, dtype=torch.float32)[None], torch.tensor([1.5]), 16, 4)[0]
    torch.testing.assert_close(torch.from_numpy(serve._heatmaps(points.astype(np.float32))), wanted)


@pytest.mark.parametrize("change", ["_translate", "_mirror", "_rotate"])
def test_the_point_follows_the_blob(change: str) -> None:
    serve = loader(np.array([[40.0, 25.0]]), blob_at(40, 25))
    serve._draw = random.Random(3)
    from PIL import Image

    image, points = getattr(serve, change)(Image.fromarray(blob_at(40, 25)), serve._points[0])
    weight = np.asarray(image)[..., 0].astype(float)
    axis = np.arange(64)
    found = [(weight.sum(0) * axis).sum() / weight.sum(), (weight.sum(1) * axis).sum() / weight.sum()]
    assert found == pytest.approx(points[0].tolist(), abs=0.6)  # px; the rotation takes the nearest pixel


def test_our_step_trains_and_reports_its_drawing_time() -> None:
    drawn: list[float] = []
    step = our_step(faces("hm_r18", 32, 0), Way("ours", bf16=False), 4, torch.device("cpu"), drawn)
    step()
    assert len(drawn) == 1
    assert drawn[0] > 0
