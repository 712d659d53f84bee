"""CNT: sampling in proportion to size, a shared backbone that stage 2 hardly moves, one network for all schemas."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lmdeploy.errors import InputError
from tests.unit.training.conftest import tiny_network, tiny_recipe, tiny_request
from training import job
from training.engine import checkpoint
from training.engine.batch import Batch
from training.engine.sampler import batches
from training.methods import cross_protocol
from training.models.branches import Branches
from training.recipe import Recipe, checked

PAPER = np.array([20000, 1345, 9770, 3148, 7500])  # AFLW, COFW, WiderFace, 300W, WFLW (Section V-A)
CHI_SQUARE_4 = 18.47  # 99.9 % of chi-square with 4 degrees of freedom


def heatmap_recipe(**options: Any) -> Recipe:
    """The tiny recipe on a heatmap network."""
    tiny = tiny_recipe("cross_protocol", **options)
    return checked(tiny.model_copy(update={"network": tiny_network({}), "codec": "subpixel"}), "test")


def trained(toy: Path, out: Path, **fields: Any) -> Path:
    return job.run(tiny_request(toy, out, "cross_protocol", **fields), lambda _: None).parent


@pytest.fixture(scope="module")
def run(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(toy, tmp_path_factory.mktemp("cnt"), evaluate=toy / "test")


def test_data_sets_are_drawn_in_proportion_to_their_sizes() -> None:
    """Chi-square over the first batch of each of 12 epochs, at the paper's sizes."""
    ends = torch.from_numpy(PAPER.cumsum())
    draw, total = torch.Generator().manual_seed(5), int(PAPER.sum())
    assert total == 41763
    counts = np.zeros(5)
    for _ in range(12):
        rows = batches((total,), 400, 0, draw)[0]
        counts += torch.bincount(torch.searchsorted(ends, rows, right=True), minlength=5).numpy()
    wanted = 12 * 400 * PAPER / total
    assert ((counts - wanted) ** 2 / wanted).sum() < CHI_SQUARE_4
    even = np.full(5, 12 * 400 / 5)  # the test sees it when they are not
    assert ((counts - even) ** 2 / even).sum() > 10 * CHI_SQUARE_4


def test_batches_are_mixed_and_an_epoch_holds_every_sample_once(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    real = cross_protocol.part_of

    def note(*words: Any) -> torch.Tensor:
        found = real(*words)
        seen.append(found.tolist())
        return found

    monkeypatch.setattr(cross_protocol, "part_of", note)
    trained(toy, tmp_path, recipe=tiny_recipe("cross_protocol", fine=False))
    epoch = seen[: len(seen) // 2]
    assert sorted(part for batch in epoch for part in batch) == [0] * 6 + [1] * 12  # face5 stands before ibug68
    assert any(0 < sum(batch) < len(batch) for batch in epoch)


def test_both_rounds_are_measured_in_the_schema_of_the_first_data_set(run: Path) -> None:
    for name in ("joint", "fine"):
        result = json.loads((run / "rounds" / f"{name}.json").read_text())
        assert (result["landmarks"], result["images"]) == ("ibug68", 8)


def test_the_end_is_a_network_of_one_schema_and_stage_1_keeps_all(run: Path) -> None:
    joint, fine = (checkpoint.read(run / name) for name in ("stages/joint.safetensors", "model.safetensors"))
    assert [(part.label, part.first) for part in joint.about.spec.parts] == [("face5", 0), ("ibug68", 5)]
    assert joint.about.network.model_dump()["points"] == (5, 68)
    assert fine.about.spec.parts == ()
    assert fine.about.spec.landmarks.name == "ibug68"
    assert fine.about.network.model_dump()["points"] == (68,)
    assert not any(name.startswith("branches.1.") for name in fine.weights)


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], start: str) -> float:
    """Largest change of any trained weight whose name begins so."""
    names = [n for n in after if n.startswith(start) and not n.endswith(("running_mean", "running_var", "tracked"))]
    return max(float((after[name] - before[name]).abs().max()) for name in names)


