"""Draw a labelled subset: round-robin over shuffled identities, so that few labels show many people.

The order depends on nothing but names, identities and the seed (sha256), so it is the same on every machine, and the
subset of N images is the beginning of the subset of N + 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from lmdeploy.dataset import Sample
from lmdeploy.errors import InputError


def draw(samples: Sequence[Sample], labelled: int, seed: int) -> list[str]:
    """Names of `labelled` images; an image without a known identity counts as a person of its own."""
    if not 1 <= labelled <= len(samples):
        raise InputError(f"{labelled} labelled images cannot be drawn from {len(samples)}")
    groups: dict[tuple[str, str], list[str]] = {}
    for sample in samples:
        key = ("identity", sample.identity) if sample.identity else ("image", sample.name)
        groups.setdefault(key, []).append(sample.name)
    ranked = [
        (turn, _rank(seed, *key), name)
        for key, names in groups.items()
        for turn, name in enumerate(sorted(names, key=lambda name: _rank(seed, "image", name)))
    ]
    return [name for _, _, name in sorted(ranked)[:labelled]]


def _rank(seed: int, kind: str, name: str) -> str:
    return hashlib.sha256(f"{seed}/{kind}/{name}".encode()).hexdigest()
