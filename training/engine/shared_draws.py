"""Random numbers of a batch that do not depend on how many processes share it.

Inside `with SharedDraws(...)`, whatever an augmentation draws from the generator is drawn for the rows of the global
batch, and this process gets the numbers of its own rows. The only rule for an augmentation: the first axis of
every draw is the batch. Rows of more than LONG numbers (pixel noise) each have a generator of their own, seeded from
the shared one, so that a process draws no more of them than it needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from training.engine.processes import Share

LONG = 4096  # numbers a row


class SharedDraws(TorchFunctionMode):
    """Draws from `generator` for `rows` rows of all processes together; the caller sees those of `share`."""

    def __init__(self, generator: torch.Generator, rows: int, share: Share) -> None:
        """Change nothing before the block is entered."""
        super().__init__()
        self._draw, self._rows, self._share = generator, rows, share
        self._own = len(range(share.rank, rows, share.world))

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace torch.rand, randn and randint with this generator; leave every other call alone."""
        kwargs = kwargs or {}
        if kwargs.get("generator") is not self._draw:
            return func(*args, **kwargs)
        if func is torch.randint:
            *limits, size = args
        elif func is torch.rand or func is torch.randn:
            limits, size = [], args if isinstance(args[0], int) else args[0]
        else:
            raise NotImplementedError(f"an augmentation may draw with rand, randn and randint, not {func}")
        if size[0] != self._own:
            raise ValueError(f"an augmentation drew {tuple(size)}: the first axis must be the batch of {self._own}")
        return self._drawn(func, limits, tuple(size[1:]), kwargs)

    def _drawn(
        self, func: Callable[..., Any], limits: list[int], shape: tuple[int, ...], about: dict[str, Any]
    ) -> Any:
        if math.prod(shape) <= LONG:
            return self._share.of(func(*limits, (self._rows, *shape), **about))
        seeds = self._share.of(torch.randint(2**62, (self._rows,), generator=self._draw)).tolist()
        rows: list[Tensor] = [
            func(*limits, shape, **(about | {"generator": torch.Generator().manual_seed(seed)})) for seed in seeds
        ]
        return torch.stack(rows)
