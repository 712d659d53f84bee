"""Pseudo-labels that are made anew in every batch, by the network as it then is."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lmdeploy.errors import InputError
from training.codec import CODECS
from training.data.crops import Crops
from training.engine.batch import Batch, Drawer, carry
from training.engine.streams import answer
from training.engine.train_set import Part
from training.models import Network
from training.models.heatmap import Heatmap


class Found(NamedTuple):
    """maps f32[B,K,h,w] of the main head; points f32[B,K,2], crop px of the view; conf f32[B], mean peak in [0, 1]."""

    maps: Tensor
    points: Tensor
    conf: Tensor


class OnlineLabels:
    """Labels views through a network's main head, and draws the labels' targets in other views."""

    def __init__(self, drawer: Drawer, codec: str) -> None:
        """Use the codec and the frames of a stage's drawer."""
        self._drawer, self._codec = drawer, CODECS[codec]

    def of(self, network: nn.Module, view: Batch) -> Found:
        """The network's answer for a view as a teacher: no gradient, running statistics of batch norm."""
        main, aux, *_ = (out.float() for out in answer(network, view.x))
        stride = self._drawer.stride
        score = self._codec.measure((main, aux), stride).score
        return Found(main, self._codec.decode(main, stride), score.mean(dim=1))

    def target(self, points: Tensor, source: Batch, other: Batch, sigma: float) -> Tensor:
        """Targets in view `other` of points f32[B,K,2] found in view `source` of the same samples; sigma map cells."""
        carried = carry(points, source, other, self._drawer.flip_index)
        return self._drawer.encode(carried, torch.full((len(points),), sigma, device=points.device))


def maps_only(network: Network, method: str) -> Heatmap:
    """The network, if it is a heatmap network; InputError otherwise.

    A coordinate network has no peak to threshold and no map to compare; its auxiliary head, whose agreement with the
    main one is the only confidence that it has, learns nothing in these methods.
    """
    if not isinstance(network, Heatmap):
        raise InputError(
            f"{method} needs the maps of a heatmap network: set network.kind = 'heatmap', or choose stld or naive, "
            "which train coordinate networks too"
        )
    return network


def streams_of(sigma: float, oversample: int, labelled: Crops, unlabelled: Crops) -> list[Part]:
    """The labelled stream and the unlabelled one, whose list is repeated up to `oversample` entries."""
    return [Part(labelled, sigma=sigma), Part(unlabelled, pseudo=True, sigma=sigma, oversample=oversample)]
