"""The networks of TS3 as one: its students, and the average of their maps as the answer (TS3, Eq. 5).

    H_s   f32[B,C,S/stride_s,S/stride_s]    last stage of student s; C = K, or K + 1 with a background map
    H     f32[B,C,S/stride,S/stride]        mean over s of H_s, resized bilinearly between cell centres
    main  f32[B,K,S/stride,S/stride]        the landmark maps of H      aux     all of H

CPM has 3 stages of 8 px cells, HG 4 of 4 px cells, so Eq. 5's average over a common stage does not exist: the last
stages are averaged, at the size of `stride` px a cell.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lmdeploy.errors import InputError
from training.models import cpm, hourglass
from training.models.base import Network, NetworkOptions
from training.models.cpm import Cpm
from training.models.hourglass import StackedHourglass

Student = Annotated[cpm.Config | hourglass.Config, Discriminator("kind")]


class Config(NetworkOptions):
    """The students, in the order in which they are trained; the defaults are the paper's."""

    codecs: ClassVar = ("ts3", "subpixel")

    kind: Literal["ts3"] = "ts3"
    students: tuple[Student, ...] = Field(default=(cpm.Config(), hourglass.Config()), min_length=1)
    stride: int = Field(default=4, gt=0)  # crop px per cell of the averaged maps

    @property
    def trunk(self) -> str:
        """What it may have ImageNet weights for."""
        return "vgg16"

    @model_validator(mode="after")
    def _alike(self) -> Config:
        if any(student.pretrained for student in self.students):
            raise ValueError("students: set network.pretrained, which is CPM's, instead of a student's own")
        if len({student.background for student in self.students}) > 1:
            raise ValueError("students: either all of them have a background map or none has")
        return self

    def unit(self, size: int) -> int:
        """Crop px per map cell."""
        return self.stride

    def check(self, size: int) -> None:
        """InputError unless every student takes crops of side `size`."""
        for student in self.students:
            self.of(student).check(size)
        if self.pretrained and all(student.kind != "cpm" for student in self.students):
            raise InputError("of TS3's students only cpm has ImageNet weights: set network.pretrained = false")

    def of(self, student: Student) -> Student:
        """The student with the weights that it is to start from."""
        return student.model_copy(update={"pretrained": self.pretrained}) if student.kind == "cpm" else student


class Students(Network):
    """All students; each is a whole network of its own."""

    def __init__(self, cfg: Config, landmarks: int) -> None:
        """Build every student for K = `landmarks` points."""
        super().__init__(cfg, landmarks)
        self.landmarks = landmarks
        self.students = nn.ModuleList(
            Cpm(one, landmarks) if isinstance(one, cpm.Config) else StackedHourglass(one, landmarks)
            for one in map(cfg.of, cfg.students)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Landmark maps f32[B,K,S/stride,S/stride] and all maps f32[B,C,S/stride,S/stride]; x f32[B,3,S,S]."""
        side = x.shape[-1] // self.cfg.stride
        maps = average(tuple(resized(self._last(a, x), side) for a in range(len(self.students))))
        return maps[:, : self.landmarks], maps

    def _last(self, a: int, x: Tensor) -> Tensor:
        """Maps f32[B,C,h,w] of the last stage of student number a."""
        student = self.students[a]
        assert isinstance(student, Cpm | StackedHourglass)
        return student.raw(x)[-1]

    def student(self, a: int) -> Network:
        """Student number a, from 0."""
        found = self.students[a]
        assert isinstance(found, Network)
        return found


def average(maps: tuple[Tensor, ...]) -> Tensor:
    """Eq. 5 for maps f32[B,C,h,w] of every student."""
    total = maps[0]
    for one in maps[1:]:
        total = total + one
    return total / len(maps)


def resized(maps: Tensor, side: int) -> Tensor:
    """Maps f32[B,C,h,h] -> f32[B,C,side,side], bilinear between cell centres."""
    if maps.shape[-1] == side:
        return maps
    return interpolate(maps, size=(side, side), mode="bilinear", align_corners=False)
