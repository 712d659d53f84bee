"""A batch as a method's step sees it, drawn on the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lmdeploy.bundle import ModelSpec
from training.augment import config, pipeline
from training.codec import CODECS
from training.engine.train_set import TrainSet
from training.models.end_to_end import normalise


@dataclass(frozen=True, slots=True)
class Batch:
    """x: f32[B,3,S,S] normalised. points: f32[B,K,2] crop px. target: f32[B,K,h,w]. visible: bool[B,K].

    pseudo: bool[B], whose labels were predicted.
    """

    x: Tensor
    points: Tensor
    target: Tensor
    visible: Tensor
    pseudo: Tensor


class Drawer:
    """Turns rows of a TrainSet into augmented batches with their target maps."""

    def __init__(self, data: TrainSet, spec: ModelSpec, stride: int, cfg: config.Config, device: torch.device) -> None:
        """Keep what never changes during a stage."""
        self.data, self.stride, self.cfg, self.device = data, stride, cfg, device
        self.size = spec.crop.size
        self.encode = CODECS[spec.codec].encode
        self.flip_index = torch.tensor(spec.landmarks.flip_index, device=device)
        if not spec.landmarks.mirror:
            self.cfg = cfg.model_copy(update={"p_flip": 0.0})

    def draw(self, rows: Tensor, generator: torch.Generator) -> Batch:
        """The batch of rows i64[B]; the same generator state gives the same batch."""
        raw = self.data.gather(rows)
        images, points = raw.images.to(self.device), raw.points.to(self.device)
        x, points = pipeline.augment(images, points, self.size, self.flip_index, self.cfg, generator)
        visible = torch.isfinite(points).all(dim=-1)
        points = torch.where(visible.unsqueeze(-1), points, torch.zeros_like(points))
        target = self.encode(points, raw.sigma.to(self.device), self.size // self.stride, self.stride)
        x = normalise(x).contiguous(memory_format=torch.channels_last)
        return Batch(x, points, target, visible, raw.pseudo.to(self.device))
