"""How many images count as labelled in the papers' tables, and nested draws of so many (specification, 1.1).

The released STLD lists are nested, so a smaller one is part of every larger one; a seeded draw has the same property.
"""

from __future__ import annotations

from collections.abc import Sequence

from lmdeploy.dataset import Sample
from lmdeploy.errors import InputError
from lmdeploy.split import draw

# Images of the whole training set, and how many of them are labelled at each ratio of the papers.
TOTALS = {"300w": 3148, "wflw": 7500, "aflw": 20000}
COUNTS: dict[str, dict[str, int]] = {
    "300w": {"1.6%": 50, "5%": 157, "10%": 315, "20%": 630},
    "wflw": {"0.7%": 50, "5%": 375, "10%": 750, "20%": 1500},
    "aflw": {"1%": 200, "5%": 1000, "10%": 2000, "20%": 4000},
}


def labelled(samples: Sequence[Sample], data: str, ratio: str, seed: int = 0) -> list[str]:
    """Names of the images that count as labelled at a ratio; with one seed the lists of all ratios are nested.

    Args:
        samples: the whole training set.
        data: 300w, wflw or aflw.
        ratio: a label of COUNTS, such as "5%".
        seed: of the draw.
    """
    known = COUNTS.get(data, {})
    if ratio not in known:
        raise InputError(f"no labelled count for {data!r} at {ratio!r}: choose from {known or sorted(COUNTS)}")
    return draw(samples, known[ratio], seed)


def rest(samples: Sequence[Sample], names: Sequence[str]) -> list[str]:
    """Names of the samples that are not in a list: the unlabelled part."""
    chosen = set(names)
    return [sample.name for sample in samples if sample.name not in chosen]
