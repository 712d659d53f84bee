"""Times of several ways that run side by side in one process: stages, frame to landmarks, batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from lmdeploy.benchmark.pairs import Call, Plan, all_calls
from lmdeploy.benchmark.report import Batch, Times, batch_of, times_of
from lmdeploy.benchmark.scene import scene
from lmdeploy.landmarker import Landmarker
from lmdeploy.types import F64, U8, Box

Watch = Callable[[str, int, int], None]
"""Takes what is being done, how much of it is done, and of how much."""
STAGES = ("detect", "crop", "network", "back_map")


@dataclass(frozen=True, slots=True)
class Plans:
    """How long is measured: frames with one face, and each size of a batch."""

    frames: Plan
    batches: Plan


QUICK = Plans(Plan(pairs=7, block_s=0.1), Plan(pairs=3, block_s=0.1, least=2))
FULL = Plans(Plan(pairs=15, block_s=0.5), Plan(pairs=7, block_s=0.3, least=3))


@dataclass(frozen=True, slots=True)
class Timed:
    """What was measured of one way, as in report.Measured."""

    stages: dict[str, Times]
    known_box: Times
    found_box: Times
    batches: tuple[Batch, ...]


def time_all(ways: Sequence[Landmarker], batches: Sequence[int], plans: Plans, watch: Watch) -> list[Timed]:
    """Measure open landmarkers against each other, in their order."""
    frame, box = scene()
    stages = [_Stages() for _ in ways]
    for landmarker, own in zip(ways, stages, strict=True):
        landmarker.observe = own.note

    def warm() -> None:
        for own in stages:
            own.forget()

    side_by_side = partial(_side_by_side, watch=watch, warm=warm)
    known = side_by_side("one face, box known", [partial(_known, way, frame, [box]) for way in ways], plans.frames)
    for own in stages:
        own.only = "detect"  # the other stages are those of frames whose box is known
    found = side_by_side("one face, to be found", [partial(_found, way, frame, box) for way in ways], plans.frames)
    for landmarker in ways:
        landmarker.observe = None
    side_by_side = partial(_side_by_side, watch=watch)
    many: list[list[Batch]] = [[] for _ in ways]
    for faces in batches:
        calls = [partial(_known, way, frame, [box] * faces) for way in ways]
        for own_batches, blocks in zip(many, side_by_side(f"{faces} faces", calls, plans.batches), strict=True):
            own_batches.append(batch_of(blocks, faces))
    rows = zip(stages, known, found, many, strict=True)
    return [Timed(s.summary(), times_of(k), times_of(f), tuple(b)) for s, k, f, b in rows]


class _Stages:
    """Takes what a landmarker tells of its stages; `only`: of one stage, where not of all."""

    def __init__(self) -> None:
        self.only = ""
        self._ms: dict[str, list[float]] = {}

    def forget(self) -> None:
        """Warming up is over."""
        if self.only:
            self._ms.pop(self.only, None)
        else:
            self._ms.clear()

    def note(self, stage: str, ms: float) -> None:
        if self.only in ("", stage):
            self._ms.setdefault(stage, []).append(ms)

    def summary(self) -> dict[str, Times]:
        """Figures by stage, in the order in which a frame goes through them; there are no blocks in them."""
        return {s: times_of([np.array(self._ms[s])], keep=False) for s in STAGES if s in self._ms}


def _known(landmarker: Landmarker, frame: U8, boxes: list[Box]) -> None:
    landmarker.predict(frame, boxes)


def _found(landmarker: Landmarker, frame: U8, box: Box) -> None:
    """The detector looks at the frame, the network at the same box whatever that finds."""
    landmarker.detect(frame)
    landmarker.predict(frame, [box])


def _side_by_side(
    what: str, calls: Sequence[Call], plan: Plan, *, watch: Watch, warm: Call = lambda: None
) -> list[list[F64]]:
    """Ms of every call; `warm` is called when all have warmed up."""
    total, done = len(calls) * (plan.pairs + 1), 0

    def step() -> None:
        nonlocal done
        done += 1
        if done == len(calls):
            warm()
        watch(what, done, total)

    watch(what, 0, total)
    return all_calls(calls, plan, step)
