"""STLD: selection-free self-training with a task curriculum (Jin, Che, Chen; Sections III-C to IV-C).

    pseudo = None
    for r = 0 .. T:                        r = 0 is the supervised start, T = 4
        net = new network
        if r >= 1:                         pseudo pretraining (PP): all pseudo-labels as if they were true
            if r >= 2: net <- PP weights of round r - 1, and PP takes a fifth of the epochs
            fit main head on pseudo
            keep PP weights
        r <= 1: data = labelled            stage 2
        r >= 2: data = labelled + all pseudo, shrink regression on pseudo
        loss = error(main, y | labelled) + lambda_r error(aux, y | pseudo)
        pseudo = main head's points on all unlabelled crops

error: HM: squared error of maps; TF: |main - y|^p / p (Eq. 10).
sigma: HM, width of the pseudo-labels' Gaussian in map cells, 2.2, 1.8, 1.5 for r = 2, 3, 4; labelled always 1.5.
p: TF, exponent of the pseudo-labels' loss, 2.4, 1.6, 1 for r = 2, 3, 4; labelled always 1.
lambda_r: weight of the pseudo loss; 0.1, 1, 1 as in the release ("code"), 0.1, 0.1, 1 in the text ("paper").

Differs from the paper: `start = "init"` takes the given weights as the round-0 model without training it (a site's
champion); `student` says whether later rounds start from these weights too; `oversample_last` repeats the labelled
list in the last round as well (the release does not, and then the main head sees few labelled steps: with short
schedules the last round falls back); `aux_init = "main"` lets the auxiliary head begin as a copy of the main one:
pseudo pretraining never trains it, and a random head at lambda 1 spoils the pretrained trunk before it has learnt
anything, which short stages do not make good; `label_scales` and `label_mirror` label by the averaged maps of scaled
and mirrored copies, as Data Distillation does, instead of one pass; lengths are options. `pretrain` and `mixed` take
one of the two parts away, as the paper's ablation does (Fig. 9); without PP round 1 repeats the supervised start with
new draws; `elt` adds another paper's equivariance loss.
"""

from __future__ import annotations

import copy
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from training.data.crops import Crops
from training.engine.batch import Batch
from training.engine.ensemble import ensemble
from training.engine.fit import Stage, Step
from training.engine.predictor import predict_crops
from training.engine.train_set import Part
from training.engine.trainer import Predict, Trainer
from training.losses.landmark_error import landmark_error
from training.losses.source_mean import SourceNorm, source_mean
from training.methods import supervised
from training.methods.curriculum import spread
from training.methods.elt import points_by, with_elt
from training.methods.judge import Asked, asked
from training.methods.round_zero import Start, round_zero
from training.models import Network
from training.models.heatmap import Heatmap
from training.models.regression import Regression
from training.models.transformer import Transformer

LAMBDA = {"code": (0.1, 1.0, 1.0), "paper": (0.1, 0.1, 1.0)}