@pytest.mark.parametrize("made", [tiny_recipe, heatmap_recipe])
def test_stage_2_trains_the_branch_and_leaves_what_is_shared_at_its_own_step_size(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Callable[..., Recipe]
) -> None:
    rates: list[dict[int, float]] = []
    real = torch.optim.Adam.step

    def step(self: torch.optim.Adam, closure: None = None) -> Any:
        rates.append({id(weight): group["lr"] for group in self.param_groups for weight in group["params"]})
        return real(self, closure)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    asked = made("cross_protocol") if made is tiny_recipe else made()
    ready = job.prepare(tiny_request(toy, tmp_path, "cross_protocol", recipe=asked))
    network = cross_protocol.train(asked.method_config(), ready.trainer, ready.labelled, None)  # type: ignore[arg-type]  # a BaseModel to pydantic
    heads = ("branches.", "main.", "aux.")
    top = asked.schedule.lr
    fine = [entry for entry in rates if len(set(entry.values())) == 2]
    joint = [entry for entry in rates if len(set(entry.values())) == 1]
    assert len(joint) > len(fine) > 0  # 18 images an epoch, then 12
    for entry in fine:
        low, high = sorted(set(entry.values()))
        assert low / high == pytest.approx(1e-7 / top)
        assert high <= top
        for name, weight in network.named_parameters():
            assert entry[id(weight)] == (high if name.startswith(heads) else low), name
    before = checkpoint.read(tmp_path / "stages" / "joint.safetensors").weights
    after = network.state_dict()
    assert 0 < moved(before, after, "backbone.") < 2e-7 * len(fine)  # Adam's step is about its step size
    if isinstance(network, Branches):
        own = {n.replace("branches.1.", "branches.0."): w for n, w in before.items() if "branches.0." not in n}
        assert moved(own, after, "branches.") > 1e-5


def test_a_sample_of_one_data_set_gives_no_gradient_to_the_other_s_head(toy: Path, tmp_path: Path) -> None:
    """For a heatmap network, whose branches are rows of one convolution; see test_branches for the other kind."""
    ready = job.prepare(tiny_request(toy, tmp_path, "cross_protocol", recipe=heatmap_recipe()))
    network, parts = ready.trainer.new_network(), ready.trainer.settings.spec.parts
    drawer = ready.trainer.drawer([cross_protocol.Part(ready.labelled)])
    for d, rows in ((0, [0, 1, 2]), (1, [6, 7])):  # face5 has six
        batch: Batch = drawer.draw(torch.tensor(rows), torch.Generator().manual_seed(1))
        assert cross_protocol.part_of(batch.visible, parts).tolist() == [d] * len(rows)
        network.zero_grad(set_to_none=True)
        cross_protocol.step_of(())(network, batch)["loss"].backward()
        head = network.main
        assert isinstance(head, nn.Conv2d)
        assert head.weight.grad is not None
        grown = head.weight.grad.flatten(1).any(dim=1)
        assert grown[parts[d].rows].all()
        assert not grown[parts[1 - d].rows].any()


def test_stage_1_is_the_same_whichever_data_set_is_the_first_and_may_be_taken_over(
    toy: Path, tmp_path: Path, run: Path
) -> None:
    swapped = dataclasses.replace(
        tiny_request(toy, tmp_path / "swapped", "cross_protocol"),
        data=toy / "five", schema="face5", also=((toy / "labelled", "ibug68"),),
    )  # fmt: skip
    job.run(swapped, lambda _: None)
    joint = checkpoint.read(run / "stages" / "joint.safetensors")
    again = checkpoint.read(tmp_path / "swapped" / "stages" / "joint.safetensors")
    assert all(torch.equal(value, again.weights[name]) for name, value in joint.weights.items())
    init = dataclasses.replace(
        swapped, out=tmp_path / "init", recipe=tiny_recipe("cross_protocol", start="init"),
        init=run / "stages" / "joint.safetensors",
    )  # fmt: skip
    job.run(init, lambda _: None)
    assert not (tmp_path / "init" / "stages" / "joint.safetensors").exists()
    one, two = (checkpoint.read(tmp_path / name / "model.safetensors") for name in ("swapped", "init"))
    assert one.about.spec.landmarks.name == "face5"
    assert all(torch.equal(value, two.weights[name]) for name, value in one.weights.items())


def test_start_from_init_needs_weights(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--init"):
        trained(toy, tmp_path, recipe=tiny_recipe("cross_protocol", start="init"))
