"""TS3: a teacher supervises students how to learn from partially labelled images (Dong, Yang; Algorithm 1).

    train students 1 and 2 on L                                     Eq. 2
    for i = 1 .. S:
        for student s in 1, 2:
            H   = mean of both students' maps on L and U            Eq. 5
            g   = new teacher, fitted to H against H* on L          Eq. 4
            q   = g(x_u, H_u)                                       Eq. 3
            ex  = the floor(r i |U|) of highest q
            student s = new, trained on L + ex; of H, `pseudo_target` says what
    result: the mean of both students' maps

r, S: 0.1 and 6. With one student there is no interaction: the rows CPM and HG of Table 4.

A pseudo-label of the paper is H itself (pseudo_target = "maps"; how H follows a random view: map_targets.py). CPM is
optimised in the groups of the authors' release: bias lr x2 and no decay, stage lr x4, stage bias lr x8.

Differs from the paper: pseudo_target is "gaussians" by default, drawn at the points of H, because H loses some of its
peak whenever it follows a view, and is learnt again in every round; `start` and `student` as in naive; `oversample`
repeats the labelled list (the paper does not); `students` may be any number. What differs in the teacher and in the
average stands in judge.py and models/students.py.
"""

from __future__ import annotations

from pydantic import Field

from training.data.crops import Crops
from training.engine.trainer import Trainer
from training.methods.judge import JudgeOptions, judge
from training.methods.students import (
    StudentOptions,
    best,
    chosen,
    first_students,
    quota,
    retrained,
    truth_of,
)
from training.models.students import Students


class Config(StudentOptions):
    """The students' options and those of the teacher; the defaults are the paper's."""

    steps: int = Field(default=6, ge=0)  # S; 0: the students trained on L alone
    teacher: JudgeOptions = JudgeOptions()


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> Students:
    """Algorithm 1; returns the students as one network."""
    truth = truth_of(cfg, trainer, labelled)
    network = first_students(cfg, trainer, truth)
    for i in cfg.taken:
        for a in range(len(network.students)):
            name = f"round{i}-student{a + 1}"
            quality = judge(cfg.teacher, trainer, network, truth, f"{name}-teacher")
            pseudo = trainer.pseudo_label(network, unlabelled, name, quality=quality)
            rows = best(pseudo.quality, quota(cfg.r, i, len(unlabelled)))
            trainer.keep_chosen(pseudo, rows, name)
            ex = chosen(cfg, trainer, network, pseudo, rows)
            network = retrained(cfg, trainer, network, a, [truth, ex], name)
        trainer.report(network, f"round{i}")
    return network