class Config(BaseModel):
    """Rounds, curriculum and lengths; the defaults are the paper's for HM (TF: 360 epochs, decay at 240 and 320)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rounds: int = Field(default=4, ge=1)  # T
    gt_sigma: float = 1.5
    sigma: tuple[float, ...] = (2.2, 1.8, 1.5)  # HM, for r = 2 .. T
    p: tuple[float, ...] = (2.4, 1.6, 1.0)  # TF, for r = 2 .. T
    lambda_mode: Literal["code", "paper"] = "code"
    aux_head: Literal["release", "aux", "main", "standard"] = "release"  # which head learns from pseudo-labels
    aux_init: Literal["random", "main"] = (
        "random"  # the auxiliary head at the start of each stage 2 with pseudo-labels
    )
    source_norm: Literal["auto", "per_source", "batch"] = "auto"  # auto: per_source for HM, batch for TF
    start: Start = "train"
    student: Literal["init", "fresh"] = "init"  # what later rounds start from: --init's weights, or none of them
    epochs: int = 60
    decay_at: tuple[int, ...] = (40, 50)
    pretrain_epochs: int = 60
    pretrain_decay_at: tuple[int, ...] = (40, 50)
    speed_up: int = Field(default=5, ge=1)  # PP of r >= 2 takes 1 / speed_up of the epochs
    epoch_scale: float = Field(default=1.0, gt=0)  # of all lengths: the omni setting's many images need fewer epochs
    oversample: int = 100  # os_num
    oversample_last: bool = False
    label_scales: tuple[float, ...] = Field(default=(1.0,), min_length=1)  # copies whose maps make the pseudo-labels
    label_mirror: bool = False  # mirrored copies too, where the landmark schema has mirror twins
    pretrain: bool = True  # false: no PP, shrink regression alone
    mixed: bool = True  # false: no pseudo-labels in stage 2, PP alone
    elt: float = Field(default=0.0, ge=0)  # weight of ELT (training/methods/elt.py) on all images of stage 2
    quality: Asked = "none"  # ts3: its teacher judges every set of pseudo-labels; kept beside them, without effect

    @model_validator(mode="before")
    @classmethod
    def _curricula_of_these_rounds(cls, value: Any) -> Any:
        """A curriculum that is not given is the default one, spread over the rounds that there are."""
        if not isinstance(value, dict) or not isinstance(value.get("rounds"), int):
            return value
        return {name: spread(cls.model_fields[name].default, value["rounds"] - 1) for name in ("sigma", "p")} | value

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if not (self.pretrain or self.mixed):
            raise ValueError("pretrain and mixed are both false: no pseudo-label is used; take method supervised")
        if len(self.sigma) != self.rounds - 1 or len(self.p) != self.rounds - 1:
            raise ValueError(f"sigma and p need one value for each of the rounds 2..{self.rounds}")
        return self


def lambda_of(cfg: Config, r: int) -> float:
    """lambda_r for r >= 2; rounds beyond the published ones keep the last value."""
    return LAMBDA[cfg.lambda_mode][min(r - 2, 2)]


def pretrain_stage(cfg: Config, r: int) -> Stage:
    """PP of round r: full length in r = 1, a fifth from r = 2 on."""
    return _stage(cfg, f"round{r}-pretrain", cfg.pretrain_epochs, cfg.pretrain_decay_at, 1 if r == 1 else cfg.speed_up)


def head_of(cfg: Config, network: Network, r: int) -> Literal["main", "aux"]:
    """Which head learns from pseudo-labels in round r >= 2.

    `release`: HM's auxiliary head always, TF's until p is 1. `standard`: the auxiliary head until sigma and p are
    those of true labels.
    """
    if cfg.aux_head in ("aux", "main"):
        return "aux" if cfg.aux_head == "aux" else "main"
    is_standard = cfg.sigma[r - 2] <= cfg.gt_sigma if isinstance(network, Heatmap) else cfg.p[r - 2] <= 1
    if isinstance(network, Heatmap) and cfg.aux_head == "release":
        return "aux"
    return "main" if is_standard else "aux"


def mixed_step(lambda_r: float, head: Literal["main", "aux"], norm: SourceNorm) -> Step:
    """Stage 2's step: the labelled samples on the main head, the pseudo-labelled ones on `head`."""

    def step(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        main, aux = network(batch.x)
        pseudo = batch.pseudo.unsqueeze(-1)
        e_main = landmark_error(main, batch.target, batch.p)
        e_head = landmark_error(aux, batch.target, batch.p) if head == "aux" else e_main
        l_gt = source_mean(e_main, batch.visible & ~pseudo, norm)
        l_pseudo = source_mean(e_head, batch.visible & pseudo, norm)
        return {"loss": l_gt + lambda_r * l_pseudo, "l_gt": l_gt, "l_pseudo": l_pseudo}

    return step


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> Network:
    """The rounds above; returns the network of round T."""
    truth = Part(labelled, sigma=cfg.gt_sigma, oversample=cfg.oversample)
    network = round_zero(trainer, truth, _stage(cfg, "round0", cfg.epochs, cfg.decay_at), cfg.start)
    views = labeller(cfg)
    pretrained = None
    for r in range(1, cfg.rounds + 1):
        quality = asked(cfg.quality, trainer, network, Part(labelled, sigma=cfg.gt_sigma), f"round{r - 1}")
        pseudo = trainer.pseudo_label(network, unlabelled, f"round{r - 1}", views, quality)
        network = trainer.new_network(fresh=cfg.student == "fresh")
        if pretrained is not None:
            network.load_state_dict(pretrained)
        if cfg.pretrain:
            pretrained = stage_one(cfg, trainer, network, pseudo, r)
        stage_two(cfg, trainer, network, labelled, pseudo if r >= 2 and cfg.mixed else None, r)
        trainer.report(network, f"round{r}")
    return network


def stage_one(cfg: Config, trainer: Trainer, network: Network, pseudo: Crops, r: int) -> dict[str, Tensor]:
    """Pseudo pretraining; returns a copy of the weights, which the next round begins with."""
    trainer.fit(network, [Part(pseudo, sigma=cfg.gt_sigma)], supervised.step, pretrain_stage(cfg, r))
    trainer.report(network, f"round{r}-pretrain")
    return copy.deepcopy(network.state_dict())


def labeller(cfg: Config) -> Predict:
    """What labels the unlabelled crops: one pass, or the average over copies."""
    if cfg.label_scales == (1.0,) and not cfg.label_mirror:
        return predict_crops
    return ensemble(cfg.label_scales, cfg.label_mirror)


def stage_two(cfg: Config, trainer: Trainer, network: Network, labelled: Crops, pseudo: Crops | None, r: int) -> None:
    """Train on the labelled crops and, from r = 2 on, on all pseudo-labelled ones."""
    oversample = 0 if r == cfg.rounds and not cfg.oversample_last else cfg.oversample
    parts = [Part(labelled, sigma=cfg.gt_sigma, oversample=oversample)]
    step: Step = supervised.step
    if pseudo is not None:
        if cfg.aux_init == "main" and isinstance(network, Heatmap | Transformer | Regression):
            network.aux.load_state_dict(network.main.state_dict())
        parts.append(Part(pseudo, pseudo=True, sigma=cfg.sigma[r - 2], p=cfg.p[r - 2]))
        auto: SourceNorm = "per_source" if isinstance(network, Heatmap) else "batch"
        norm = auto if cfg.source_norm == "auto" else cfg.source_norm
        step = mixed_step(lambda_of(cfg, r), head_of(cfg, network, r), norm)
    step = with_elt(step, cfg.elt, points_by(trainer, network)) if cfg.elt else step
    trainer.fit(network, parts, step, _stage(cfg, f"round{r}", cfg.epochs, cfg.decay_at))


def _stage(cfg: Config, name: str, epochs: int, decay_at: tuple[int, ...], k: int = 1) -> Stage:
    """A stage of epochs / k epochs, decays divided alike."""
    scaled = [max(int(n * cfg.epoch_scale) // k, 1) for n in (epochs, *decay_at)]
    return Stage(name=name, epochs=scaled[0], decay_at=tuple(scaled[1:]))
