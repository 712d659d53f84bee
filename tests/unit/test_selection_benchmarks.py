"""The benchmarks of selection: what they compare, how they name it, and that the planted pool is what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import active_faces, active_plot, planted, selection
from lmdeploy.geometry import CropRule
from training.methods.active_learning import Config
from training.selection.entropy import entropy
from training.selection.nnm import nnm

RULE = CropRule(size=32)


@pytest.mark.parametrize("row", active_faces.ROWS)
def test_every_row_is_active_learning_from_the_same_images_with_the_same_steps(row: str, tmp_path: Path) -> None:
    case = active_faces.Case(tmp_path / "pool", tmp_path / "test", 7, tmp_path / "out")
    asked = active_faces.request(case, active_faces.LIGHT, row)
    config = asked.recipe.method_config()
    assert isinstance(config, Config)
    assert (config.initial, config.budget, config.step, asked.seed) == (10, 50, 10, 7)
    assert config.epochs * config.oversample == 12_600
    assert (config.strategy, config.discard) == (row.removesuffix("_discard"), 0.1 if "discard" in row else 0.0)
    assert asked.out == tmp_path / "out" / row


def test_rounds_are_named_by_their_labels_and_the_last_step_is_cut() -> None:
    size = active_faces.Size(32, 8, 1, 8, initial=10, budget=25, step=10, window=3)
    assert active_faces.by_labels({"round1": 8.0, "round0": 9.0, "round2": 7.5}, size) == {
        "10": 9.0, "20": 8.0, "25": 7.5,
    }  # fmt: skip


def test_figures_are_those_of_every_row_and_without_a_folder_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table: dict[str, Any] = {
        "nme": {"random": {"10": 9.0, "20": 8.0}, "nnm": {"10": 9.0, "20": 7.5}},
        "minus_random": {"nnm": {"mean": -0.5, "low": -0.9, "high": -0.1}},
    }
    monkeypatch.setattr(active_faces, "run_case", lambda *words: table)
    monkeypatch.setattr(active_faces, "write_result", lambda *words: pytest.fail("no record in quick mode"))
    case = active_faces.Case(tmp_path, tmp_path, 3, tmp_path)
    active_faces.execute([case], active_faces.TINY, ("random", "nnm"), 1, None)
    lines = capsys.readouterr().out.splitlines()
    assert all(re.fullmatch(r"figure: [a-z0-9_]+=-?[0-9.]+", line) for line in lines)
    assert lines == [
        "figure: nme_3_random_10=9", "figure: nme_3_random_20=8", "figure: nme_3_nnm_10=9",
        "figure: nme_3_nnm_20=7.5", "figure: minus_random_3_nnm=-0.5",
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_the_plot_has_a_line_a_row(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the plots extra")
    active_plot.curves({"1": {"random": {"10": 9.0, "20": 8.0}, "nnm": {"10": 9.0, "20": 7.5}}}, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_twentieth_of_the_planted_pool_is_noise() -> None:
    some = planted.pool(40, RULE, seed=3)
    again = planted.pool(40, RULE, seed=3)
    assert some.images.shape == (40, 32, 32, 3)
    assert len(some.noise) == 2
    assert some.noise == again.noise
    np.testing.assert_array_equal(some.images, again.images)
    # neighbouring pixels of a drawn face are alike, those of noise are not
    apart = np.abs(np.diff(some.images.astype(int), axis=2)).mean(axis=(1, 2, 3))
    assert set(np.argsort(-apart)[:2].tolist()) == set(some.noise)


def test_both_ways_are_timed_and_begin_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(selection, "nnm", lambda maps: calls.append("nnm"))
    monkeypatch.setattr(selection, "entropy", lambda maps: calls.append("entropy"))
    found = selection.interleaved(torch.zeros(1, 1, 4, 4), selection.Plan(2, 1, 32, 1, 1))
    assert calls == ["nnm", "entropy", "nnm", "entropy", "entropy", "nnm"]
    assert found.shape == (2, 2)
    assert (found > 0).all()


def test_the_timed_maps_are_peaks_over_noise_of_both_signs() -> None:
    maps = selection.predicted(5, 32, 2.0)
    assert maps.shape == (1, 5, 32, 32)
    assert maps.min() < 0
    assert 0.4 < float(maps.amax(dim=(2, 3)).min()) < 1.0
    assert float(nnm(maps)) < 0 < float(entropy(maps))
