"""MAE's asymmetric autoencoder around the vision transformer of a detection network.

    x       f32[B,3,S,S]    normalised RGB; N = (S / P)^2 patches of P px, tokens of D values
    seen    i64[B,V]        patches that the encoder sees, V = floor(N (1 - mask)); the others are hidden
    encoder: D-wide tokens of the seen patches (with position, and a class token where the backbone has one) through
             all blocks
    decoder: layer norm; linear D -> D'; the mask token for each hidden patch; sine positions; pre-norm blocks;
             layer norm; linear D' -> P P 3

The encoder is the backbone's own module, so training this autoencoder trains the backbone.

Differs from the paper: the layer norm after the encoder's last block stands in the decoder, because the backbone of a
detection network hands on its last block's tokens as they are; prefix tokens do not enter the decoder.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from lmdeploy.errors import InputError
from training.models import Network
from training.models.transformer import sine_position


class Config(BaseModel):
    """Share of hidden patches and size of the decoder; the defaults are MAE's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mask: float = Field(default=0.75, gt=0, lt=1)
    width: int = Field(default=512, gt=0, multiple_of=4)  # D'
    depth: int = Field(default=8, gt=0)
    heads: int = Field(default=16, gt=0)


def encoder_of(network: Network) -> VisionTransformer:
    """The vision transformer of a network's backbone.

    Raises:
        InputError: another kind of backbone, which has no patches to hide.
    """
    encoder = getattr(network.backbone, "model", None)
    if not isinstance(encoder, VisionTransformer):
        raise InputError(
            f"masked pretraining hides patches, and backbone {network.cfg.backbone!r} has none: set network.backbone "
            "to a vision transformer of timm, such as 'vit_tiny_patch16_224'"
        )
    return encoder


class MaskedAutoencoder(nn.Module):
    """Encoder (shared with the network) and decoder."""

    def __init__(self, network: Network, cfg: Config) -> None:
        """Wrap the backbone of `network`; the decoder starts from random weights."""
        super().__init__()
        self.cfg = cfg
        self.encoder = encoder_of(network)
        self.side = int(self.encoder.patch_embed.patch_size[0])
        self.bring = nn.Sequential(nn.LayerNorm(self.encoder.embed_dim), nn.Linear(self.encoder.embed_dim, cfg.width))
        self.mask_token = nn.Parameter(torch.randn(cfg.width) * 0.02)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                cfg.width, cfg.heads, 4 * cfg.width, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(cfg.depth)
        )
        self.pixels = nn.Sequential(nn.LayerNorm(cfg.width), nn.Linear(cfg.width, self.side**2 * 3))

    def forward(self, x: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        """Patches f32[B,N,P P 3] and which of them were hidden, bool[B,N].

        x: f32[B,3,S,S]. order: i64[B,N], a permutation of each image's patches: the first V are seen.
        """
        count = order.shape[1]
        seen = order[:, : max(int(count * (1 - self.cfg.mask)), 1)]
        found: Tensor = self.bring(self.encode(x, seen))
        index = seen.unsqueeze(-1).expand_as(found)
        tokens = self.mask_token.to(found.dtype).expand(len(x), count, -1).scatter(1, index, found)
        rows = x.shape[-1] // self.side
        tokens = tokens + sine_position(rows, rows, self.cfg.width, x.device)
        for block in self.blocks:
            tokens = block(tokens)
        hidden = torch.ones_like(order, dtype=torch.bool).scatter(1, seen, False)
        return self.pixels(tokens), hidden

    def encode(self, x: Tensor, seen: Tensor) -> Tensor:
        """Tokens f32[B,V,D] of the patches `seen` i64[B,V] alone; the others never enter a block."""
        prefix = self.encoder.num_prefix_tokens

        def keep(module: nn.Module, inputs: Any, tokens: Tensor) -> Tensor:
            patches = tokens[:, prefix:]
            index = seen.unsqueeze(-1).expand(-1, -1, tokens.shape[-1])
            return torch.cat([tokens[:, :prefix], patches.gather(1, index)], dim=1)

        # timm drops patches here, after the position is added and before the first block
        handle = self.encoder.patch_drop.register_forward_hook(keep)
        try:
            tokens: Tensor = self.encoder.forward_features(x)
        finally:
            handle.remove()
        return tokens[:, prefix:]
