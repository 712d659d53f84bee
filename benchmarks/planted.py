"""The planted-outlier toy of active learning: drawn faces, and among them images of pure noise that teach nothing."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.toy_faces import face, write_folder
from lmdeploy.geometry import CropRule, crop_image, crop_matrix, landmark_box
from lmdeploy.types import U8
from training import job, recipe
from training.engine import checkpoint
from training.engine.predictor import network_of
from training.models import Network
from training.selection import Rule, choose
from training.selection.measures import measure_batch

SHARE = 0.05  # of the pool that is noise
VARIANTS = (("nnm", 0.0), ("nnm", 0.1), ("entropy", 0.0), ("entropy", 0.1))  # strategy, discard
WINDOW = 3  # cells; the maps have 8 to 16 of them on a side


class Pool(NamedTuple):
    """Crops u8[N,S,S,3] RGB, and rows that are noise."""

    images: U8
    noise: frozenset[int]


class Found(NamedTuple):
    """Noise images among those chosen, and among those that the discard dropped."""

    chosen: int
    dropped: int


def pool(count: int, rule: CropRule, seed: int) -> Pool:
    """`count` crops, SHARE of them noise at random places."""
    draw = np.random.default_rng(seed)
    noise = frozenset(draw.choice(count, round(SHARE * count), replace=False).tolist())
    crops = []
    for i in range(count):
        image, points = face(draw)
        crops.append(crop_image(image, crop_matrix(landmark_box(points), rule), rule.size))
        if i in noise:
            crops[-1] = draw.integers(0, 256, crops[-1].shape, np.uint8)
    return Pool(np.stack(crops), noise)


def trained(folder: Path, made: recipe.Recipe, labelled: int) -> Network:
    """The network of a supervised recipe, fitted on so many drawn faces."""
    data = write_folder(folder / "labelled", labelled, seed=1)
    request = job.Request(recipe=made, data=data, out=folder / "run", boxes="file", device="cpu", precision="32")
    return network_of(checkpoint.read(job.run(request, lambda note: None)))


def found(network: Network, some: Pool, count: int) -> dict[str, Found]:
    """How many noise images each variant takes when it chooses `count` images; a key is e.g. nnm_discard."""
    out = {}
    for strategy, discard in VARIANTS:
        values = measure_batch(strategy, network, some.images, WINDOW, torch.device("cpu"))
        choice = choose(Rule(strategy, discard, 0), values, values[:0], count)
        name = f"{strategy}_discard" if discard else strategy
        out[name] = Found(len(some.noise & set(choice.chosen)), len(some.noise & set(choice.dropped)))
    return out
