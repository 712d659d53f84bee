"""Strong views: RandAugment's colour operations and cutout, batched; none of them moves a point.

    for each of `operations` slots:     every sample draws one operation and a strength m, uniform in [0, magnitude]
    cutout                              one grey square per chosen sample, side uniform up to `cutout` of S

Operations and their ranges are FixMatch's list for RandAugment (Sohn et al. 2020, appendix) without its geometric
ones: the pipeline's own warp moves image and points together. m = 0 is the weakest end of each range, m = 1 the
strongest one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from training.augment.config import Config
from training.augment.photometric import luma

GREY = 127.5
Operation = Callable[[Tensor, Tensor], Tensor]
"""(x f32[n,3,S,S] in [0, 255], m f32[n,1,1,1] in [0, 1]) -> changed x."""


def weak_of(cfg: Config) -> Config:
    """FixMatch's weak view: cfg's flip and translation, nothing else."""
    return Config(
        p_translate=cfg.p_translate, translate=cfg.translate, p_flip=cfg.p_flip, p_scale=0.0, p_rotate=0.0,
        p_occlude=0.0, p_blur=0.0, p_grey=0.0, brightness=0.0, contrast=0.0, saturation=0.0, noise=0.0,
    )  # fmt: skip


class Strong(BaseModel):
    """What a strong view has on top of the recipe's augmentation; the fields are those of augment.config.Config."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operations: int = Field(default=2, ge=0)
    magnitude: float = Field(default=1.0, ge=0, le=1)
    p_cutout: float = Field(default=1.0, ge=0, le=1)
    cutout: float = 0.5


def strong_of(cfg: Config, strong: Strong) -> Config:
    """FixMatch's strong view: all of cfg and, on top, colour operations and cutout."""
    return cfg.model_copy(update=strong.model_dump())


def change(x: Tensor, cfg: Config, draw: torch.Generator) -> Tensor:
    """The operations and cutout of cfg on x f32[B,3,S,S] in [0, 255]; draws nothing where they are off."""
    for _ in range(cfg.operations):
        x = one_operation(x, cfg.magnitude, draw)
    return cutout(x, cfg.p_cutout, cfg.cutout, draw) if cfg.p_cutout > 0 else x


def one_operation(x: Tensor, magnitude: float, draw: torch.Generator) -> Tensor:
    """One operation per sample, uniform over OPERATIONS, with a strength of its own."""
    which = torch.randint(len(OPERATIONS), (len(x),), generator=draw)
    strength = torch.rand(len(x), 1, 1, 1, generator=draw) * magnitude
    for i, operation in enumerate(OPERATIONS.values()):
        rows = torch.nonzero(which == i).squeeze(1)  # on the processor: the device need not be waited for
        if len(rows):
            there = rows.to(x.device)
            x = x.index_copy(0, there, operation(x[there], strength[rows].to(x.device)).clamp(0, 255))
    return x


def cutout(x: Tensor, p: float, largest: float, draw: torch.Generator) -> Tensor:
    """Grey out one square per chosen sample; its centre is uniform in the image, its side up to `largest` of S."""
    count, _, size, _ = x.shape
    half = torch.rand(count, 1, generator=draw) * largest * size / 2
    centre = torch.rand(count, 2, generator=draw) * size - 0.5
    chosen = torch.rand(count, 1, generator=draw) < p
    axis = torch.arange(size)
    inside = ((axis - centre.unsqueeze(-1)).abs() < half.unsqueeze(-1)) & chosen.unsqueeze(-1)  # [B,2,S]
    covered = (inside[:, 1, :, None] & inside[:, 0, None, :]).unsqueeze(1)
    return x.masked_fill(covered.to(x.device), GREY)


def identity(x: Tensor, m: Tensor) -> Tensor:
    """No change."""
    return x


def auto_contrast(x: Tensor, m: Tensor) -> Tensor:
    """Stretch every channel to [0, 255]; a flat one stays."""
    low, high = x.amin(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
    return torch.where(high > low, (x - low) * 255 / (high - low).clamp(min=1e-6), x)


def brightness(x: Tensor, m: Tensor) -> Tensor:
    """Blend with black: factor 0.95 to 0.05."""
    return x * _kept(m)


def colour(x: Tensor, m: Tensor) -> Tensor:
    """Blend with its greyscale: factor 0.95 to 0.05."""
    return luma(x) + (x - luma(x)) * _kept(m)


def contrast(x: Tensor, m: Tensor) -> Tensor:
    """Blend with its mean grey: factor 0.95 to 0.05."""
    mean = luma(x).mean(dim=(2, 3), keepdim=True)
    return mean + (x - mean) * _kept(m)


def sharpness(x: Tensor, m: Tensor) -> Tensor:
    """Blend with a 3x3 smoothing (centre 5, others 1, over 13): factor 0.95 to 0.05."""
    kernel = torch.ones(3, 1, 3, 3, device=x.device, dtype=x.dtype)
    kernel[:, :, 1, 1] = 5
    smooth = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel / 13, groups=3)
    return smooth + (x - smooth) * _kept(m)


def equalise(x: Tensor, m: Tensor) -> Tensor:
    """Histogram equalisation of every channel: v -> 255 (cdf(v) - cdf_min) / (S^2 - cdf_min)."""
    level = x.round().clamp(0, 255).long().flatten(2)
    histogram = torch.zeros(*level.shape[:2], 256, device=x.device)
    histogram.scatter_add_(2, level, torch.ones_like(level, dtype=histogram.dtype))
    below = histogram.cumsum(2)
    lowest = below.gather(2, level.amin(2, keepdim=True))
    span = level.shape[2] - lowest
    found = ((below - lowest) * 255 / span.clamp(min=1)).gather(2, level).view_as(x)
    return torch.where(span.unsqueeze(-1) > 0, found, x)


def posterise(x: Tensor, m: Tensor) -> Tensor:
    """Keep the 8 to 4 highest bits."""
    step = torch.exp2((4 * m).round())
    return torch.floor(x / step) * step


def solarise(x: Tensor, m: Tensor) -> Tensor:
    """Invert the values from a threshold of 256 to 0 on."""
    return torch.where(x >= 256 * (1 - m), 255 - x, x)


def _kept(m: Tensor) -> Tensor:
    """How much of the image a blend keeps: 0.95 at m = 0, 0.05 at m = 1."""
    return 0.95 - 0.9 * m


OPERATIONS: dict[str, Operation] = {
    "auto_contrast": auto_contrast,
    "brightness": brightness,
    "colour": colour,
    "contrast": contrast,
    "equalise": equalise,
    "identity": identity,
    "posterise": posterise,
    "sharpness": sharpness,
    "solarise": solarise,
}
