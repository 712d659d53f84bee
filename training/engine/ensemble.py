"""Prediction over transformed copies of each crop: the teacher of Data Distillation (methods spec 4.4).

    for each copy (scale s, mirrored or not):
        view = crop scaled by s about its centre, and mirrored         with the image around the crop, not black
        m    = main head's maps of the view
        back = m mapped back to the plain crop, landmarks renamed where mirrored
    H = sum of back / number of copies that see the cell
    points, score = decode(H)                          by the network's own codec

A coordinate network has no maps to average: its points are mapped back and averaged, and so are its scores.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lmdeploy.bundle import ModelSpec
from lmdeploy.types import Prediction
from training.augment import geometry
from training.codec import CODECS, Codec
from training.codec.base import Measures, to_cells
from training.data.crops import Crops
from training.engine.predictor import BATCH
from training.engine.trainer import Predict
from training.models import Network
from training.models.end_to_end import normalise


class Copy(NamedTuple):
    """One transformed copy: enlarged `scale` times about the crop's centre, then mirrored left to right or not."""

    scale: float
    mirrored: bool


def ensemble(scales: tuple[float, ...], mirror: bool) -> Predict:
    """Prediction over the copies {plain, mirrored} x scales; `mirror` only where the schema has mirror twins."""

    def predict(network: Network, spec: ModelSpec, crops: Crops, device: torch.device) -> Prediction:
        sides = (False, True) if mirror and spec.landmarks.mirror else (False,)
        copies = [Copy(*pair) for pair in itertools.product(scales, sides)]
        was_training = network.training
        network.eval()
        with torch.inference_mode():
            found = [
                _predict(network, spec, torch.tensor(crops.images[i : i + BATCH], device=device), copies)
                for i in range(0, len(crops), BATCH)
            ]
        network.train(was_training)
        points, score, spread, nnm = (torch.cat(part).cpu().numpy() for part in zip(*found, strict=True))
        return Prediction(points + np.float32((crops.images.shape[1] - spec.crop.size) // 2), score, spread, nnm)

    return predict


def average_maps(maps: list[Tensor], copies: list[Copy], flip_index: Tensor, offset: float) -> Tensor:
    """H f32[B,K,h,w] of the copies' maps f32[B,K,h,w].

    offset: where a point lies from the peak of its map, cells (half a cell where a codec's encoding truncates).
    """
    total, seen = torch.zeros_like(maps[0]), torch.zeros_like(maps[0][:, :1])
    cells = maps[0].shape[-1]
    for one, copy in zip(maps, copies, strict=True):
        linear = torch.linalg.inv(_linear(copy, len(one), one.device))
        shift = offset * linear.sum(dim=-1) - offset
        matrix = geometry.about_centre(linear, shift, cells, cells)
        total += geometry.warp(one[:, flip_index] if copy.mirrored else one, matrix, cells)
        seen += geometry.warp(torch.ones_like(seen), matrix, cells)
    return total / seen.clamp(min=1e-6)


def average_points(points: list[Tensor], copies: list[Copy], flip_index: Tensor, size: int) -> Tensor:
    """Mean f32[B,K,2] of the copies' points f32[B,K,2], crop px of each copy, in px of the plain crop of `size` px."""
    total = torch.zeros_like(points[0])
    for one, copy in zip(points, copies, strict=True):
        linear = torch.linalg.inv(_linear(copy, len(one), one.device))
        matrix = geometry.about_centre(linear, torch.zeros_like(linear[:, 0]), size, size)
        total += geometry.transform(matrix, one[:, flip_index] if copy.mirrored else one)
    return total / len(copies)


def peak_offset(codec: Codec) -> float:
    """How far right of (and below) its map's peak a codec of maps puts the point, cells."""
    lone = torch.zeros(1, 1, 5, 5)
    lone[..., 2, 2] = 1
    return float(to_cells(codec.decode(lone, 4), 4)[0, 0, 0]) - 2


def _linear(copy: Copy, count: int, device: torch.device) -> Tensor:
    """The copy's map of the plane about the centre, f32[B,2,2]: plain crop -> view."""
    mirror = -1.0 if copy.mirrored else 1.0
    return torch.diag(torch.tensor([mirror * copy.scale, copy.scale], device=device)).expand(count, 2, 2)


def _predict(network: Network, spec: ModelSpec, images: Tensor, copies: list[Copy]) -> tuple[Tensor, ...]:
    """Points (px of the plain crop), score, spread and nnm of cached crops u8[B,M,M,3]."""
    size, device = spec.crop.size, images.device
    codec, stride = CODECS[spec.codec], network.cfg.unit(size)
    flip_index = torch.tensor(spec.landmarks.flip_index, device=device)
    pixels = images.permute(0, 3, 1, 2).float()
    outputs = []
    for copy in copies:
        linear = _linear(copy, len(images), device)
        matrix = geometry.about_centre(linear, torch.zeros_like(linear[:, 0]), images.shape[1], size)
        x = normalise(geometry.warp(pixels, matrix, size))
        outputs.append(network(x) if codec.both_heads else (network.predict(x),))
    if codec.maps:
        maps = average_maps([heads[0] for heads in outputs], copies, flip_index, peak_offset(codec))
        return codec.decode(maps, stride), *codec.measure((maps,), stride)
    points = average_points([codec.decode(heads[0], stride) for heads in outputs], copies, flip_index, size)
    return points, *_mean([codec.measure(heads, stride) for heads in outputs], copies, flip_index)


def _mean(measures: list[Measures], copies: list[Copy], flip_index: Tensor) -> list[Tensor]:
    """Mean over the copies of each measure f32[B,K], landmarks renamed where mirrored."""
    return [
        torch.stack([m[:, flip_index] if c.mirrored else m for m, c in zip(kind, copies, strict=True)]).mean(dim=0)
        for kind in zip(*measures, strict=True)
    ]
