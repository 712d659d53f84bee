"""A network and its attribute branches as one module to train; what is kept and exported is the network alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from lmdeploy.errors import InputError
from training.data.attributes import Column
from training.models.attribute_head import AttributeHead
from training.models.base import Network


class TellsAttributes(Protocol):
    """A network whose second output is what its attribute branches see."""

    def attribute_head(self, outputs: Sequence[int]) -> AttributeHead:
        """New branches: for each attribute the number of its classes, or 1 for a real value."""
        ...


class MultiTask(nn.Module):
    """forward(x) -> (main head's output, [output of each attribute]); without branches the list is empty."""

    def __init__(self, network: Network, head: AttributeHead | None) -> None:
        """Keep both; `network` is trained in place."""
        super().__init__()
        self.network, self.head = network, head

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """X f32[B,3,S,S]; a real value comes as f32[B,1], classes as logits f32[B,C]."""
        main, *seen = self.network(x)
        return main, [] if self.head is None else self.head(seen[0])


def with_attributes(network: Network, columns: Sequence[Column], seed: int) -> MultiTask:
    """The network with new branches for these attributes (none of them: without branches); weights from the seed."""
    if not columns:
        return MultiTask(network, None)
    if not hasattr(network, "attribute_head"):
        raise InputError(
            f"a {network.cfg.kind} network has no attribute branches: set options.attribute = 0, or network.kind to "
            "seq_mt, comm_mt, heatmap_mt or rcn"
        )
    torch.manual_seed(seed)
    outputs = [column.classes or 1 for column in columns]
    return MultiTask(network, cast("TellsAttributes", network).attribute_head(outputs))
