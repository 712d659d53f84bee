"""SPaCo: self-paced co-training of the students, TS3's second rival (TS3, Section 4.4 and Fig. 4; Ma et al. 2017).

    train every student on L                                        Eq. 2
    v_s = 0
    for i = 1 .. S:
        for every student s:
            y_u = points of the mean of all students' maps on U
            l_u = |maps of student s - the Gaussians at y_u|^2, as a multiple of their median
            ex  = the floor(r i |U|) of lowest l_u - gamma sum over the others b of v_b(u)
            v_s = 1 on ex, else 0
            student s = new, trained on L + ex
    result: the mean of the students' maps

gamma: 0.3. Lowering the loss of what another student has chosen is SPaCo's threshold lambda + gamma v_b; lambda
follows from the number that is asked for.

Differs from the paper: TS3 does not say how its rivals are trained; they are trained here as its own students are,
with as many pseudo-labels in every step. The median gives gamma the same meaning whatever the loss's scale is.
pseudo_target = "maps" retrains on the mean of all students' maps; l_u stays the distance from Gaussians.
`start`, `student` and `oversample` as in ts3.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from lmdeploy.types import F32
from training.data.crops import Crops
from training.engine.trainer import Trainer
from training.methods.students import (
    StudentOptions,
    best,
    chosen,
    first_students,
    own_loss,
    quota,
    retrained,
    truth_of,
)
from training.models.students import Students


class Config(StudentOptions):
    """The students' options, and what another student's choice counts."""

    gamma: float = Field(default=0.3, ge=0)


def agreed(quality: F32 | None, others: list[tuple[int, ...]], gamma: float) -> F32:
    """-l_u + gamma sum_b v_b(u), f32[N].

    Args:
        quality: minus the losses, f32[N].
        others: the rows that each other student has chosen.
        gamma: as in the Config.
    """
    assert quality is not None
    scale = max(float(np.median(-quality)), float(np.finfo(np.float32).tiny))
    found: F32 = (quality / scale).astype(np.float32)
    for rows in others:
        found[list(rows)] += gamma
    return found


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> Students:
    """The steps above; returns the students as one network."""
    truth = truth_of(cfg, trainer, labelled)
    network = first_students(cfg, trainer, truth)
    v: dict[int, tuple[int, ...]] = {}
    for i in cfg.taken:
        for a in range(len(network.students)):
            name, own = f"round{i}-student{a + 1}", network.student(a)
            pseudo = trainer.pseudo_label(network, unlabelled, name, quality=own_loss(cfg, trainer, own))
            worth = agreed(pseudo.quality, [rows for b, rows in v.items() if b != a], cfg.gamma)
            v[a] = best(worth, quota(cfg.r, i, len(unlabelled)))
            trainer.keep_chosen(pseudo, v[a], name)
            ex = chosen(cfg, trainer, network, pseudo, v[a])
            network = retrained(cfg, trainer, network, a, [truth, ex], name)
        trainer.report(network, f"round{i}")
    return network
