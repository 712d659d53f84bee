"""TS3, SPL and SPaCo: who is trained on what, who is chosen, and what is kept of it."""

from __future__ import annotations

import csv
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lmdeploy.errors import InputError
from tests.oracles import ts3 as oracle
from tests.unit.training.conftest import TINY_STUDENTS, tiny_recipe, tiny_request
from training import job
from training.data.crops import Crops
from training.engine import checkpoint
from training.engine.fit import Schedule, Stage, Step, make_optimiser
from training.engine.plain import plain_batches
from training.engine.train_set import Part
from training.methods import METHODS, spaco, spl, ts3
from training.methods import judge as judging
from training.methods.judge import JudgeOptions, judge
from training.methods.students import CPM, HOURGLASS, best, own_loss, quota
from training.models import pipnet
from training.models.end_to_end import normalise
from training.models.students import Students

RIVALS = ("ts3", "spl", "spaco")


def run_with(ready: job.Prepared, method: str, seen: list[tuple[str, list[Part]]], **options: Any) -> Students:
    """The method without training: notes every stage's name and parts."""

    def note(module: nn.Module, parts: list[Part], step: Step, stage: Stage, schedule: Schedule | None = None) -> None:
        seen.append((stage.name, parts))

    ready.trainer.fit = note  # type: ignore[method-assign,assignment]
    config = tiny_recipe(method, **options).method_config()
    return METHODS[method].train(config, ready.trainer, ready.labelled, ready.unlabelled)  # type: ignore[return-value]


def test_the_defaults_are_the_paper_s() -> None:
    cfg = ts3.Config()
    assert (cfg.steps, cfg.r, cfg.sigma, cfg.rounds) == (6, 0.1, 3.0, 12)
    assert (CPM.epochs, CPM.decay_at, CPM.decay_by) == (50, (20, 25, 30, 40), 0.5)
    assert (HOURGLASS.epochs, HOURGLASS.decay_at, HOURGLASS.decay_by) == (110, (50, 70, 90, 100), 0.5)
    s = CPM.schedule
    assert (s.optimiser, s.lr, s.momentum, s.weight_decay, s.batch) == ("sgd", 5e-5, 0.9, 5e-4, 8)
    assert (HOURGLASS.schedule.optimiser, HOURGLASS.schedule.lr, HOURGLASS.schedule.batch) == ("rmsprop", 2.5e-4, 8)
    optimiser = make_optimiser(nn.Linear(2, 2), HOURGLASS.schedule)
    assert isinstance(optimiser, torch.optim.RMSprop)
    assert optimiser.defaults["alpha"] == 0.99
    assert (cfg.teacher.lr, cfg.teacher.batch) == (0.01, 128)
    assert (spl.Config().steps, spaco.Config().steps, spaco.Config().gamma) == (5, 5, 0.3)


def test_a_tenth_more_is_chosen_in_every_step() -> None:
    assert [quota(0.1, i, 2834) for i in range(1, 7)] == [283, 566, 850, 1133, 1417, 1700]
    assert [quota(0.1, i, 10) for i in range(1, 7)] == [1, 2, 3, 4, 5, 6]
    assert quota(0.3, 4, 10) == 10
    assert quota(0.0, 5, 10) == 0
    draw = np.random.default_rng(1).normal(size=40).astype(np.float32)
    rows = [set(best(draw, quota(0.1, i, 40))) for i in range(1, 7)]
    assert all(a < b for a, b in pairwise(rows))


def test_the_best_come_first_and_the_earlier_of_equal_ones() -> None:
    assert best(np.array([0.1, 3.0, 2.0, 3.0], np.float32), 3) == (1, 3, 2)


@pytest.mark.parametrize("method", RIVALS)
def test_a_student_sees_the_labelled_and_the_chosen_images_alone(method: str, toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, method))
    seen: list[tuple[str, list[Part]]] = []
    run_with(ready, method, seen, steps=2)
    stages = [(name, parts) for name, parts in seen if not name.endswith("teacher")]
    assert [name for name, _ in stages] == [f"round{i}-student{a}" for i in (0, 1, 2) for a in (1, 2)]
    for name, parts in stages:
        assert parts[0].crops is ready.labelled
        if name.startswith("round0"):
            assert len(parts) == 1
            continue
        names = (tmp_path / "pseudo" / name / "chosen.txt").read_text().split()
        chosen = parts[1].rows
        assert chosen is not None
        assert [parts[1].crops.names[row] for row in chosen] == names
        assert len(set(names)) == {"round1": 3, "round2": 6}[name[:6]]
        assert parts[1].sigma == parts[0].sigma == 3.0 / 4
    teachers = [parts for name, parts in seen if name.endswith("teacher")]
    assert len(teachers) == (4 if method == "ts3" else 0)
    assert all([part.crops for part in parts] == [ready.labelled] for parts in teachers)


@pytest.mark.parametrize("method", RIVALS)
def test_every_judgement_is_kept_and_the_best_are_chosen(method: str, toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, method))
    run_with(ready, method, [], steps=1)
    for folder in sorted((tmp_path / "pseudo").iterdir()):
        with (folder / "quality.csv").open() as stream:
            rows = {row["image"]: float(row["quality"]) for row in csv.DictReader(stream)}
        chosen = (folder / "chosen.txt").read_text().split()
        about = json.loads((folder / "about.json").read_text())
        assert (about["round"], about["seed"], len(rows)) == (folder.name, 1234, 10)
        assert len(about["judge_sha256"]) == len(about["teacher_sha256"]) == 64
        if method != "spaco":  # which weighs the other student's choice too
            assert set(chosen) == set(sorted(rows, key=rows.__getitem__, reverse=True)[:3])
        assert about["quality"] == ("ts3" if method == "ts3" else "minus own loss")
        same = about["judge_sha256"] == about["teacher_sha256"]
        assert same == (method == "spl")  # only there a student judges its own labels


