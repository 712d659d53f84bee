"""What the processes of one run exchange; a run of one process exchanges nothing.

Every process draws the same order and the same augmentation for the global batch and keeps its own rows; gradients and
running statistics are averaged, so all of them hold the same weights at every moment.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from lmdeploy.types import F32


class Share(NamedTuple):
    """Process `rank` of `world`: which rows of a global batch are its own."""

    rank: int = 0
    world: int = 1

    def of(self, rows: Tensor) -> Tensor:
        """Every world-th entry of rows [B,...]; two streams of multiples of `world` keep their proportion."""
        return rows[self.rank :: self.world]


def share() -> Share:
    """This process among those of the run."""
    if dist.is_available() and dist.is_initialized():
        return Share(dist.get_rank(), dist.get_world_size())
    return Share()


def first() -> bool:
    """Whether this process writes the files."""
    return share().rank == 0


def barrier() -> None:
    """Wait until all processes are here."""
    if share().world > 1:
        float(_sum(torch.zeros(1)))


def average_gradients(network: nn.Module) -> None:
    """Every weight's gradient becomes the mean over processes; one that has none anywhere keeps none."""
    world = share().world
    if world == 1:
        return
    weights = [w for w in network.parameters() if w.requires_grad]
    if not weights:
        return
    has = torch.tensor([float(w.grad is not None) for w in weights], device=weights[0].device)
    own = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
    flat = torch.cat([has, *(g.flatten().float() for g in own)])
    dist.all_reduce(flat)
    anywhere = None if all(w.grad is not None for w in weights) else flat[: len(weights)].tolist()
    parts = torch.split(flat[len(weights) :] / world, [w.numel() for w in weights])
    for i, (weight, part) in enumerate(zip(weights, parts, strict=True)):
        if anywhere is None or anywhere[i]:
            weight.grad = part.view_as(weight).to(weight.dtype)


def average_buffers(network: nn.Module) -> None:
    """Running statistics become their mean over processes, so that every process predicts alike."""
    world = share().world
    buffers = [b for b in network.buffers() if b.is_floating_point()]
    if world == 1 or not buffers:
        return
    flat = torch.cat([b.flatten() for b in buffers])
    dist.all_reduce(flat)
    for buffer, part in zip(buffers, torch.split(flat / world, [b.numel() for b in buffers]), strict=True):
        buffer.copy_(part.view_as(buffer))


def mean_values(values: dict[str, float]) -> dict[str, float]:
    """The mean over processes of each value."""
    world = share().world
    if world == 1:
        return values
    found = _sum(torch.tensor(list(values.values()), dtype=torch.float64)) / world
    return dict(zip(values, found.tolist(), strict=True))


def gather(rows: F32) -> F32:
    """All processes' rows f32[n,...], in the order of the processes; n may differ."""
    mine = share()
    if mine.world == 1:
        return rows
    counts = torch.zeros(mine.world)
    counts[mine.rank] = len(rows)
    sizes = [int(n) for n in _sum(counts).tolist()]
    padded = torch.zeros(max(sizes), *rows.shape[1:], device=_device())
    padded[: len(rows)] = torch.from_numpy(np.ascontiguousarray(rows))
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return np.concatenate([part[:n].cpu().numpy() for part, n in zip(parts, sizes, strict=True)])


def _sum(values: Tensor) -> Tensor:
    there = values.to(_device())
    dist.all_reduce(there)
    return there.cpu()


def _device() -> torch.device:
    """Where this backend exchanges tensors."""
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
