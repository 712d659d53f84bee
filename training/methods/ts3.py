"""TS3: a teacher supervises students how to learn from partially labelled images (Dong, Yang; Algorithm 1).

    train students 1 and 2 on L                                     Eq. 2
    for i = 1 .. S:
        for student s in 1, 2:
            H   = mean of both students' maps on L and U            Eq. 5
            g   = new teacher, fitted to H against H* on L          Eq. 4
            q   = g(x_u, H_u)                                       Eq. 3
            ex  = the floor(r i |U|) of highest q
            student s = new, trained on L + ex with the labels of H
    result: the mean of both students' maps

r, S: 0.1 and 6. With one student there is no interaction: the rows CPM and HG of Table 4.

Differs from the paper: pseudo-labels are Gaussians drawn at the points of H instead of H itself; `start` and `student`
as in naive; `oversample` repeats the labelled list (the paper does not); `students` may be any number. The release's
biases have no weight decay, ours do. What differs in the teacher and in the average stands in judge.py and
models/students.py.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from training.data.crops import Crops
from training.engine.trainer import Trainer
from training.methods.judge import JudgeOptions, judge
from training.methods.round_zero import Start
from training.methods.students import (
    CPM,
    HOURGLASS,
    Learning,
    Training,
    best,
    chosen,
    first_students,
    quota,
    retrained,
    truth_of,
)
from training.models.students import Students


class Config(BaseModel):
    """Steps, selection and trainings; the defaults are the paper's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=6, ge=0)  # S; 0: the students trained on L alone
    r: float = Field(default=0.1, ge=0, le=1)
    sigma: float = Field(default=3.0, gt=0)  # of all targets, crop px
    start: Start = "train"
    student: Literal["init", "fresh"] = "init"  # what a retrained student starts from: --init's weights, or none
    oversample: int = 0
    labelled_only: bool = False  # no image without a label is used, as if steps were 0
    students: tuple[Training, ...] = Field(default=(CPM, HOURGLASS), min_length=1)
    teacher: JudgeOptions = JudgeOptions()

    @property
    def rounds(self) -> int:
        """Half-steps, each with pseudo-labels of its own."""
        return 0 if self.labelled_only else self.steps * len(self.students)

    @property
    def learning(self) -> Learning:
        """What the students' trainings share."""
        return Learning("ts3", self.students, self.sigma, self.oversample, self.student == "fresh")


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> Students:
    """Algorithm 1; returns the students as one network."""
    truth = truth_of(cfg.learning, trainer, labelled)
    network = first_students(cfg.learning, trainer, truth, cfg.start)
    for i in range(1, 0 if cfg.labelled_only else cfg.steps + 1):
        for a in range(len(network.students)):
            name = f"round{i}-student{a + 1}"
            quality = judge(cfg.teacher, trainer, network, truth, f"{name}-teacher")
            pseudo = trainer.pseudo_label(network, unlabelled, name, quality=quality)
            rows = best(pseudo.quality, quota(cfg.r, i, len(unlabelled)))
            trainer.keep_chosen(pseudo, rows, name)
            network = retrained(cfg.learning, trainer, network, a, [truth, chosen(truth, pseudo, rows)], name)
        trainer.report(network, f"round{i}")
    return network
