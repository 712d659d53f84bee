"""STLD with TS3's teacher as a judge: its judgement of every round stands beside the labels and changes nothing."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job
from training.engine import checkpoint
from training.engine.plain import plain_batches
from training.methods import judge
from training.models.heatmap import Heatmap
from training.models.patch_teacher import PatchTeacher

SHORT = {"epochs": 1, "pretrain_epochs": 1, "rounds": 2, "sigma": [1.5], "p": [1.0]}
TINY = judge.JudgeOptions(epochs=2, lr=0.001, batch=6, width=4)


def test_every_round_is_judged_by_its_own_teacher_without_effect(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "JudgeOptions", lambda lr: TINY)
    runs = {}
    for quality in ("none", "ts3"):
        asked = tiny_recipe("stld", **SHORT, quality=quality)
        runs[quality] = job.run(tiny_request(toy, tmp_path / quality, "stld", recipe=asked), lambda _: None).parent
    plain, judged = (checkpoint.read(run / "model.safetensors").weights for run in runs.values())
    assert all(torch.equal(value, plain[name]) for name, value in judged.items())
    assert not list(runs["none"].rglob("quality.csv"))
    names = ("round0", "round1")
    digests = {
        json.loads((runs["ts3"] / "pseudo" / name / "about.json").read_text())["judge_sha256"] for name in names
    }
    assert len(digests) == 2
    assert {file.parent.name for file in runs["ts3"].rglob("quality.csv")} == set(names)

    crops = job.prepare(tiny_request(toy, tmp_path / "again", "stld")).unlabelled
    assert crops is not None
    teacher, student = PatchTeacher(68, TINY.width), Heatmap(tiny_recipe("stld").network, 68)
    teacher.load_state_dict(checkpoint.read(runs["ts3"] / "stages" / "round0-teacher.safetensors").weights)
    student.load_state_dict(checkpoint.read(runs["ts3"] / "stages" / "round0.safetensors").weights)
    with torch.no_grad():
        wanted = torch.cat(
            [teacher(x, student.eval()(x)[0]) for x, _ in plain_batches(crops, 32, torch.device("cpu"))]
        )
    with (runs["ts3"] / "pseudo" / "round0" / "quality.csv").open() as stream:
        found = {row["image"]: float(row["quality"]) for row in csv.DictReader(stream)}
    assert found == {name: pytest.approx(float(q), rel=1e-4) for name, q in zip(crops.names, wanted, strict=True)}
    assert wanted.std() > 0
