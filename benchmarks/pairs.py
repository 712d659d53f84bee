"""How long the scripts compare for, and what their records keep of it; the turns themselves are lmdeploy's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lmdeploy.benchmark.pairs import Call, Plan, interleaved, quartiles, ratio
from lmdeploy.types import F64

__all__ = ["FULL", "QUICK", "Call", "Plan", "as_details", "interleaved", "quartiles", "ratio", "timed"]

QUICK, FULL = Plan(pairs=9, block_s=0.2), Plan(pairs=15, block_s=1.0)


def timed(ways: Mapping[str, Call], plan: Plan) -> dict[str, F64]:
    """`interleaved` by name: ms f64[pairs] of each way."""
    return dict(zip(ways, interleaved(list(ways.values()), plan).T, strict=True))


def as_details(times: Mapping[str, F64]) -> dict[str, Any]:
    """What a record keeps of `timed`: median, quartiles and every pair of each way, ms."""
    return {
        name: {"median_ms": float(np.median(ms)), "iqr_ms": quartiles(ms), "pairs_ms": ms.tolist()}
        for name, ms in times.items()
    }
