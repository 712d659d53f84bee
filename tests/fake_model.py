"""A model for tests that needs no network: its backend answers with what the test decides."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lmdeploy.bundle import ModelSpec
from lmdeploy.geometry import BoxMap, CropRule
from lmdeploy.model import Model
from lmdeploy.schema import LandmarkSchema, load_schema
from lmdeploy.types import F32, U8, Prediction


class FakeBackend:
    """Answers crops u8[B,S,S,3] with `answer(crops)`, f32[B,K,2], crop px, and remembers the batch sizes."""

    provider = "FakeProvider"

    def __init__(self, answer: Callable[[U8], F32]) -> None:
        self._answer = answer
        self.batches: list[int] = []

    def run(self, crops: U8) -> Prediction:
        self.batches.append(len(crops))
        points = np.asarray(self._answer(crops), np.float32)
        return Prediction(points, np.ones(points.shape[:2], np.float32), np.full(points.shape[:2], np.nan, np.float32))

    def close(self) -> None:
        """Nothing is held."""


def fake_model(
    answer: Callable[[U8], F32],
    schema: str | LandmarkSchema = "ibug68",
    crop: CropRule | None = None,
    detectors: dict[str, BoxMap] | None = None,
) -> Model:
    """A Model whose network is `answer`."""
    spec = ModelSpec(
        name="fake",
        landmarks=load_schema(schema) if isinstance(schema, str) else schema,
        crop=crop or CropRule(),
        codec="subpixel",
        method="none",
        detectors=detectors or {},
    )
    return Model(spec, FakeBackend(answer), "0" * 64)


def constant(points_crop: F32) -> Callable[[U8], F32]:
    """The same points f32[K,2] for every crop."""
    return lambda crops: np.repeat(points_crop[None], len(crops), axis=0)
