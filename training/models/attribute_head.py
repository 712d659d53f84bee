"""Branches that tell attributes (Honari et al., Figs. 1, 2, 5, 6): one output layer for each attribute."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

HIDDEN = 40  # width of the fully connected layer before the outputs (Section 4.1)


class AttributeHead(nn.Module):
    """seen -> trunk -> f32[B,width] -> one f32[B,C] for each attribute, fp32.

    Every attribute has a trunk of its own, as the paper's two branches for emotion and camera have (4.4).
    """

    def __init__(self, trunks: Sequence[nn.Module], width: int, outputs: Sequence[int]) -> None:
        """outputs: for each attribute the number of its classes, or 1 for a real value."""
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(trunk, nn.Linear(width, count)) for trunk, count in zip(trunks, outputs, strict=True)
        )

    def forward(self, seen: Tensor) -> list[Tensor]:
        """Logits or values; seen: what the network hands to its attribute branches."""
        with torch.autocast(seen.device.type, enabled=False):
            return [branch(seen.float()) for branch in self.branches]


def of_landmarks(landmarks: int, outputs: Sequence[int]) -> AttributeHead:
    """Seq-MT's: 2K centred coordinates -> 40 -> attribute; nothing else of the image gets through."""
    trunks = [nn.Sequential(nn.Flatten(), nn.Linear(2 * landmarks, HIDDEN), nn.ReLU()) for _ in outputs]
    return AttributeHead(trunks, HIDDEN, outputs)


def of_features(width: int, outputs: Sequence[int]) -> AttributeHead:
    """Comm-MT's: straight from the last common layer f32[B,width]."""
    return AttributeHead([nn.Identity() for _ in outputs], width, outputs)
