"""Round 0 of self-training: the model that labels first."""

from __future__ import annotations

from typing import Literal

from lmdeploy.errors import InputError
from training.engine.fit import Stage
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.methods import supervised
from training.models import Network

Start = Literal["train", "init"]
"""`train`: on the labelled images; `init`: the given weights as they are (a site's champion)."""


def round_zero(trainer: Trainer, truth: Part, stage: Stage, start: Start) -> Network:
    """The model of round 0, trained on `truth` or taken from --init.

    Raises:
        InputError: start = "init" without weights to start from.
    """
    network = trainer.new_network()
    if start == "train":
        trainer.fit(network, [truth], supervised.step, stage)
    elif not trainer.starts_from_init:
        raise InputError("start = 'init' needs the weights to start from: give --init BUNDLE or CHECKPOINT")
    trainer.report(network, stage.name)
    return network
