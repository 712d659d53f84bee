"""Data Distillation: one teacher, labels of many copies, one student (methods spec 4.4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmdeploy.errors import InputError
from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job
from training.data.crops import Crops
from training.engine.ensemble import ensemble
from training.engine.fit import Stage
from training.engine.train_set import Part
from training.methods import data_distillation
from training.models import Network, transformer


def stages_of(ready: job.Prepared, **options: Any) -> list[tuple[Stage, list[Part]]]:
    """Stages and parts of a run in which nothing is trained."""
    seen = []

    def record(network: Network, parts: list[Part], step: object, stage: Stage) -> None:
        seen.append((stage, parts))

    ready.trainer.fit = record  # type: ignore[method-assign,assignment]
    cfg = data_distillation.Config(scales=(1.0, 1.1), **options)
    data_distillation.train(cfg, ready.trainer, ready.labelled, ready.unlabelled)
    return seen


def test_the_original_is_one_teacher_and_one_student_on_the_union(toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "data_distillation"))
    (first, truth), (second, union) = stages_of(ready, mu=2)
    assert (first.name, first.epochs, first.mu) == ("round0", 60, 0)
    assert (second.name, second.epochs, second.mu) == ("round1", 60, 2)
    assert [len(truth), len(union)] == [1, 2]
    assert union[0] == truth[0]
    assert union[1].rows == tuple(range(10))
    names = [stage.name for stage, _ in stages_of(ready, rounds=3)]
    assert names == ["round0", "round1", "round2", "round3"]


def test_the_student_learns_the_labels_of_the_averaged_copies(toy: Path, tmp_path: Path) -> None:
    champion = job.run(tiny_request(toy, tmp_path / "champion", "supervised"), lambda _: None)
    recipe = tiny_recipe("data_distillation", start="init")
    ready = job.prepare(tiny_request(toy, tmp_path / "run", "data_distillation", recipe=recipe, init=champion))
    ((_, (_, pseudo)),) = stages_of(ready, start="init")
    trainer, unlabelled = ready.trainer, ready.unlabelled
    assert unlabelled is not None

    def label(scales: tuple[float, ...]) -> Crops:
        return trainer.pseudo_label(trainer.new_network(), unlabelled, "again", ensemble(scales, True))

    np.testing.assert_array_equal(pseudo.crops.points, label((1.0, 1.1)).points)
    assert np.abs(pseudo.crops.points - label((1.0,)).points).max() > 0.1  # px


def test_labels_below_the_threshold_are_left_out_and_without_any_the_teacher_is_the_answer(
    toy: Path, tmp_path: Path
) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "data_distillation"))

    def label(network: Network, crops: Crops, name: str, predict: object) -> Crops:
        score = np.tile(np.linspace(0, 0.9, 10, dtype=np.float32)[:, None], (1, 68))
        return crops.with_points(np.zeros_like(crops.points), score)

    ready.trainer.pseudo_label = label  # type: ignore[method-assign,assignment]
    assert stages_of(ready, tau=0.75)[1][1][1].rows == (8, 9)
    assert [stage.name for stage, _ in stages_of(ready, tau=0.95)] == ["round0"]


def test_a_coordinate_network_is_distilled_from_averaged_points_but_not_thresholded(toy: Path, tmp_path: Path) -> None:
    tf = transformer.Config(
        backbone_options={"channels": [8, 8, 8, 8], "stem_type": "deep", "stem_width": 8}, width=16, heads=2, layers=1,
        feed_forward=16,
    )  # fmt: skip
    recipe = tiny_recipe("data_distillation").model_copy(update={"network": tf, "codec": "coords"})
    ready = job.prepare(tiny_request(toy, tmp_path, "data_distillation", recipe=recipe))
    with pytest.raises(InputError, match="tau > 0 selects pseudo-labels by the heatmap's peak"):
        stages_of(ready, tau=0.5)
    _, (_, (_, pseudo)) = stages_of(ready)
    assert np.isfinite(pseudo.crops.points).all()
