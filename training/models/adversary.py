"""The adversarial auto-encoder of 3FabRec: its two discriminators, and one pass in which everybody plays its part.

    D_z     99 -> 1000 -> 1000 -> 1, dropout 0.2 and ReLU: was z drawn from N(0, I)?
    D       4x4 convolutions of stride 2 (BN from the second on, leaky ReLU 0.2), a 4x4 one to 1 channel, mean over
            its map: is the image a photograph?

Both give logits; D_z(z) and D(x) of the paper are their sigmoids. A discriminator is trained on what it is shown
without a gradient to the auto-encoder, and the auto-encoder through a discriminator whose weights are held still, so
that one sum of losses and one backward pass train all four, each with its own loss alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.func import functional_call

from training.models.autoencoder import Encoder, Generator


class Config(BaseModel):
    """Size of the discriminators; the defaults are the published ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: int = Field(default=1000, gt=0)  # width of D_z
    widths: tuple[int, ...] = Field(default=(32, 64, 128, 256, 256), min_length=1)  # of D's convolutions
    dropout: float = Field(default=0.2, ge=0, lt=1)  # of D_z


class LatentCritic(nn.Sequential):
    """D_z: logits f32[B,1] of z f32[B,latent]."""

    def __init__(self, latent: int, cfg: Config) -> None:
        """Random weights."""
        super().__init__(
            nn.Linear(latent, cfg.hidden), nn.Dropout(cfg.dropout), nn.ReLU(inplace=True),
            nn.Linear(cfg.hidden, cfg.hidden), nn.Dropout(cfg.dropout), nn.ReLU(inplace=True),
            nn.Linear(cfg.hidden, 1),
        )  # fmt: skip


class ImageCritic(nn.Module):
    """D."""

    def __init__(self, cfg: Config) -> None:
        """Random weights."""
        super().__init__()
        inputs, layers = 3, list[nn.Module]()
        for i, outputs in enumerate(cfg.widths):
            layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False))
            layers += [nn.BatchNorm2d(outputs)] if i else []
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.last = nn.Conv2d(inputs, 1, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits f32[B,1] of images f32[B,3,S,S]."""
        feature = self.layers(x)
        # a small image's last map is smaller than the last kernel
        short = max(4 - feature.shape[-1], 0)
        logits: Tensor = self.last(F.pad(feature, (0, short, 0, short)))
        return logits.mean(dim=(-2, -1))


class Turn(NamedTuple):
    """Who plays in this pass: D_z learns, Q deceives D_z, D learns, P and Q deceive D."""

    latent_critic: bool
    deceive_latent: bool
    image_critic: bool
    deceive_image: bool


class Played(NamedTuple):
    """What a pass gives: the reconstruction f32[B,3,S,S] and logits f32[B,1], None for those whose turn it is not.

    prior, code: of D_z on N(0, I) and on z. photo, fake: of D on x and x'. code_deceives, fake_deceives: the same
    with the gradient going to the auto-encoder.
    """

    image: Tensor
    prior: Tensor | None
    code: Tensor | None
    code_deceives: Tensor | None
    photo: Tensor | None
    fake: Tensor | None
    fake_deceives: Tensor | None


class Adversarial(nn.Module):
    """Encoder, generator (both of a network, whose weights they stay) and the two discriminators."""

    def __init__(self, encoder: Encoder, generator: Generator, cfg: Config) -> None:
        """The discriminators start from random weights."""
        super().__init__()
        self.encoder, self.generator = encoder, generator
        self.latent_critic = LatentCritic(encoder.latent.out_features, cfg)
        self.image_critic = ImageCritic(cfg)

    def forward(self, x: Tensor, prior: Tensor, turn: Turn) -> Played:
        """Images x f32[B,3,S,S] on the auto-encoder's scale, draws prior f32[B,99] of N(0, I)."""
        z, _ = self.encoder(x)
        image = self.generator(z)
        d_z, d = self.latent_critic, self.image_critic
        return Played(
            image,
            d_z(prior) if turn.latent_critic else None,
            d_z(z.detach()) if turn.latent_critic else None,
            _still(d_z, z) if turn.deceive_latent else None,
            d(x) if turn.image_critic else None,
            d(image.detach()) if turn.image_critic else None,
            _still(d, image) if turn.deceive_image else None,
        )


def _still(critic: nn.Module, shown: Tensor) -> Tensor:
    """The critic's logits f32[B,1]; the gradient goes to what it is shown alone."""
    held = {name: weight.detach() for name, weight in critic.named_parameters()}
    logits: Tensor = functional_call(critic, held, (shown,))
    return logits


def prior_like(count: int, network: nn.Module, device: torch.device) -> Tensor:
    """Draws f32[count,99] of N(0, I), from torch's own generator on the processor."""
    width = next(m for m in network.modules() if isinstance(m, Encoder)).latent.out_features
    return torch.randn(count, width).to(device)
