"""HybridMatch: weak and strong views with 1-D and 2-D heatmaps (Kang, Lee, Kim, Shim, IEEE Access 2023).

    x, y     labelled crops and their landmarks            u    unlabelled crops, mu for each labelled one
    w        from w_0 to w_1, linearly over the stage: how much the 1-D heatmaps are relied on
    q_2, c_2 points and peaks of the 2-D heatmaps of weak(u)      no gradient; f32[B,K,2] crop px, f32[B,K] in [0, 1]
    q_1, c_1 points and peaks of the 1-D heatmaps of weak(u)      c_1: the lower one of both axes
    q        (1 - w) q_2 + w q_1, carried to the strong view
    l_s      mean E_2(x, y) + b E_1(x, y)
    l_u      mean (1 - w) c_2 E_2(strong(u), q) + w b c_1 E_1(strong(u), q)
    loss   = l_s + lambda_u l_u

E_2: squared error of the 2-D heatmap, mean over its cells. E_1: of the 1-D heatmaps, mean over bins and axes. Both
against Gaussians drawn at the point. No threshold: a pseudo-label counts as much as its confidence says.
weak: flip and translation. strong: the recipe's whole augmentation.

Differs from the paper: only its abstract was at hand. From the abstract: 2-D heatmaps against noisy pseudo-labels, 1-D
heatmaps against quantisation, and a curriculum that relies on 2-D first and more and more on 1-D. Ours: that w rises
linearly and acts on the pseudo-label's point and on both terms of l_u; peaks as confidence; b, both widths, mu, the
views and the lengths; batch norm as in fixmatch; how the answer is made of both (see the hybrid network).
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from lmdeploy.errors import InputError
from training.augment import config
from training.augment.strong import weak_of
from training.codec import profile, subpixel
from training.data.crops import Crops
from training.engine.batch import Batch, carry
from training.engine.fit import Stage, Step
from training.engine.streams import answer, split
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.losses.landmark_error import landmark_error
from training.losses.source_mean import source_mean
from training.models.hybrid import Hybrid, Raw
from training.models.raw import RawOutputs


class Config(BaseModel):
    """Weights, widths and lengths."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lambda_u: float = Field(default=1.0, ge=0)  # weight of the unlabelled loss
    b: float = Field(default=0.1, ge=0)  # weight of E_1 beside E_2, whose mean runs over mostly empty cells
    w: tuple[float, float] = (0.0, 0.5)  # w_0, w_1
    mu: int = Field(default=1, ge=1)  # unlabelled images per labelled one
    sigma: float = 1.5  # width of the 2-D Gaussian, map cells
    sigma_1d: float = 4.0  # width of the 1-D Gaussian, crop px
    epochs: int = 60  # an epoch sees every unlabelled image once
    decay_at: tuple[int, ...] = (40, 50)
    oversample: int = 100  # the unlabelled list is repeated up to this length


def errors(cfg: Config, raw: Raw, points: Tensor) -> tuple[Tensor, Tensor]:
    """E_2 and E_1 f32[B,K] of the network's heatmaps against points f32[B,K,2], crop px."""
    side, cells = raw.profiles.shape[-1], raw.maps.shape[-1]
    one = torch.ones(len(points), device=points.device)
    maps = subpixel.encode(points, cfg.sigma * one, cells, side // cells)
    profiles = profile.encode(points, cfg.sigma_1d, side)
    return landmark_error(raw.maps, maps, one), landmark_error(raw.profiles, profiles, one)


def read(raw: Raw, reach: int, w: float) -> tuple[Tensor, Tensor, Tensor]:
    """Point (1 - w) q_2 + w q_1 f32[B,K,2] in the view's crop px, c_2 and c_1 f32[B,K] of the network's heatmaps."""
    q_2 = subpixel.decode(raw.maps, raw.profiles.shape[-1] // raw.maps.shape[-1])
    q_1, peaks = profile.decode(raw.profiles, reach)
    c_2, c_1 = raw.maps.amax(dim=(-2, -1)), peaks.amin(dim=-1)
    return (1 - w) * q_2 + w * q_1, c_2.clamp(0, 1), c_1.clamp(0, 1)


def hybrid_step(cfg: Config, reach: int, flip_index: Tensor, augment: config.Config) -> Step:
    """Losses of one batch of both streams; `confidence` is the mean of what l_u weighs with."""
    weak = weak_of(augment)

    def step(raw_outputs: nn.Module, batch: Batch) -> dict[str, Tensor]:
        w = cfg.w[0] + (cfg.w[1] - cfg.w[0]) * batch.progress
        known, u = split(batch, cfg.mu)
        u_weak = u.view(weak)
        found, c_2, c_1 = read(Raw(*answer(raw_outputs, u_weak.x)), reach, w)
        renamed = (u_weak.flip != u.flip).unsqueeze(1)
        c_2, c_1 = (torch.where(renamed, c[:, flip_index], c) for c in (c_2, c_1))
        q = carry(found, u_weak, u, flip_index)
        e_2, e_1 = errors(cfg, Raw(*raw_outputs(batch.x)), torch.cat([known.points, q]))
        count, every = len(known.x), torch.ones_like(u.visible)
        l_s = source_mean(e_2[:count] + cfg.b * e_1[:count], known.visible)
        l_u = source_mean((1 - w) * c_2 * e_2[count:] + w * cfg.b * c_1 * e_1[count:], every)
        confidence = ((1 - w) * c_2 + w * c_1).mean()
        return {"loss": l_s + cfg.lambda_u * l_u, "l_s": l_s, "l_u": l_u, "confidence": confidence}

    return step


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> Hybrid:
    """One stage over both streams."""
    network = trainer.new_network()
    if not isinstance(network, Hybrid):
        raise InputError(
            f"hybridmatch trains a hybrid network, not a {network.cfg.kind} one: set network.kind = 'hybrid' and "
            "codec = 'coords', and give no --init of another kind"
        )
    parts = [Part(labelled), Part(unlabelled, pseudo=True, oversample=cfg.oversample)]
    step = hybrid_step(cfg, network.cfg.reach, trainer.drawer(parts).flip_index, trainer.settings.augment)
    stage = Stage(name="hybridmatch", epochs=cfg.epochs, decay_at=cfg.decay_at, mu=cfg.mu)
    trainer.fit(RawOutputs(network), parts, step, stage)
    trainer.report(network, "hybridmatch")
    return network
