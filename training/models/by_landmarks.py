"""Networks whose landmarks are all that their attribute branches see (Honari et al., Fig. 2): Seq-MT's and RCN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from training.codec import softargmax
from training.models import attribute_head
from training.models.attribute_head import AttributeHead
from training.models.base import Network


class ByLandmarks(Network):
    """A network of maps, which `predict` gives; `attribute_head` makes what comes behind their soft-argmax."""

    def __init__(self, cfg: Any, landmarks: int) -> None:
        """For K = `landmarks` points."""
        super().__init__(cfg, landmarks)
        self.landmarks = landmarks

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps f32[B,K,s,s] and the centred landmarks f32[B,K,2] (crop widths), fp32; x f32[B,3,S,S]."""
        maps = self.predict(x).float()
        return maps, centred(maps)

    def predict(self, x: Tensor) -> Tensor:
        """The maps alone, f32[B,K,s,s]; x f32[B,3,S,S]."""
        raise NotImplementedError

    def attribute_head(self, outputs: Sequence[int]) -> AttributeHead:
        """Branches on the landmarks: for each attribute the number of its classes, or 1 for a real value."""
        return attribute_head.of_landmarks(self.landmarks, outputs)


def centred(maps: Tensor) -> Tensor:
    """Soft-argmax of maps f32[B,K,s,s] in crop widths, 0 at the crop's centre."""
    return (softargmax.decode(maps, 1) + 0.5) / maps.shape[-1] - 0.5
