"""A network's raw outputs as a module of its own, so that a training step gets them through one ordinary call.

Precision and distribution are set up around a module's forward, which decodes here; only what forward calls is theirs.
"""

from __future__ import annotations

from torch import Tensor, nn

from training.models.cpm import Cpm
from training.models.hourglass import StackedHourglass
from training.models.hybrid import Hybrid
from training.models.pipnet import PipNet


class RawOutputs(nn.Module):
    """forward(x) -> network.raw(x); shares the network's weights."""

    def __init__(self, network: PipNet | Hybrid | Cpm | StackedHourglass) -> None:
        """Wrap `network`."""
        super().__init__()
        self.network: PipNet | Hybrid | Cpm | StackedHourglass = network

    def forward(self, x: Tensor) -> tuple[Tensor | tuple[Tensor, ...], ...]:
        """The raw outputs for x f32[B,3,S,S]; see the network's `raw`."""
        return self.network.raw(x)
