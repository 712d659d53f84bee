"""Crops in host memory to points in host memory, as a share of the network alone on data that stays where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.pairs import Call, Plan, as_details, ratio, timed
from lmdeploy.backends.base import Backend
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.backends.ort_gpu import OrtGpu
from lmdeploy.backends.tensorrt.backend import TensorRTBackend
from lmdeploy.types import F64, U8


@dataclass(frozen=True, slots=True)
class Share:
    """Times of both ways by batch size.

    batch: the one whose network alone gives most crops a second. turns: batches in a call, of which the first copy in
    and the last copy out overlap with nothing. times: ms f64[pairs] by way and batch size.
    """

    batch: int
    turns: int
    times: dict[str, F64] = field(repr=False)

    def figures(self) -> dict[str, float]:
        """`throughput` and `crops_per_s`, at the best batch."""
        ours, alone = self.times[f"ours_{self.batch}"], self.times[f"alone_{self.batch}"]
        crops = self.turns * self.batch
        return {"throughput": ratio(alone, ours), "crops_per_s": 1e3 * crops / float(np.median(ours))}

    def details(self) -> dict[str, Any]:
        """What a record keeps."""
        return {"batch": self.batch, "batches_a_call": self.turns, "times": as_details(self.times)}


def throughput(backend: Backend, batches: Sequence[int], turns: int, plan: Plan) -> Share:
    """Time `turns` batches of each size, through `run` and through the network alone, turn about."""
    ways: dict[str, Call] = {}
    for batch in batches:
        crops = np.zeros((turns * batch, *_picture(backend)), np.uint8)
        ways |= {f"ours_{batch}": _ours(backend, crops), f"alone_{batch}": _alone(backend, crops[:batch], turns)}
    times = timed(ways, plan)
    speed = {batch: batch / float(np.median(times[f"alone_{batch}"])) for batch in batches}
    return Share(max(speed, key=lambda batch: speed[batch]), turns, times)


def _picture(backend: Backend) -> tuple[int, int, int]:
    assert isinstance(backend, OrtBackend | OrtGpu | TensorRTBackend), "the engines that this benchmark opens"
    return backend.size, backend.size, 3


def _ours(backend: Backend, crops: U8) -> Call:
    """In batches of the engine's largest bucket: what it does with many crops is part of what is measured."""
    return lambda: backend.run(crops)


def _alone(backend: Backend, crops: U8, turns: int) -> Call:
    """So many runs of the network on crops that are where it reads them."""
    if isinstance(backend, OrtGpu | TensorRTBackend):
        lane = backend.lane(crops)

        def replay() -> None:
            for _ in range(turns):
                lane.replay()
            lane.finish()

        return replay
    assert isinstance(backend, OrtBackend), "the engines that this benchmark opens"
    session, names = backend.session, backend.outputs
    return lambda: [session.run(names, {"images": crops}) for _ in range(turns)]
