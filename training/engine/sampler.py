"""Which rows make up the batches of an epoch."""

from __future__ import annotations

import torch
from torch import Tensor

from lmdeploy.errors import InputError


def batches(lengths: tuple[int, ...], size: int, mu: int, draw: torch.Generator, world: int = 1) -> list[Tensor]:
    """Row numbers of one epoch, in the global batches of `world` processes (`size` is one process's).

    mu = 0: one shuffled list over all parts; a last batch that leaves a process one row or none is dropped, because
    batch norm would have no variance. mu > 0: every batch holds `size` rows of the first part, drawn anew whenever
    that is used up, and then mu x size rows of the others; the epoch ends when the others are used up (a short rest is
    left for the next).

    Errors: InputError for fewer rows than processes.
    """
    size *= world
    if mu == 0:
        rest = list(torch.split(torch.randperm(sum(lengths), generator=draw), size))
        if 0 < len(rest[0]) < world:
            raise InputError(f"{len(rest[0])} images are too few for {world} processes; use fewer --devices")
        return rest[:-1] if len(rest) > 1 and len(rest[-1]) < 2 * world else rest
    first, others = lengths[0], sum(lengths[1:])
    count = max(others // (mu * size), 1)
    labelled = _endless(first, count * size, draw)
    unlabelled = first + _endless(others, count * mu * size, draw)
    pairs = zip(torch.split(labelled, size), torch.split(unlabelled, mu * size), strict=True)
    return [torch.cat(pair) for pair in pairs]


def _endless(length: int, wanted: int, draw: torch.Generator) -> Tensor:
    """`wanted` numbers below `length`: whole permutations one after another."""
    rounds = -(-wanted // length)
    return torch.cat([torch.randperm(length, generator=draw) for _ in range(rounds)])[:wanted]
