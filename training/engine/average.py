"""Exponential moving average of a network's weights, as a module, so that checkpoints hold it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from training.models import Network


class Averaged(nn.Module):
    """A network that is trained and its average, which is not.

        average <- d average + (1 - d) network,  d = min(decay, (1 + n) / (10 + n)) at update n = 1, 2, ...

    The growing d lets the average of a short training forget its random start. Running statistics of batch norm are
    averaged like weights, whole numbers are copied.
    """

    updates: Tensor

    def __init__(self, network: Network, decay: float) -> None:
        """Start the average at the network's weights; decay in [0, 1)."""
        super().__init__()
        self.network, self.decay = network, decay
        self.average = copy.deepcopy(network).requires_grad_(requires_grad=False)
        device = next(network.parameters()).device
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64, device=device))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both heads of the trained network; x f32[B,3,S,S]."""
        out: tuple[Tensor, Tensor] = self.network(x)
        return out

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are after an optimiser step."""
        self.updates += 1
        d = torch.clamp((1 + self.updates) / (10 + self.updates), max=self.decay)
        for old, new in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if old.is_floating_point():
                old.lerp_(new, 1 - d)
            else:
                old.copy_(new)
