"""The rows of the accuracy benchmark: which method, with which options, for how many image-steps.

Every row but `supervised` starts from the supervised model of the same labels and seed (the round-0 teacher) and takes
about the same number of image-steps from there, the control included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from training import recipe
from training.models import NetworkConfig
from training.recipe import Recipe

ROUNDS = 4
SPEED_UP = 2  # of STLD's later pretraining: a fifth of a short stage does not converge

OURS: dict[str, Any] = {"aux_init": "main", "oversample_last": True, "aux_head": "standard"}
ONE_PASS: dict[str, Any] = {"label_scales": [1.0], "label_mirror": False}
STLD_RULES: dict[str, dict[str, Any]] = {
    # the recipe `stld`, our rule for small budgets: labelled images repeated in every round, the second head begins as
    # a copy, pseudo-labels go to the main head once sigma is the labelled one, labels are averaged over copies
    "stld": OURS,
    "stld_one_pass": OURS | ONE_PASS,
    "stld_second_head": OURS | {"aux_head": "release"},
    # the release: a random second head in every round, no repetition in the last one, labels from one pass
    "stld_release": ONE_PASS | {"aux_init": "random", "oversample_last": False, "aux_head": "release"},
}
FIVE = ("supervised", "naive", "pseudo_label", "fixmatch", "stld")
CPU_ROWS = (*FIVE, *(rule for rule in STLD_RULES if rule != "stld"))
GPU_ROWS = (
    *CPU_ROWS, "linear_warmup", "curriculum_labeling", "data_distillation", "easy_hard", "dst", "hybridmatch", "stc",
)  # fmt: skip


FROM_RANDOM = ("hybridmatch", "stc")
"""Rows with a network of their own kind: they cannot start from the supervised model and take all steps instead."""


@dataclass(frozen=True, slots=True)
class Size:
    """What all runs of a plan share.

    network: None for face68's light one. size: crop side, px. steps: image-steps of the supervised start. extra: of
    every row after it. lr: of random weights. student_lr: of given weights.
    """

    network: NetworkConfig | None
    size: int
    batch: int
    lr: float
    student_lr: float
    steps: int
    extra: int
    oversample: int
    tau: float


def supervised(size: Size, steps: int) -> Recipe:
    """Supervised training for `steps` image-steps from random weights, the last epoch completed."""
    epochs = math.ceil(steps / size.oversample)
    options = {"epochs": epochs, "decay_at": [], "oversample": size.oversample}
    return _recipe(size, "supervised", options, size.lr)


def of_row(row: str, size: Size, unlabelled: int) -> Recipe:
    """The recipe of a row on so many unlabelled images; it starts from the supervised model unless FROM_RANDOM."""
    if row in FROM_RANDOM:
        return _own_network(row, size, unlabelled)
    both = size.oversample + unlabelled
    method = "stld" if row in STLD_RULES else row
    options = recipe.load(method).options | {"decay_at": []}
    if method == "stld":
        options |= STLD_RULES[row] | _stld_lengths(size, unlabelled) | {"pretrain_decay_at": [], "start": "init"}
        options |= {"oversample": size.oversample}
    elif method in {"naive", "linear_warmup", "pseudo_label", "curriculum_labeling"}:
        options |= {"epochs": _share(size.extra, ROUNDS * both), "oversample": size.oversample, "start": "init"}
        options |= {"rounds": ROUNDS} if "rounds" in options else {}
    elif method == "data_distillation":
        options |= {"epochs": _share(size.extra, both), "oversample": size.oversample, "start": "init"}
    else:  # one run in two streams: an epoch passes the unlabelled list once, beside as many labelled rows
        options |= {"epochs": _share(size.extra, 2 * unlabelled)}
    if "tau" in options:
        options |= {"tau": size.tau}
    return _recipe(size, method, options, size.student_lr)


def _own_network(row: str, size: Size, unlabelled: int) -> Recipe:
    """The method's own recipe, its epochs such that it takes about steps + extra image-steps."""
    base = recipe.load(row)
    epoch = 2 * unlabelled if "mu" in base.options else ROUNDS * (size.oversample + unlabelled)
    epochs = _share(size.steps + size.extra, epoch)
    options = base.options | {"decay_at": [], "epochs": epochs, "oversample": size.oversample}
    changes = {
        "name": f"accuracy-{row}", "options": options, "crop": base.crop.model_copy(update={"size": size.size}),
        "schedule": base.schedule.model_copy(update={"batch": size.batch, "lr": size.lr}),
    }  # fmt: skip
    return recipe.checked(base.model_copy(update=changes), "accuracy_faces")


def _stld_lengths(size: Size, unlabelled: int) -> dict[str, int]:
    """Stages of one length: N (1 + 3 / k) of pretraining, then 4 rounds of L and 3 of N."""
    pretrain = unlabelled * (1 + (ROUNDS - 1) / SPEED_UP)
    mixed = size.oversample * ROUNDS + unlabelled * (ROUNDS - 1)
    epochs = _share(size.extra, pretrain + mixed)
    return {"epochs": epochs, "pretrain_epochs": epochs, "speed_up": SPEED_UP, "rounds": ROUNDS}


def _share(steps: int, epoch: float) -> int:
    return max(round(steps / epoch), 1)


def _recipe(size: Size, method: str, options: dict[str, Any], lr: float) -> Recipe:
    base = recipe.load("face68")
    changes: dict[str, Any] = {
        "method": method, "name": f"accuracy-{method}", "options": options,
        "crop": base.crop.model_copy(update={"size": size.size}),
        "schedule": base.schedule.model_copy(update={"batch": size.batch, "lr": lr}),
    }  # fmt: skip
    if size.network is not None:
        changes["network"] = size.network
    return recipe.checked(base.model_copy(update=changes), "accuracy_faces")