@pytest.mark.parametrize("method", RIVALS)
def test_without_a_choice_the_supervised_students_remain(method: str, toy: Path, tmp_path: Path) -> None:
    runs = []
    for name, options in (("none", {"r": 0.0, "steps": 1}), ("supervised", {"steps": 0})):
        request = tiny_request(toy, tmp_path / name, method, recipe=tiny_recipe(method, **options))
        runs.append(checkpoint.read(job.run(request, lambda _: None)).weights)
    assert all(torch.equal(value, runs[1][key]) for key, value in runs[0].items())


def test_only_one_student_changes_in_a_half_step(toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "ts3"))
    made: list[Students] = []
    label = ready.trainer.pseudo_label

    def remember(network: Students, *args: Any, **kwargs: Any) -> Crops:
        made.append(network)
        return label(network, *args, **kwargs)

    ready.trainer.pseudo_label = remember  # type: ignore[method-assign,assignment]
    config = tiny_recipe("ts3").method_config()
    final = METHODS["ts3"].train(config, ready.trainer, ready.labelled, ready.unlabelled)
    assert isinstance(final, Students)
    first, second = made
    for before, after, changed in ((first, second, 0), (second, final, 1)):
        for a in (0, 1):
            one, two = before.student(a).state_dict(), after.student(a).state_dict()
            assert all(torch.equal(one[key], two[key]) for key in one) == (a != changed)


def test_own_loss_is_the_distance_to_the_label_drawn_as_if_it_were_true(toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "spl"))
    config = tiny_recipe("spl").method_config()
    assert isinstance(config, spl.Config)
    network = ready.trainer.new_network()
    assert isinstance(network, Students)
    student = network.student(1)
    assert ready.unlabelled is not None
    labelled = ready.trainer.pseudo_label(student, ready.unlabelled, "own")
    found = own_loss(config, ready.trainer, student).of(labelled)
    start = (labelled.images.shape[1] - 32) // 2
    for n in (0, 7):
        image = torch.from_numpy(np.array(labelled.images[n : n + 1, start : start + 32, start : start + 32]))
        maps = student.eval()(normalise(image.permute(0, 3, 1, 2).float()))[0][0].detach().numpy()
        wanted = sum(
            ((maps[k] - oracle.label_map(*(labelled.points[n, k] - start), 3.0, 8, 4)) ** 2).sum() for k in range(68)
        )
        assert -found[n] == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 10.0])
def test_spaco_prefers_what_the_other_student_has_chosen(gamma: float) -> None:
    loss = np.random.default_rng(3).uniform(1, 9, 12).astype(np.float32)
    others = [(0, 5, 7, 11)]
    found = best(spaco.agreed(-loss, others, gamma), 4)
    assert list(found) == oracle.chosen(loss.tolist(), [set(rows) for rows in others], gamma, 4)
    if gamma == 10.0:
        assert set(found) == set(others[0])
    if gamma == 0.0:
        assert set(found) == set(np.argsort(loss)[:4].tolist())


def test_a_teacher_learns_which_maps_are_worse(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise of different strength stands for maps; the stronger it is, the lower is the quality of unseen images."""
    ready = job.prepare(tiny_request(toy, tmp_path, "ts3"))
    noise = torch.randn(1, 69, 8, 8, generator=torch.Generator().manual_seed(1))

    def strength(x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(4 * x.mean(dim=(1, 2, 3)))  # bright pictures get strong noise

    def noisy(network: object, x: torch.Tensor) -> torch.Tensor:
        return strength(x).view(-1, 1, 1, 1) * noise

    monkeypatch.setattr(judging, "maps_of", noisy)
    truth, network = Part(ready.labelled, sigma=0.75), ready.trainer.new_network()
    options = JudgeOptions(epochs=30, lr=4e-3, batch=12, width=8)
    quality = judge(options, ready.trainer, network, truth, "teacher")
    assert ready.unlabelled is not None
    found = quality.of(ready.unlabelled)
    wanted = np.concatenate([strength(x).numpy() for x, _ in plain_batches(ready.unlabelled, 32, torch.device("cpu"))])
    ranks = [np.argsort(np.argsort(values)) for values in (found, -wanted)]
    assert np.corrcoef(*ranks)[0, 1] > 0.5


def test_a_network_without_maps_cannot_be_judged(toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "ts3"))
    coordinates = pipnet.Config()
    network = ready.trainer.new_network()
    network.cfg = coordinates
    with pytest.raises(InputError, match="a pipnet network has none of"):
        judge(JudgeOptions(), ready.trainer, network, Part(ready.labelled), "teacher")


def test_networks_and_trainings_are_counted(toy: Path, tmp_path: Path) -> None:
    wrong = tiny_recipe("ts3", students=TINY_STUDENTS[:1])
    with pytest.raises(InputError, match="lists of one length"):
        job.run(tiny_request(toy, tmp_path, "ts3", recipe=wrong), lambda _: None)
