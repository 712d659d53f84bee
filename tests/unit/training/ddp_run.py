"""What each process of test_processes.py runs: two stages on the drawn faces; what it saw and got goes into a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job
from training.engine import predictor, processes
from training.engine.batch import Batch
from training.engine.fit import Schedule, Stage
from training.engine.train_set import Part
from training.methods import stld


def frozen(norm: nn.Module, mode: bool = True) -> nn.Module:
    """Batch norm stays in eval mode, whatever mode the network is in: its batch is another one in every process."""
    return nn.Module.train(norm, mode=False)


def stages(toy: Path, out: Path, batch: int) -> dict[str, Any]:
    """Pseudo-label with a new network, then train one list and two streams; all that a process sees comes back."""
    ready = job.prepare(tiny_request(toy, out, "stld", recipe=tiny_recipe("stld")))
    trainer = ready.trainer
    network = trainer.new_network()
    assert ready.unlabelled is not None
    pseudo = trainer.pseudo_label(network, ready.unlabelled, "round0")
    found: dict[str, Any] = {"labels": pseudo.points.tolist()}
    parts = [Part(ready.labelled), Part(pseudo, pseudo=True, sigma=2.2)]
    found["start"] = weights(network)
    plain = stld.mixed_step(0.7, "aux", "per_source")
    for mu in (0, 1):
        seen: list[list[float]] = []
        without: list[bool] = []

        def step(
            module: nn.Module, batch: Batch, seen: list[list[float]] = seen, without: list[bool] = without
        ) -> dict[str, Tensor]:
            seen.append([*batch.points.sum(dim=(1, 2)).tolist(), *batch.x.mean(dim=(1, 2, 3)).tolist()])
            without.append(not bool(batch.pseudo.any()))
            return plain(module, batch)

        schedule = Schedule(batch=batch, lr=0.1, optimiser="sgd")
        trainer.fit(network, parts, step, Stage(name=f"mu{mu}", epochs=2, mu=mu), schedule)
        found[f"mu{mu}"] = {"seen": seen, "without": without, "weights": weights(network)}
    return found


def weights(network: nn.Module) -> list[float]:
    """All weights and running statistics in one list."""
    return torch.cat([value.flatten().double() for value in network.state_dict().values()]).tolist()


if __name__ == "__main__":
    torch.set_num_threads(1)
    predictor.BATCH = 4
    nn.BatchNorm2d.train = frozen  # type: ignore[method-assign,assignment]
    toy, out, batch = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    found = stages(toy, out, batch)
    (out / f"found{processes.share().rank}.json").write_text(json.dumps(found))
