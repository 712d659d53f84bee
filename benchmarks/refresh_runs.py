"""The training runs of the refresh benchmark and their lengths in image-steps."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.refresh_data import Folders
from training import job, recipe


@dataclass(frozen=True, slots=True)
class Lengths:
    """All lengths of one execution.

    supervised: image-steps of the first supervised run. doublings: how often that is doubled. pretrain_epochs, epochs:
    of STLD's stages; sigma: of its rounds 2 and on. naive_epochs: of naive's rounds. oversample: the labelled list's
    length. size: crop side, px. student_lr: step size of STLD and naive, whose students start from the champion.
    """

    supervised: int
    doublings: int
    pretrain_epochs: int
    epochs: int
    naive_epochs: int
    oversample: int
    rounds: int = 3
    sigma: tuple[float, ...] = (2.2, 1.5)
    speed_up: int = 2
    size: int = 128
    batch: int = 32
    lr: float = 2e-3
    student_lr: float = 1e-3

    def stld_steps(self, frames: int) -> int:
        """Image-steps of the whole STLD run on `frames` site frames, round 0 apart."""
        pretrain = frames * (self.pretrain_epochs + (self.rounds - 1) * (self.pretrain_epochs // self.speed_up))
        return pretrain + self.epochs * (self.oversample * self.rounds + frames * (self.rounds - 1))

    def naive_steps(self, frames: int) -> int:
        """Image-steps of the whole naive run."""
        return self.rounds * self.naive_epochs * (self.oversample + frames)


FULL = Lengths(supervised=15_000, doublings=4, pretrain_epochs=20, epochs=16, naive_epochs=20, oversample=900)
QUICK = Lengths(
    supervised=480,
    doublings=1,
    pretrain_epochs=4,
    epochs=4,
    naive_epochs=4,
    oversample=32,
    rounds=2,
    sigma=(2.2,),
    size=64,
    batch=16,
)


def control_name(steps: int) -> str:
    """Run folder of the control of that many image-steps."""
    return f"control-{steps}"


def supervised_request(out: Path, data: Folders, name: str, steps: int, lengths: Lengths) -> job.Request:
    """Supervised training on the labelled folder for `steps` image-steps, the last epoch completed."""
    epochs = math.ceil(steps / lengths.oversample)
    options = {"epochs": epochs, "decay_at": [], "oversample": lengths.oversample}
    return _request(out / name, data, "supervised", options, lengths)


def stld_request(out: Path, data: Folders, champion: Path, lengths: Lengths, averaged: bool = True) -> job.Request:
    """STLD from the champion as round-0 teacher; averaged: with the labels and heads of the recipe `refresh`."""
    options = {
        "label_scales": [0.9, 1.0, 1.1] if averaged else [1.0], "label_mirror": averaged,
        "aux_head": "standard" if averaged else "release", "aux_init": "main", "start": "init", "student": "init",
        "rounds": lengths.rounds, "sigma": lengths.sigma, "p": [1.0] * len(lengths.sigma),  # p: unused by HM
        "epochs": lengths.epochs, "decay_at": [], "pretrain_epochs": lengths.pretrain_epochs, "pretrain_decay_at": [],
        "speed_up": lengths.speed_up, "oversample": lengths.oversample, "oversample_last": True,
    }  # fmt: skip
    return _request(out / ("stld" if averaged else "stld_plain"), data, "stld", options, lengths, champion)


def naive_request(out: Path, data: Folders, champion: Path, lengths: Lengths) -> job.Request:
    """Naive self-training from the same champion on the same frames."""
    options = {
        "start": "init", "student": "init", "rounds": lengths.rounds, "epochs": lengths.naive_epochs,
        "decay_at": [], "oversample": lengths.oversample,
    }  # fmt: skip
    return _request(out / "naive", data, "naive", options, lengths, champion)


def train_one(request: job.Request) -> Path:
    """Train in this process, on a processor with one thread; goes on where an interrupted run stopped."""
    logging.basicConfig(level=logging.WARNING)
    if request.device == "cpu":
        torch.set_num_threads(1)
    return job.run(request, lambda note: None)


def rounds_of(run: Path) -> dict[str, float]:
    """NME in per cent after each reported round of a run, in the order of training."""
    files = sorted((run / "rounds").glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    return {file.stem: json.loads(file.read_text(encoding="utf-8"))["nme"] for file in files}


def _request(
    out: Path, data: Folders, method: str, options: dict[str, Any], lengths: Lengths, init: Path | None = None
) -> job.Request:
    base = recipe.load("face68")
    changes = {
        "method": method, "name": f"refresh-{method}", "options": options,
        "crop": base.crop.model_copy(update={"size": lengths.size}),
        "schedule": base.schedule.model_copy(
            update={"batch": lengths.batch, "lr": lengths.student_lr if init else lengths.lr}
        ),
    }  # fmt: skip
    return job.Request(
        recipe=recipe.checked(base.model_copy(update=changes), "refresh_faces"), data=data.labelled, out=out,
        init=init, unlabelled=(data.site,) if init else (), evaluate=data.test, boxes="file", device="cpu",
    )  # fmt: skip
