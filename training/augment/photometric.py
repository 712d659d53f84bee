"""Changes of colour and sharpness, batched; none of them moves a point."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.augment.config import Config

LUMA = (0.299, 0.587, 0.114)


def change(x: Tensor, cfg: Config, draw: torch.Generator) -> Tensor:
    """Occlusion, blur, colour, greyscale and noise of x f32[B,3,S,S] in [0, 255], clipped back to that range."""
    x = occlude(x, cfg.p_occlude, cfg.occlude, draw)
    x = blur(x, cfg.p_blur, cfg.blur, draw)
    x = colour(x, cfg, draw)
    if cfg.noise > 0:
        level = torch.rand(len(x), 1, 1, 1, generator=draw) * cfg.noise
        grain = torch.randn(x.shape[0], 1, *x.shape[2:], generator=draw)
        x = x + (level * grain).to(x.device)
    return x.clamp(0, 255)


def occlude(x: Tensor, p: float, largest: float, draw: torch.Generator) -> Tensor:
    """Cover one rectangle per chosen sample with a random plain colour; sides uniform up to `largest` of S."""
    count, _, size, _ = x.shape
    extent = torch.rand(count, 2, generator=draw) * largest * size
    start = torch.rand(count, 2, generator=draw) * (size - extent)
    tint = (torch.rand(count, 3, 1, 1, generator=draw) * 255).to(x.device)
    chosen = torch.rand(count, 1, generator=draw) < p
    axis = torch.arange(size)
    inside = (axis >= start.unsqueeze(-1)) & (axis < (start + extent).unsqueeze(-1)) & chosen.unsqueeze(-1)
    covered = (inside[:, 1, :, None] & inside[:, 0, None, :]).unsqueeze(1).to(x.device)
    return torch.where(covered, tint, x)


def blur(x: Tensor, p: float, largest: float, draw: torch.Generator) -> Tensor:
    """Gaussian blur of the chosen samples, radius (standard deviation) uniform in (0, largest] px."""
    count = len(x)
    radius = torch.rand(count, generator=draw) * largest
    chosen = torch.nonzero(torch.rand(count, generator=draw) < p).squeeze(1)
    if len(chosen) == 0 or largest <= 0:
        return x
    reach = int(2.5 * largest + 0.5)
    axis = torch.arange(-reach, reach + 1).float()
    kernel = torch.exp(-axis.square() / (2 * radius[chosen, None].clamp(min=0.05).square()))
    kernel = (kernel / kernel.sum(1, keepdim=True)).to(x.device).repeat_interleave(3, dim=0)
    picked = x[chosen.to(x.device)].flatten(0, 1).unsqueeze(0)  # [1,3n,S,S]: one group per channel
    groups = picked.shape[1]
    picked = F.pad(picked, (reach, reach, reach, reach), mode="replicate")
    picked = F.conv2d(picked, kernel.view(groups, 1, 1, -1), groups=groups)
    picked = F.conv2d(picked, kernel.view(groups, 1, -1, 1), groups=groups)
    return x.index_copy(0, chosen.to(x.device), picked.reshape(len(chosen), *x.shape[1:]))


def colour(x: Tensor, cfg: Config, draw: torch.Generator) -> Tensor:
    """Brightness, contrast and saturation, and greyscale for some samples."""

    def uniform(reach: float) -> Tensor:
        return ((torch.rand(len(x), 1, 1, 1, generator=draw) * 2 - 1) * reach).to(x.device)

    grey = (torch.rand(len(x), 1, 1, 1, generator=draw) < cfg.p_grey).to(x.device)
    saturation = uniform(cfg.saturation).exp().masked_fill(grey, 0.0)
    light = luma(x)
    x = light + (x - light) * saturation
    mean = light.mean(dim=(2, 3), keepdim=True)
    return mean + (x - mean) * uniform(cfg.contrast).exp() + uniform(cfg.brightness) * 255


def luma(x: Tensor) -> Tensor:
    """Grey levels f32[B,1,S,S] of x f32[B,3,S,S] RGB."""
    return (x * torch.tensor(LUMA, device=x.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
