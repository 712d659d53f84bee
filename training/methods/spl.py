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
with as many pseudo-labels in every step. `start`, `student` and `oversample` as in ts3.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from training.data.crops import Crops
from training.engine.trainer import Trainer
from training.methods.round_zero import Start
from training.methods.students import (
    CPM,
    HOURGLASS,
    Learning,
    Training,
    best,
    chosen,
    first_students,
    own_loss,
    quota,
    retrained,
    truth_of,
)
from training.models.students import Students


class Config(BaseModel):
    """Steps, selection and trainings; the defaults are those of TS3's comparison."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=5, ge=0)  # S
    r: float = Field(default=0.1, ge=0, le=1)
    sigma: float = Field(default=3.0, gt=0)  # of all targets, crop px
    start: Start = "train"
    student: Literal["init", "fresh"] = "init"  # what a retrained student starts from: --init's weights, or none
    oversample: int = 0
    labelled_only: bool = False  # no image without a label is used, as if steps were 0
    students: tuple[Training, ...] = Field(default=(CPM, HOURGLASS), min_length=1)

    @property
    def rounds(self) -> int:
        """Half-steps, each with pseudo-labels of its own."""
        return 0 if self.labelled_only else self.steps * len(self.students)

    @property
    def learning(self) -> Learning:
        """What the students' trainings share."""
        return Learning("spl", self.students, self.sigma, self.oversample, self.student == "fresh")


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> Students:
    """The steps above; returns the students as one network."""
    truth = truth_of(cfg.learning, trainer, labelled)
    network = first_students(cfg.learning, trainer, truth, cfg.start)
    for i in range(1, 0 if cfg.labelled_only else cfg.steps + 1):
        for a in range(len(network.students)):
            name, own = f"round{i}-student{a + 1}", network.student(a)
            pseudo = trainer.pseudo_label(own, unlabelled, name, quality=own_loss(cfg.learning, trainer, own))
            rows = best(pseudo.quality, quota(cfg.r, i, len(unlabelled)))
            trainer.keep_chosen(pseudo, rows, name)
            network = retrained(cfg.learning, trainer, network, a, [truth, chosen(truth, pseudo, rows)], name)
        trainer.report(network, f"round{i}")
    return network
