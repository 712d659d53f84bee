"""TS3's teacher as a judge of any heatmap network's labels (TS3, Eqs. 3 and 4; Algorithm 1, lines 8 and 9).

    H   = the network's maps of x                               no gradient
    g   <- Adam on mean |g(x, H) + d(H, H*)|                    labelled crops, random views
    q_u = g(x_u, H_u)                                           unlabelled crops; higher is better

Differs from the paper: H is predicted on the random view instead of being moved with it; the teacher's epochs are not
stated (50 here).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from lmdeploy.errors import InputError
from lmdeploy.types import F32
from training.augment import config
from training.data.crops import Crops
from training.engine.batch import Batch
from training.engine.fit import Schedule, Stage, Step
from training.engine.plain import plain_batches
from training.engine.pseudo_labels import Quality
from training.engine.streams import answer
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.losses.quality import gap, teacher_loss
from training.models import Network
from training.models.patch_teacher import PatchTeacher
from training.models.students import Students

Asked = Literal["none", "ts3"]
"""Who judges the pseudo-labels of another method."""


class JudgeOptions(BaseModel):
    """How the teacher is trained; the defaults are TS3's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=50, ge=1)
    lr: float = Field(default=0.01, gt=0)
    batch: int = Field(default=128, gt=0)
    width: int = Field(default=64, gt=0)  # channels of its first convolution
    p_flip: float = Field(default=0.5, ge=0, le=1)  # of its views; their other changes are the students'


def judge(options: JudgeOptions, trainer: Trainer, network: Network, truth: Part, name: str) -> Quality:
    """Train a new teacher on the labelled part `truth` for the maps of `network`; `name` is its stage in the run."""
    spec, device = trainer.settings.spec, trainer.fabric.device
    torch.manual_seed(trainer.settings.seed)
    teacher = PatchTeacher(_channels(network, spec.landmarks.points), options.width).to(device)
    schedule = Schedule(batch=options.batch, lr=options.lr)
    view = trainer.settings.augment.model_copy(update={"p_flip": options.p_flip})
    trainer.fit(teacher, [truth], teacher_step(network, truth.sigma, view), _stage(options, name), schedule)

    def of(crops: Crops) -> F32:
        return scores(teacher, network, crops, spec.crop.size, device)

    return Quality(teacher, "ts3", of)


def asked(kind: Asked, trainer: Trainer, network: Network, truth: Part, name: str) -> Quality | None:
    """The judge of another method's round `name`: a teacher trained on the labelled part `truth`, or nobody."""
    if kind == "none":
        return None
    options = JudgeOptions(lr=0.001)  # 0.01 is for TS3's own maps of 64 px faces; this is the specification's fallback
    return judge(options, trainer, network, truth, f"{name}-teacher")


def teacher_step(network: Network, sigma: float, view: config.Config) -> Step:
    """One batch: what `network` says of views of its samples, and how far that is from the truth; sigma in cells."""

    def step(teacher: nn.Module, batch: Batch) -> dict[str, Tensor]:
        seen = batch.view(view)
        maps = maps_of(network, seen.x)
        distance = gap(maps, seen.target, seen.visible, sigma)
        return {"loss": teacher_loss(teacher(seen.x, maps), distance), "distance": distance.mean()}

    return step


def maps_of(network: Network, x: Tensor) -> Tensor:
    """Maps f32[B,C,h,w] that the network predicts for x f32[B,3,S,S], of TS3's students with the background."""
    main, aux = answer(network, x)[:2]
    return (aux if isinstance(network, Students) else main).float()


def scores(teacher: nn.Module, network: Network, crops: Crops, size: int, device: torch.device) -> F32:
    """The quality q f32[N] of the network's maps of the plain crops; higher is better."""
    teacher.eval()
    with torch.no_grad():
        found = [teacher(x, maps_of(network, x)).cpu().numpy() for x, _ in plain_batches(crops, size, device)]
    return np.concatenate(found).astype(np.float32)


def _channels(network: Network, landmarks: int) -> int:
    if network.cfg.kind not in ("cpm", "heatmap", "hourglass", "ts3"):
        raise InputError(
            f"quality = 'ts3' judges maps, which a {network.cfg.kind} network has none of: set network.kind = "
            "'heatmap', or quality = 'none'"
        )
    return landmarks + (isinstance(network, Students) and network.cfg.students[0].background)


def _stage(options: JudgeOptions, name: str) -> Stage:
    return Stage(name=name, epochs=options.epochs)
