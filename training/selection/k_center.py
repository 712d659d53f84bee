"""K-center-greedy ("Active Learning for Convolutional Neural Networks: A Core-Set Approach", as in SCAF 4.6).

    d_i = distance of candidate i to the nearest centre             centres = the labelled images
    repeat: take the candidate of largest d; it becomes a centre; d_i = min(d_i, distance to it)

Where there is no centre yet, the candidate nearest to the mean of all begins.

Differs from the paper: it names no embedding; here it is what training.selection.measures takes from the network.
"""

from __future__ import annotations

import numpy as np

from lmdeploy.types import F32, F64
from training.selection.ranking import Ranking


def k_center(candidates: F32, centres: F32, count: int, seed: int = 0) -> Ranking:
    """Take `count` of the candidates, far from the centres and from each other.

    Args:
        candidates: f32[N,D], a descriptor of each image.
        centres: f32[M,D], those of the labelled images; M may be 0.
        count: how many to take, at most N.
        seed: not used: nothing is drawn.
    Returns: order (count), and value f32[N]: the distance to the nearest centre when taken, else at the end.
    """
    points = candidates.astype(np.float64)
    value = np.full(len(points), np.inf)
    for centre in centres.astype(np.float64):
        value = np.minimum(value, _distance(points, centre))
    order: list[int] = []
    near = value.copy()  # to the centres as they now are; -1 once taken
    for _ in range(min(count, len(points))):
        i = int(np.argmin(_distance(points, points.mean(axis=0))) if np.isinf(near).all() else np.argmax(near))
        order.append(i)
        value[i] = near[i]
        near = np.minimum(near, _distance(points, points[i]))
        near[order] = -1.0
    rest = near >= 0
    value[rest] = near[rest]
    return Ranking(tuple(order), np.where(np.isfinite(value), value, 0.0).astype(np.float32))


def _distance(points: F64, centre: F64) -> F64:
    """f64[N], Euclidean."""
    found: F64 = np.sqrt(np.square(points - centre).sum(axis=1))
    return found
