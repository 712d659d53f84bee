"""A batch as a method's step sees it, drawn on the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lmdeploy.bundle import ModelSpec
from training.augment import config, geometry, pipeline
from training.augment.warp_maps import view_maps
from training.codec import CODECS
from training.engine.processes import Share
from training.engine.shared_draws import SharedDraws
from training.engine.train_set import Rows, TrainSet
from training.models.end_to_end import normalise_


@dataclass(frozen=True, slots=True)
class Batch:
    """One random view of B samples.

    x: f32[B,3,S,S] normalised. points: f32[B,K,2] crop px, 0 where not visible. target: what the codec draws of them.
    visible: bool[B,K], annotated. pseudo: bool[B], not of the labelled part. p: f32[B], shrink exponent of coordinate
    losses. score: f32[B,K], 1 for true labels. matrix: f32[B,2,3], cache px -> crop px of this view. flip: bool[B],
    mirrored (points are already renamed). step: batches of the stage before this one. progress: share of the stage
    behind, [0, 1). view(strengths): another random view of the same samples. attributes: f32[B,A], class index or
    real value, NaN = not known, in the order of TrainSet.columns; None where no part tells any. maps: f32[B,C,h,w],
    label maps (Part.maps) moved with this view, 0 outside the plain crop and for samples without; None where no part
    has any.
    """

    x: Tensor
    points: Tensor
    target: Tensor
    visible: Tensor
    pseudo: Tensor
    p: Tensor
    score: Tensor
    matrix: Tensor
    flip: Tensor
    step: int
    progress: float
    view: Callable[[config.Config], Batch]
    attributes: Tensor | None = None
    maps: Tensor | None = None


class _Draws(NamedTuple):
    """Where a batch's random numbers come from: the generator, the rows of the global batch, and this process."""

    generator: torch.Generator
    rows: int
    share: Share


class Drawer:
    """Turns rows of a TrainSet into augmented batches with their targets."""

    def __init__(self, data: TrainSet, spec: ModelSpec, stride: int, cfg: config.Config, device: torch.device) -> None:
        """Keep what never changes during a stage."""
        self.data, self.stride, self.device = data, stride, device
        self.size = spec.crop.size
        self._encode = CODECS[spec.codec].encode
        self.flip_index = torch.tensor(spec.landmarks.flip_index, device=device)
        self._mirror = spec.landmarks.mirror
        self.cfg = self._allowed(cfg)

    def draw(
        self,
        rows: Tensor,
        generator: torch.Generator,
        step: int = 0,
        progress: float = 0.0,
        share: Share = Share(),  # noqa: B008 - a constant
    ) -> Batch:
        """The batch of rows i64[B], or a process's share of it; the same generator state gives the same batch."""
        raw = self.data.gather(share.of(rows)).to(self.device)
        return self._view(raw, self.cfg, _Draws(generator, len(rows), share), step, progress)

    def encode(self, points: Tensor, sigma: Tensor) -> Tensor:
        """The codec's targets of points f32[B,K,2] (crop px), sigma f32[B] (map cells)."""
        return self._encode(points, sigma, self.size // self.stride, self.stride)

    def _view(self, raw: Rows, cfg: config.Config, draws: _Draws, step: int, progress: float) -> Batch:
        with SharedDraws(*draws):
            seen = pipeline.augment(raw.images, raw.points, self.size, self.flip_index, cfg, draws.generator)
        visible = torch.isfinite(seen.points).all(dim=-1)
        points = torch.where(visible.unsqueeze(-1), seen.points, torch.zeros_like(seen.points))
        x = normalise_(seen.images).contiguous(memory_format=torch.channels_last)
        score = raw.score if raw.score is not None else torch.ones_like(points[..., 0])
        score = torch.where(seen.flip.unsqueeze(1), score[:, self.flip_index], score)

        def again(other: config.Config) -> Batch:
            return self._view(raw, self._allowed(other), draws, step, progress)

        return Batch(
            x, points, self.encode(points, raw.sigma), visible, raw.pseudo, raw.p, score, seen.matrix, seen.flip,
            step, progress, again, raw.attributes,
            None if raw.maps is None else view_maps(raw.maps.float(), seen, raw.images.shape[1], self.flip_index),
        )  # fmt: skip

    def _allowed(self, cfg: config.Config) -> config.Config:
        return cfg if self._mirror else cfg.model_copy(update={"p_flip": 0.0})


def carry(points: Tensor, source: Batch, target: Batch, flip_index: Tensor) -> Tensor:
    """Points f32[B,K,2] in the crop px of view `source` -> the crop px of view `target` of the same samples."""
    renamed = torch.where((source.flip != target.flip).view(-1, 1, 1), points[:, flip_index], points)
    return geometry.transform(target.matrix, geometry.transform(geometry.invert(source.matrix), renamed))
