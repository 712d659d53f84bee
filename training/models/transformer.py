"""TF: the coordinate model of STLD (IV-B2, Fig. 5b): a DETR-like decoder with one query per landmark.

    x        f32[B,3,S,S]     normalised RGB
    memory   f32[B,T,D]       1x1 projection of the backbone's last feature map, T = h w tokens; no encoder layers.
                              HRNet: of its concatenated branches at stride 4 (4,096 tokens of a 256-px crop)
    position f32[T,D]         2-D sine encoding, y in the first half
    target   f32[B,K,D]       dynamic query: linear(mean over T of memory + position), then 4 decoder layers
    main     f32[B,K,2]       MLP D -> 512 -> 512 -> 2, crop widths, no sigmoid
    aux      f32[B,K,2]       a second last layer on the same hidden vector; never used by `predict`

In every decoder layer the cross-attention's output goes through a linear map and ReLU of each landmark's own before
it is added (the release has it, the paper does not mention it).

Differs from the paper: no sigmoid although the text normalises outputs to [0, 1] (as the release; labels may lie
outside the crop).
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from training.models.backbone import concat, feature_maps, is_parallel
from training.models.base import Network, OnBackbone

HIDDEN = 512  # width of the head
TEMPERATURE = 1e4  # of the sine encoding


class Config(OnBackbone):
    """Architecture of TF; the defaults are the paper's TF-R18."""

    codecs: ClassVar = ("coords",)

    kind: Literal["transformer"] = "transformer"
    width: int = Field(default=256, gt=0)  # D
    heads: int = Field(default=8, gt=0)
    layers: int = Field(default=4, gt=0)
    feed_forward: int = Field(default=2048, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)


class Transformer(Network):
    """Backbone, projection, decoder, main and auxiliary head."""

    def __init__(self, cfg: Config, landmarks: int) -> None:
        """Build the network for K = `landmarks` points; random weights unless cfg.pretrained."""
        super().__init__(cfg, landmarks)
        self.backbone, _, widths = feature_maps(cfg.backbone, cfg.backbone_options, cfg.pretrained, cfg.sepbn)
        self.parallel = is_parallel(cfg.backbone, cfg.backbone_options)
        self.project = nn.Conv2d(sum(widths) if self.parallel else widths[-1], cfg.width, 1)
        self.query = nn.Parameter(torch.randn(landmarks, cfg.width))
        self.start = nn.Linear(cfg.width, landmarks * cfg.width)
        nn.init.normal_(self.start.weight, std=0.001)
        nn.init.zeros_(self.start.bias)
        self.layers = nn.ModuleList(DecoderLayer(cfg, landmarks) for _ in range(cfg.layers))
        self.norm = nn.LayerNorm(cfg.width)
        self.hidden = nn.Sequential(nn.Linear(cfg.width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
        self.main = nn.Linear(HIDDEN, 2)
        self.aux = nn.Linear(HIDDEN, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates f32[B,K,2] of both heads, crop widths; x f32[B,3,S,S]."""
        hidden = self._decode(x)
        # bf16 has steps of 1/256 near 1, a pixel of a 256-px crop: the head stays in fp32
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = self.hidden(hidden.float())
            return self.main(hidden), self.aux(hidden)

    def _decode(self, x: Tensor) -> Tensor:
        maps = self.backbone(x)
        feature = self.project(concat(maps) if self.parallel else maps[-1])
        position = sine_position(feature.shape[-2], feature.shape[-1], self.cfg.width, feature.device)
        memory = feature.flatten(2).transpose(1, 2)
        keys = memory + position.to(memory.dtype)
        target: Tensor = self.start(keys.mean(dim=1)).unflatten(1, (-1, self.cfg.width))
        for layer in self.layers:
            target = layer(target, self.query, memory, keys)
        normed: Tensor = self.norm(target)
        return normed


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention with a projection per landmark, feed-forward; post-norm."""

    def __init__(self, cfg: Config, landmarks: int) -> None:
        """For K = `landmarks` queries of cfg.width."""
        super().__init__()
        self.self_attention = nn.MultiheadAttention(cfg.width, cfg.heads, cfg.dropout, batch_first=True)
        self.cross_attention = nn.MultiheadAttention(cfg.width, cfg.heads, cfg.dropout, batch_first=True)
        self.of_landmark = PerLandmark(landmarks, cfg.width)
        self.feed_forward = nn.Sequential(
            nn.Linear(cfg.width, cfg.feed_forward), nn.ReLU(), nn.Dropout(cfg.dropout),
            nn.Linear(cfg.feed_forward, cfg.width),
        )  # fmt: skip
        self.norms = nn.ModuleList(nn.LayerNorm(cfg.width) for _ in range(3))
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(self, target: Tensor, query: Tensor, memory: Tensor, keys: Tensor) -> Tensor:
        """f32[B,K,D] of target f32[B,K,D], query f32[K,D], memory and keys (memory + position) f32[B,T,D]."""
        placed = target + query
        found, _ = self.self_attention(placed, placed, target, need_weights=False)
        target = self.norms[0](target + self.dropout(found))
        found, _ = self.cross_attention(target + query, keys, memory, need_weights=False)
        target = self.norms[1](target + self.dropout(torch.relu(self.of_landmark(found))))
        out: Tensor = self.norms[2](target + self.dropout(self.feed_forward(target)))
        return out


class PerLandmark(nn.Module):
    """A linear map D -> D of its own for each landmark."""

    def __init__(self, landmarks: int, width: int) -> None:
        """K maps, initialised as nn.Linear."""
        super().__init__()
        bound = 1 / math.sqrt(width)
        self.weight = nn.Parameter(torch.empty(landmarks, width, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(landmarks, width).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """f32[B,K,D] -> f32[B,K,D]."""
        return torch.einsum("bki,kio->bko", x, self.weight.to(x.dtype)) + self.bias.to(x.dtype)


def sine_position(height: int, width: int, channels: int, device: torch.device) -> Tensor:
    """f32[h w, channels]: y in the first half, x in the second; sine and cosine interleaved, rows in C order."""
    half = channels // 2
    frequency = TEMPERATURE ** (torch.arange(half, device=device) // 2 * 2 / half)

    def encode(count: int) -> Tensor:
        place = torch.arange(1, count + 1, device=device) * (2 * math.pi / count)
        angle = place.unsqueeze(1) / frequency
        return torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], dim=2).flatten(1)

    y = encode(height).unsqueeze(1).expand(-1, width, -1)
    x = encode(width).unsqueeze(0).expand(height, -1, -1)
    return torch.cat([y, x], dim=2).flatten(0, 1)
