"""A heatmap network with DST's two further heads (Chen et al. 2022); they are not part of the result.

main    the network's own                       labelled images, predictions
pseudo  {1x1 conv; ReLU; 1x1 conv}              pseudo-labels
worst   the same, behind a gradient reversal    the worst head that labelled images still allow
"""

from __future__ import annotations

from torch import Tensor, nn

from training.losses.worst_case import reverse
from training.models.heatmap import Heatmap


class Debiased(nn.Module):
    """Trunk and main head of `network`, and both further heads on the same features."""

    def __init__(self, network: Heatmap, landmarks: int) -> None:
        """Share the network's weights; the new heads have the framework's random weights."""
        super().__init__()
        self.network = network
        self.pseudo, self.worst = (_head(network.width, landmarks) for _ in range(2))

    def forward(self, x: Tensor, coefficient: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """Maps f32[B,K,h,w] of main, pseudo and worst for x f32[B,3,S,S]; coefficient: of the reversal."""
        feature = self.network.features(x)
        return self.network.main(feature), self.pseudo(feature), self.worst(reverse(feature, coefficient))


def _head(width: int, landmarks: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU(inplace=True), nn.Conv2d(width, landmarks, 1))
