"""One selection: rank the candidates, drop the hardest where asked, take the next ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lmdeploy.errors import InputError
from lmdeploy.types import F32
from training.selection.discard import discard
from training.selection.k_center import k_center
from training.selection.random_order import random_order
from training.selection.ranking import Ranking, largest_first

Rank = Callable[[F32, F32, int, int], Ranking]
"""(candidates f32[N,D], labelled f32[M,D], count, seed) -> at least `count` of the candidates in order."""


class Strategy(NamedTuple):
    """rank: what orders the candidates. discards: its first ones may be outliers, so that the discard makes sense."""

    rank: Rank
    discards: bool


STRATEGIES: dict[str, Strategy] = {
    "entropy": Strategy(largest_first, discards=True),
    "k_center": Strategy(k_center, discards=False),
    "nnm": Strategy(largest_first, discards=True),
    "random": Strategy(random_order, discards=False),
}


class Choice(NamedTuple):
    """Rows of the candidates: chosen, best first; dropped by the discard. value: f32[N] of all of them."""

    chosen: tuple[int, ...]
    dropped: tuple[int, ...]
    value: F32


class Rule(NamedTuple):
    """How to choose: strategy, share dropped first, and the seed of what is drawn."""

    strategy: str
    discard: float
    seed: int


def check(strategy: str, share: float) -> None:
    """InputError for a strategy that is none, or one that the discard makes no sense with."""
    if strategy not in STRATEGIES:
        raise InputError(f"no strategy {strategy!r}: choose one of {', '.join(STRATEGIES)}")
    if share > 0 and not STRATEGIES[strategy].discards:
        raise InputError(
            f"discard {share:g} drops the hardest images, and {strategy} does not rank by hardness: set 0"
        )


def choose(rule: Rule, candidates: F32, labelled: F32, count: int) -> Choice:
    """Take `count` of N candidates, fewer where fewer are left.

    Args:
        rule: see Rule.
        candidates: f32[N,D], what the strategy measures of each (training.selection.measures).
        labelled: f32[M,D], the same of the labelled images; only k_center looks at it.
        count: how many to take.
    """
    check(rule.strategy, rule.discard)
    ranking = STRATEGIES[rule.strategy].rank(candidates, labelled, count, rule.seed)
    dropped, rest = discard(ranking.order, rule.discard)
    return Choice(rest[:count], dropped, ranking.value)
