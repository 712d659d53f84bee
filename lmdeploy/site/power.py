"""How small a gain a gate can show, and how many labels a smaller one needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from lmdeploy.types import F64

POWER = 0.8  # chance of showing a gain of the detectable size
Z_POWER = NormalDist().inv_cdf(POWER)
CORRELATION = 0.8  # assumed between the errors of champion and candidate on the same images
ASSUMPTION = f"80 % power; the candidate's errors spread as the champion's and correlate {CORRELATION} with them"


def z_value(alpha: float) -> float:
    """Standard normal quantile of a one-sided test.

    >>> round(z_value(0.05), 3)
    1.645
    """
    return NormalDist().inv_cdf(1 - alpha)


def t_value(alpha: float, freedom: int) -> float:
    """Quantile of Student's t for a one-sided test, expanded in 1 / freedom (right to 0.1 % from 5 on).

    >>> round(t_value(0.05, 29), 3)
    1.699
    """
    z, v = z_value(alpha), float(freedom)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / v + second / v**2 + third / v**3


def detectable_difference(champion: F64, identity: Sequence[str], alpha: float) -> float:
    """Smallest true gain (in the unit of `champion` f64[N], e.g. NME per cent) shown with 80 % chance.

    Before any candidate exists its differences are unknown; see ASSUMPTION. Infinite with fewer than two identities.
    """
    if len(set(identity)) < 2:
        return math.inf
    _, member = np.unique(np.asarray(identity), return_inverse=True)
    residual = np.bincount(member, weights=champion - champion.mean())
    clusters = len(residual)
    error = math.sqrt(float((residual**2).sum()) * clusters / (clusters - 1)) / len(champion)
    return (z_value(alpha) + Z_POWER) * math.sqrt(2 * (1 - CORRELATION)) * error


def images_needed(detectable: float, images: int, wanted: float) -> int:
    """Gate images (of as many identities in proportion) that would show a gain of `wanted`.

    >>> images_needed(0.4, 50, 0.2)
    200
    """
    return math.ceil(images * (detectable / wanted) ** 2)
