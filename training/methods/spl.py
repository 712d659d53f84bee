"""SPL: self-paced learning of each student by itself, TS3's first rival (TS3, Section 4.4 and Fig. 4).

    train every student on L                                        Eq. 2
    for i = 1 .. S:
        for every student s:
            y_u = its own points on U
            l_u = |its maps of u - the Gaussians at y_u|^2
            ex  = the floor(r i |U|) of lowest l_u
            student s = new, trained on L + ex
    result: the mean of the students' maps

The students never see each other's labels. l_u is unsupervised: a wrong label that fits its own map is chosen.

Differs from the paper: TS3 does not say how its rivals are trained; they are trained here as its own students are,
with as many pseudo-labels in every step. With pseudo_target = "maps" a student is retrained on its own maps; l_u stays
the distance from Gaussians. `start`, `student` and `oversample` as in ts3.
"""

from __future__ import annotations

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
    """The students' options alone."""


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> Students:
    """The steps above; returns the students as one network."""
    truth = truth_of(cfg, trainer, labelled)
    network = first_students(cfg, trainer, truth)
    for i in cfg.taken:
        for a in range(len(network.students)):
            name, own = f"round{i}-student{a + 1}", network.student(a)
            pseudo = trainer.pseudo_label(own, unlabelled, name, quality=own_loss(cfg, trainer, own))
            rows = best(pseudo.quality, quota(cfg.r, i, len(unlabelled)))
            trainer.keep_chosen(pseudo, rows, name)
            ex = chosen(cfg, trainer, own, pseudo, rows)
            network = retrained(cfg, trainer, network, a, [truth, ex], name)
        trainer.report(network, f"round{i}")
    return network
