"""STC: the curriculum's order, what each task trains, and the mean face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from lmdeploy.errors import InputError
from tests.oracles import pip as oracle
from tests.unit.training.conftest import made_batch, tiny_recipe, tiny_request
from training import job, recipe
from training.engine import checkpoint
from training.engine.batch import Batch
from training.engine.fit import Stage, Step
from training.engine.train_set import Part
from training.methods import stc
from training.models.pipnet import LEVELS, PipNet
from training.models.raw import RawOutputs

CFG = stc.Config()


def made_network(landmarks: int = 4) -> PipNet:
    """A random tiny network whose outputs are not near zero."""
    config = tiny_recipe("stc").network
    network = PipNet(config.model_copy(update={"neighbours": 2}), landmarks)  # type: ignore[arg-type]
    for head in (network.score, network.offset, network.near):
        torch.nn.init.normal_(head.weight)
    return network.eval()


def silent(network: PipNet, batch: Batch, task: stc.Task) -> set[str]:
    """Heads that get no gradient from a batch."""
    stc.curriculum_step(CFG, network.neighbours, task)(RawOutputs(network), batch)["loss"].backward()
    heads = {"score": network.score, "offset": network.offset, "near": network.near}
    return {name for name, head in heads.items() if head.weight.grad is None or not head.weight.grad.any()}


def test_the_release_s_curriculum_goes_from_coarse_to_fine() -> None:
    assert CFG.tasks == ("cls3", "cls2", "std", "std", "std")
    levels = [stc.LEVEL[task] for task in CFG.tasks]
    assert levels == sorted(levels, reverse=True)
    assert max(stc.LEVEL.values()) == LEVELS - 1
    assert (CFG.w_score, CFG.w_offset, CFG.w_near) == (10, 1, 1)
    assert CFG.rounds == 5
    with pytest.raises(ValidationError, match="at least 1 item"):
        stc.Config(tasks=())


@pytest.mark.parametrize("task", ["cls3", "cls2", "cls1", "std"])
def test_the_step_s_loss_equals_the_slow_loop(task: stc.Task) -> None:
    network = made_network()
    batch = made_batch([False, True, True], coordinates=True)
    batch.visible[0, 1] = batch.visible[2, 3] = False
    with torch.no_grad():
        found = stc.curriculum_step(CFG, network.neighbours, task)(RawOutputs(network), batch)
        scores, offset, near = network.raw(batch.x)
    where, seen = batch.target.numpy(), batch.visible.numpy()
    whole = [True, *[task == "std"] * 2]
    level = [0, *[{"cls3": 2, "cls2": 1}.get(task, 0)] * 2]
    l_s = oracle.score_loss([s.numpy() for s in scores], where, seen, level)
    l_o = oracle.offset_loss(offset.numpy(), where, seen, whole)
    l_n = oracle.near_loss(near.numpy(), where, seen, whole, network.neighbours.numpy())
    assert float(found["loss"]) == pytest.approx(10 * l_s + l_o + l_n, rel=1e-4)


@pytest.mark.parametrize(
    ("task", "wanted"),
    [("cls3", {"offset", "near"}), ("cls2", {"offset", "near"}), ("cls1", {"offset", "near"}), ("std", set())],
)
def test_easy_tasks_train_the_score_alone(task: stc.Task, wanted: set[str]) -> None:
    assert silent(made_network(), made_batch([True, True], coordinates=True), task) == wanted
    assert silent(made_network(), made_batch([False, True], coordinates=True), task) == set()


def test_an_easy_task_cannot_tell_points_of_one_coarse_cell_apart() -> None:
    network = made_network()
    here, there = torch.tensor([0.1, 0.1]), torch.tensor([0.6, 0.3])  # one cell of the 1x1 map, two of the 2x2 one
    losses = {}
    for task in ("cls3", "std"):
        for name, place in (("here", here), ("there", there)):
            torch.manual_seed(0)
            batch = made_batch([True], coordinates=True)
            batch.target[:] = place
            step = stc.curriculum_step(CFG, network.neighbours, task)  # type: ignore[arg-type]  # one of them
            losses[task, name] = float(step(RawOutputs(network), batch)["loss"].detach())
    assert losses["cls3", "here"] == losses["cls3", "there"]
    assert losses["std", "here"] != losses["std", "there"]


def test_which_task_and_data_each_round_sees(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "stc"))
    tasks: list[str] = []
    stages: list[tuple[str, list[bool], torch.Tensor]] = []
    real = stc.curriculum_step

    def remember(cfg: stc.Config, neighbours: torch.Tensor, task: stc.Task) -> Step:
        tasks.append(task)
        return real(cfg, neighbours, task)

    def look(module: RawOutputs, parts: list[Part], step: Step, stage: Stage) -> None:
        network = module.network
        assert isinstance(network, PipNet)
        stages.append((stage.name, [part.pseudo for part in parts], network.neighbours.clone()))

    monkeypatch.setattr(stc, "curriculum_step", remember)
    ready.trainer.fit = look  # type: ignore[method-assign,assignment]
    assert ready.unlabelled is not None
    stc.train(CFG, ready.trainer, ready.labelled, ready.unlabelled)
    assert tasks == ["std", "cls3", "cls2", "std", "std", "std"]
    assert [name for name, _, _ in stages] == [f"round{t}" for t in range(6)]
    assert [parts for _, parts, _ in stages] == [[False], *[[False, True]] * 5]
    face = ready.labelled.points.mean(axis=0)
    for _, _, table in stages:
        for k in range(68):
            order = np.argsort(np.linalg.norm(face - face[k], axis=1))
            assert set(table[k].tolist()) == set(order[1:4].tolist())


def test_the_mean_face_leaves_out_what_is_not_annotated() -> None:
    points = np.array([[[0, 0], [2, 4], [np.nan] * 2], [[2, 2], [np.nan] * 2, [np.nan] * 2]], np.float32)
    face = stc.mean_face(points)
    assert face[:2].tolist() == [[1, 1], [2, 4]]
    assert face[2].isnan().all()


def test_started_from_a_model_it_labels_with_it_and_keeps_its_neighbours(toy: Path, tmp_path: Path) -> None:
    asked = tiny_recipe("stc", tasks=["std"], start="init", epochs=1)
    champion = job.run(tiny_request(toy, tmp_path / "champion", "stc"), lambda _: None)
    request = tiny_request(toy, tmp_path / "run", "stc", recipe=asked, init=champion)
    found = checkpoint.read(job.run(request, lambda _: None)).weights
    assert torch.equal(found["neighbours"], checkpoint.read(champion).weights["neighbours"])
    ready = job.prepare(request)
    assert ready.unlabelled is not None
    ready.trainer.pseudo_label(ready.trainer.new_network(), ready.unlabelled, "again")
    labels = [(tmp_path / "run" / "pseudo" / name / "landmarks.csv").read_bytes() for name in ("round0", "again")]
    assert labels[0] == labels[1]


def test_other_networks_are_refused_by_recipe_and_by_init(toy: Path, tmp_path: Path) -> None:
    wrong = tiny_recipe("stc").model_copy(update={"network": tiny_recipe("naive").network, "codec": "subpixel"})
    with pytest.raises(InputError, match="mine: stc trains no heatmap network; set"):
        recipe.checked(wrong, "mine")
    champion = job.run(tiny_request(toy, tmp_path / "hm", "supervised"), lambda _: None)
    with pytest.raises(InputError, match=r"--init .*: stc trains no heatmap network"):
        job.prepare(tiny_request(toy, tmp_path / "run", "stc", init=champion))
