"""What a model says of the candidates: NNM through any backend; entropy and descriptors through the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lmdeploy.boxes import Boxed
from lmdeploy.bundle import find_bundle
from lmdeploy.errors import InputError
from lmdeploy.geometry import crop_image, crop_matrix
from lmdeploy.images import read_image
from lmdeploy.model import Model
from lmdeploy.types import F32, U8
from training.selection.candidates import Candidates

BATCH = 32
Measure = Callable[[U8], F32]
"""Crops u8[B,S,S,3] RGB -> f32[B,D]."""


def values_of(ref: str, model: Model, strategy: str, some: Candidates) -> tuple[F32, F32]:
    """(candidates f32[N,D], labelled f32[M,D]): what the strategy needs; see training.selection.choose.

    Args:
        ref: where `model` was opened from.
        model: what runs the network.
        strategy: one of STRATEGIES.
        some: labelled images are looked at by k_center alone.
    Errors: InputError where this model cannot tell.
    """
    if strategy == "random":
        return np.zeros((len(some.boxed.samples), 1), np.float32), np.zeros((0, 1), np.float32)
    if strategy == "nnm":
        found = _over(model, some.boxed, lambda crops: _nnm(ref, model, crops))
        return found, found[:0]
    measure = _through_weights(ref, model, strategy)
    found = _over(model, some.boxed, measure)
    known = _over(model, some.labelled, measure) if strategy == "k_center" and some.labelled.samples else found[:0]
    return found, known


def _over(model: Model, boxed: Boxed, measure: Measure) -> F32:
    return np.concatenate([measure(crops) for crops in _crops(model, boxed)])


def _crops(model: Model, boxed: Boxed) -> Iterator[U8]:
    """Crops u8[B,S,S,3] RGB of all samples, in batches."""
    pairs, rule = list(zip(boxed.samples, boxed.boxes, strict=True)), model.spec.crop
    for at in range(0, len(pairs), BATCH):
        some = pairs[at : at + BATCH]
        yield np.stack([crop_image(read_image(s.path), crop_matrix(box, rule), rule.size) for s, box in some])


def _nnm(ref: str, model: Model, crops: U8) -> F32:
    """Sum over the landmarks of the graph's own NNM, f32[B,1]."""
    nnm: F32 | None = model.backend.run(crops).nnm
    if nnm is None or np.isnan(nnm).all():
        raise InputError(
            f"{ref} draws no heatmaps, so it cannot say where it is unsure: take a heatmap model, or --strategy "
            "random (with a checkpoint k-center too)"
        )
    found: F32 = nnm.sum(axis=1, keepdims=True)
    return found


def _through_weights(ref: str, model: Model, strategy: str) -> Measure:
    from training.selection import weights  # PyTorch, which nnm and random do without

    path = Path(ref) if Path(ref).exists() else find_bundle(ref)
    return weights.measure_of(path, strategy, model.backend.provider)
