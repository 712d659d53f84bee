"""Percentile bootstrap of a mean over images, clustered: frames of one person are no independent evidence."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from lmdeploy.errors import InputError
from lmdeploy.types import F64, Array

CHUNK = 64  # draws at a time: bounds the memory to CHUNK x clusters


def clusters_of(identities: Sequence[str]) -> list[Hashable]:
    """Cluster keys of N images: the identity, or the image itself where it is unknown ("")."""
    return [identity or number for number, identity in enumerate(identities)]


def bootstrap_means(values: Array, clusters: Sequence[Hashable], draws: int = 2000, seed: int = 0) -> F64:
    """f64[draws]: the mean over images after drawing whole clusters with replacement.

    values: f[N] finite, one per image. clusters: N keys; images of equal key are drawn together.
    """
    if len(values) == 0 or len(values) != len(clusters):
        raise InputError(f"{len(values)} values and {len(clusters)} clusters: one cluster per value, at least one")
    number = {key: n for n, key in enumerate(dict.fromkeys(clusters))}
    members = [number[key] for key in clusters]
    sums, counts = np.bincount(members, np.asarray(values, np.float64)), np.bincount(members)
    rng = np.random.default_rng(seed)
    means = []
    for start in range(0, draws, CHUNK):
        size = min(CHUNK, draws - start)
        times = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=size)
        means.append(times @ sums / (times @ counts))
    return np.concatenate(means)


def bootstrap_interval(
    values: Array, clusters: Sequence[Hashable], level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The central `level` of `bootstrap_means`, (low, high)."""
    tail = 50 * (1 - level)
    low, high = np.percentile(bootstrap_means(values, clusters, draws, seed), [tail, 100 - tail])
    return float(low), float(high)
