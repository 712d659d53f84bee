"""The two streams of a batch (Stage.mu): the labelled rows come first, then mu times as many unlabelled ones."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from training.augment import config
from training.engine.batch import Batch


def split(batch: Batch, mu: int) -> tuple[Batch, Batch]:
    """(labelled, unlabelled) rows of a batch; their views are those of the whole batch, split alike."""
    labelled = len(batch.x) // (1 + mu)
    return rows_of(batch, slice(None, labelled)), rows_of(batch, slice(labelled, None))


def rows_of(batch: Batch, rows: slice) -> Batch:
    """Some rows of a batch."""

    def again(other: config.Config) -> Batch:
        return rows_of(batch.view(other), rows)

    return replace(
        batch, x=batch.x[rows], points=batch.points[rows], target=batch.target[rows], visible=batch.visible[rows],
        pseudo=batch.pseudo[rows], p=batch.p[rows], score=batch.score[rows], matrix=batch.matrix[rows],
        flip=batch.flip[rows], view=again,
        attributes=None if batch.attributes is None else batch.attributes[rows],
        maps=None if batch.maps is None else batch.maps[rows],
    )  # fmt: skip


def answer(network: nn.Module, *inputs: Tensor) -> tuple[Tensor, ...]:
    """What the network says of inputs f32[B,3,S,S] as a teacher: no gradient, batch norm and dropout as in prediction.

    Batch norm uses its running statistics and does not update them, so a teacher's answer for one image does not
    depend on the others of the batch, and is what the network would predict if the training stopped here.
    """
    was_training = network.training
    network.eval()
    with torch.no_grad():
        out: tuple[Tensor, ...] = network(*inputs)
    network.train(was_training)
    return out
