"""Steps run wholly on their device, in the absence of one: on torch's `meta` device, which has shapes and no values.

A tensor that is left behind on the processor, a per-sample look at a value and a wait for the device all raise there.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job
from training.engine.fit import Stage, Step
from training.engine.train_set import Part
from training.methods import METHODS

META = torch.device("meta")
RUNS: list[tuple[str, dict[str, Any]]] = [
    ("dst", {}),
    ("easy_hard", {}),
    ("easy_hard", {"variant": "PoseDual"}),
    ("fixmatch", {}),
    ("fixmatch", {"ema": 0.9}),
]


@pytest.mark.parametrize(("method", "options"), RUNS)
def test_a_step_leaves_nothing_on_the_processor(
    method: str, options: dict[str, Any], toy: Path, tmp_path: Path
) -> None:
    wanted = tiny_recipe(method, **options)
    ready = job.prepare(tiny_request(toy, tmp_path, method, recipe=wanted))
    trainer, steps = ready.trainer, 0
    trainer.fabric = SimpleNamespace(device=META)  # type: ignore[assignment]
    trainer.report = lambda network, name: None  # type: ignore[method-assign]
    trainer.pseudo_label = lambda network, crops, name: crops  # type: ignore[method-assign]

    def one_step(module: nn.Module, parts: list[Part], step: Step, stage: Stage, schedule: object = None) -> None:
        nonlocal steps
        drawer = trainer.drawer(parts)
        first = torch.arange(min(4, drawer.data.lengths[0]))
        rows = torch.cat([first, drawer.data.lengths[0] + torch.arange(4)]) if len(parts) > 1 else first
        loss = step(module.train(), drawer.draw(rows, torch.Generator().manual_seed(0), 1))["loss"]
        loss.backward()
        assert loss.device == META
        steps += 1

    trainer.fit = one_step  # type: ignore[method-assign,assignment]
    METHODS[method].train(wanted.method_config(), trainer, ready.labelled, ready.unlabelled)
    assert steps >= 1
