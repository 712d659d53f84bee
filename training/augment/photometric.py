"""Changes of colour and sharpness, batched; none of them moves a point."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.augment.config import Config

LUMA = (0.299, 0.587, 0.114)


def change(x: Tensor, cfg: Config, draw: torch.Generator) -> Tensor:
    """Occlusion, blur, colour, greyscale and noise of x f32[B,3,S,S] in [0, 255], clipped back to that range.

    x is overwritten: memory is what limits these steps, and a new tensor costs more than the arithmetic.
    """
    occlude_(x, cfg.p_occlude, cfg.occlude, draw)
    blur_(x, cfg.p_blur, cfg.blur, draw)
    x = colour(x, cfg, draw)
    if cfg.noise > 0:
        level = torch.rand(len(x), 1, 1, 1, generator=draw) * cfg.noise
        grain = torch.randn(x.shape[0], 1, *x.shape[2:], generator=draw)
        x.add_((level * grain).to(x.device))
    leaves_range = cfg.noise > 0 or cfg.brightness > 0 or cfg.contrast > 0 or cfg.saturation > 0
    return x.clamp_(0, 255) if leaves_range else x


def occlude_(x: Tensor, p: float, largest: float, draw: torch.Generator) -> None:
    """Cover one rectangle per chosen sample with a random plain colour; sides uniform up to `largest` of S."""
    count, _, size, _ = x.shape
    extent = torch.rand(count, 2, generator=draw) * largest * size
    start = torch.rand(count, 2, generator=draw) * (size - extent)
    tint = (torch.rand(count, 3, 1, 1, generator=draw) * 255).to(x.device)
    chosen = torch.rand(count, generator=draw) < p
    first, last = start.ceil().int().tolist(), (start + extent).ceil().int().tolist()
    for i in torch.nonzero(chosen).flatten().tolist():
        (left, top), (right, bottom) = first[i], last[i]
        x[i, :, top:bottom, left:right] = tint[i]


def blur_(x: Tensor, p: float, largest: float, draw: torch.Generator) -> None:
    """Gaussian blur of the chosen samples, radius (standard deviation) uniform in (0, largest] px."""
    count = len(x)
    radius = torch.rand(count, generator=draw) * largest
    chosen = torch.nonzero(torch.rand(count, generator=draw) < p).squeeze(1)
    if len(chosen) == 0 or largest <= 0:
        return
    reach = int(2.5 * largest + 0.5)
    axis = torch.arange(-reach, reach + 1).float()
    kernel = torch.exp(-axis.square() / (2 * radius[chosen, None].clamp(min=0.05).square()))
    kernel = (kernel / kernel.sum(1, keepdim=True)).to(x.device).repeat_interleave(3, dim=0)
    picked = x[chosen.to(x.device)].flatten(0, 1).unsqueeze(0)  # [1,3n,S,S]: one group per channel
    groups = picked.shape[1]
    picked = F.pad(picked, (reach, reach, reach, reach), mode="replicate")
    picked = F.conv2d(picked, kernel.view(groups, 1, 1, -1), groups=groups)
    picked = F.conv2d(picked, kernel.view(groups, 1, -1, 1), groups=groups)
    x.index_copy_(0, chosen.to(x.device), picked.reshape(len(chosen), *x.shape[1:]))


def colour(x: Tensor, cfg: Config, draw: torch.Generator) -> Tensor:
    """Brightness, contrast and saturation, and greyscale for some samples.

    One affine map of every pixel's colour x, c (s x + (1 - s) y) + (1 - c) m + b: y is its grey level, m the sample's
    mean of y, and s, c, b the sample's saturation (0: greyscale), contrast and brightness.
    """
    count = len(x)

    def uniform(reach: float) -> Tensor:
        return (torch.rand(count, 1, 1, generator=draw) * 2 - 1) * reach

    grey = torch.rand(count, 1, 1, generator=draw) < cfg.p_grey
    saturation = uniform(cfg.saturation).exp().masked_fill(grey, 0.0)
    contrast, brightness = uniform(cfg.contrast).exp(), uniform(cfg.brightness) * 255
    weights = torch.tensor(LUMA)
    if cfg.saturation == cfg.contrast == cfg.brightness == 0:
        rows = torch.nonzero(grey.flatten()).squeeze(1).to(x.device)
        return x.index_copy_(0, rows, luma(x[rows]).expand(-1, 3, -1, -1)) if len(rows) else x
    linear = (contrast * (saturation * torch.eye(3) + (1 - saturation) * weights)).to(x.device)  # [B,3,3]
    mean = x.mean(dim=(2, 3)) @ weights.to(x.device)
    offset = (1 - contrast).to(x.device) * mean.view(-1, 1, 1) + brightness.to(x.device)
    return torch.baddbmm(offset, linear, x.flatten(2)).view_as(x)


def luma(x: Tensor) -> Tensor:
    """Grey levels f32[B,1,S,S] of x f32[B,3,S,S] RGB."""
    return (x * torch.tensor(LUMA, device=x.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
