"""Easy-hard augmentation carried over to heatmap landmarks (Xie et al. 2021; a rival of STLD, Table I).

    x, y        labelled crops and their landmarks         u       unlabelled crops, mu for each labelled one
    u_e         easy view of u: flip, rotation, scale
    H_e         main map of u_e                            no gradient
    A           another rotation and scale; u_h = A(u_e) with some of the landmarks found in H_e hidden
    l_s         squared error of main(x) against the Gaussian of y
    l_u         squared error of main(u_h) against A(H_e), over all cells
    loss      = l_s + w l_u

PoseCons: one network is its own teacher. PoseDual: two networks, H_e of one teaches the other and the other way
round, each with an A and hidden landmarks of its own; the first of them is the result.

Without the gap between both views the network's answers for u are consistent as soon as they are constant: that is
the collapse which the paper names, and the easy teacher prevents.

Batch norm: the labelled and the hard images go through a network as one batch and share its statistics; easy ones are
answered with the running statistics and do not move them.

Differs from the paper: landmarks for body joints, lengths of the cutout in proportion to the crop; easy rotations are
drawn uniformly and easy scales log-uniformly; the optimiser is the recipe's, the lengths are STLD's; mu is an option.
From --init, both networks of PoseDual start alike and part only through their hard views. STLD does not say which of
the two it compares with: the default is PoseCons.
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from training.augment import config, geometry, harder
from training.augment.strong import weak_of
from training.augment.warp_maps import warp_maps
from training.codec import CODECS
from training.data.crops import Crops
from training.engine.batch import Batch
from training.engine.fit import Stage, Step
from training.engine.online import maps_only, streams_of
from training.engine.streams import answer, split
from training.engine.trainer import Trainer
from training.losses.landmark_error import landmark_error
from training.losses.source_mean import source_mean
from training.models import Network, build
from training.models.heatmap import Heatmap


class Config(BaseModel):
    """Variant, views, weight and lengths."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: Literal["PoseCons", "PoseDual"] = "PoseCons"
    w: float = Field(default=1.0, ge=0)  # weight of the unlabelled loss
    mu: int = Field(default=1, ge=1)  # unlabelled images per labelled one
    easy_rotate: float = 30.0  # degrees, uniform +-
    easy_scale: float = Field(default=0.25, ge=0, lt=1)  # uniform in log scale, +-
    hard: harder.Config = harder.Config()
    sigma: float = 1.5  # width of the labelled Gaussian, map cells
    epochs: int = 60  # an epoch sees every unlabelled image once
    decay_at: tuple[int, ...] = (40, 50)
    oversample: int = 100  # the unlabelled list is repeated up to this length


class Team(nn.Module):
    """One network, or two that teach each other."""

    def __init__(self, members: list[Heatmap]) -> None:
        """Hold the members; the first one is the result of the training."""
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Main maps f32[B,K,h,w] of each member for an input f32[B,3,S,S] of its own."""
        return tuple(member(x)[0] for member, x in zip(self.members, inputs, strict=True))


class Harder:
    """Makes hard views of easy ones, with their targets."""

    def __init__(self, cfg: harder.Config, codec: str, stride: int) -> None:
        """stride: crop px per map cell."""
        self._cfg, self._decode, self._stride = cfg, CODECS[codec].decode, stride

    def of(self, easy: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """u_h f32[B,3,S,S] and A(H_e) f32[B,K,h,w] of u_e f32[B,3,S,S] and H_e f32[B,K,h,w]."""
        size = easy.shape[-1]
        matrices = harder.draw_matrices(len(easy), size, self._cfg).to(easy.device)
        points = geometry.transform(matrices, self._decode(maps, self._stride))
        hard = harder.hide_joints(geometry.warp(easy, matrices, size), points, self._cfg)
        return hard, warp_maps(maps, matrices, self._stride)


def easy_of(cfg: Config, augment: config.Config) -> config.Config:
    """The easy view: the recipe's flip, the easy rotation and scale, nothing else."""
    changes = {"p_rotate": 1.0, "rotate": cfg.easy_rotate, "p_scale": 1.0, "scale": cfg.easy_scale}
    return weak_of(augment).model_copy(update={"p_translate": 0.0} | changes)


def easy_hard_step(cfg: Config, make: Harder, augment: config.Config) -> Step:
    """Losses of one batch of both streams, summed over the members of a team."""
    view = easy_of(cfg, augment)

    def step(team: nn.Module, batch: Batch) -> dict[str, Tensor]:
        known, u = split(batch, cfg.mu)
        easy = u.view(view).x
        members = 1 if cfg.variant == "PoseCons" else 2
        taught = [maps.float() for maps in answer(team, *[easy] * members)]
        # the teacher of member i is the one before it: itself where it is alone
        hard = [make.of(easy, taught[i - 1]) for i in range(members)]
        outs = team(*[torch.cat([known.x, x]) for x, _ in hard])
        errors = [
            landmark_error(main, torch.cat([known.target, target]), batch.p)
            for main, (_, target) in zip(outs, hard, strict=True)
        ]
        n = len(known.x)
        l_s = torch.stack([source_mean(error[:n], known.visible) for error in errors]).sum()
        l_u = torch.stack([source_mean(error[n:], torch.ones_like(u.visible)) for error in errors]).sum()
        return {"loss": l_s + cfg.w * l_u, "l_s": l_s, "l_u": l_u}

    return step


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> Network:
    """One stage over both streams; returns the (first) network."""
    network = maps_only(trainer.new_network(), "easy_hard")
    members = [network] if cfg.variant == "PoseCons" else [network, second_of(trainer, network)]
    parts = streams_of(cfg.sigma, cfg.oversample, labelled, unlabelled)
    make = Harder(cfg.hard, trainer.settings.spec.codec, network.cfg.stride)
    stage = Stage(name="easy_hard", epochs=cfg.epochs, decay_at=cfg.decay_at, mu=cfg.mu)
    trainer.fit(Team(members), parts, easy_hard_step(cfg, make, trainer.settings.augment), stage)
    trainer.report(network, "easy_hard")
    return network


def second_of(trainer: Trainer, network: Heatmap) -> Heatmap:
    """PoseDual's other network: other random weights, or --init's."""
    if trainer.starts_from_init:
        return copy.deepcopy(network)
    # the generator has moved on since the first network was drawn from the run's seed
    other = maps_only(build(trainer.settings.network, trainer.settings.spec.landmarks.points), "easy_hard")
    return other.to(trainer.fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
