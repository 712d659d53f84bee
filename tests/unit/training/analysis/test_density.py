"""Label density and its divergence (methods spec 5.1)."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import analysis as oracle
from tests.unit.training.analysis.made_run import inputs_of, moved, write_run, write_truth
from training.analysis import density
from training.analysis.figure import Inputs
from training.analysis.run import MissingError, open_runs

seeds = st.integers(0, 10_000)


def shapes(seed: int, images: int = 40, landmarks: int = 5) -> np.ndarray:
    draw = np.random.default_rng(seed)
    points = draw.normal(draw.uniform(40, 216, (landmarks, 2)), 30, (images, landmarks, 2))
    points[draw.random((images, landmarks)) < 0.1] = np.nan
    return points


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_shares_and_divergence_are_the_definition(seed: int) -> None:
    anchor, group = shapes(seed), shapes(seed + 1)
    p, q = density.density(anchor), density.density(group)
    for floor in (density.FLOOR, density.FLOOR_AGAIN):
        found = density.divergence(p, q, floor)
        for k in range(5):
            of_p, of_q = (oracle.shares(points, k, 12, 256) for points in (anchor, group))
            assert {at: p[k][at] for at in of_p} == pytest.approx(of_p)
            assert found[k] == pytest.approx(oracle.kl(of_p, of_q, floor))
            assert found[k] > -144 * floor


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_bins_sum_to_one_and_nothing_diverges_from_itself(seed: int) -> None:
    p = density.density(shapes(seed))
    np.testing.assert_allclose(p.sum(axis=(1, 2)), 1)
    assert density.divergence(p, p).tolist() == [0] * 5


@pytest.mark.parametrize("floor", [2.2e-16, 1e-8])
def test_one_bin_against_a_uniform_anchor_is_the_analytic_value(floor: float) -> None:
    """143 of 144 bins are empty: KL = 143/144 ln(1 / (144 floor)) + 1/144 ln(1 / 144)."""
    centres = (np.arange(12) + 0.5) * 256 / 12
    anchor = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(144, 1, 2)
    group = np.full((7, 1, 2), centres[4])
    found = density.divergence(density.density(anchor), density.density(group), floor)
    assert found[0] == pytest.approx(143 / 144 * math.log(1 / (144 * floor)) + 1 / 144 * math.log(1 / 144))


def test_what_lies_outside_is_clamped_and_rows_are_y() -> None:
    points = np.array([[[-5.0, 300.0]], [[255.9, 0.0]]])
    found = density.density(points)[0]
    assert (found[11, 0], found[0, 11], found.sum()) == (0.5, 0.5, 1)


def test_a_landmark_that_a_group_lacks_is_left_out_of_the_mean() -> None:
    anchor = shapes(1)
    group = anchor.copy()
    group[:, 2] = np.nan
    result = density.compare("run", {"a": anchor, "b": group})
    assert math.isnan(result.groups[1].per_landmark[2])
    assert result.groups[1].kl == pytest.approx(0, abs=0.2)


def test_all_groups_of_a_run(tmp_path: Path) -> None:
    """Six images: two labelled, four not, of which three are confident; their pseudo-labels are right."""
    data, points = write_truth(tmp_path / "data", 6)
    unlabelled = {name: points[name] for name in list(points)[2:]}
    score = np.repeat([[0.5], [0.4], [0.39], [0.9]], 68, axis=1)
    run = write_run(tmp_path / "run", labels={0: unlabelled}, score=score)
    (tmp_path / "list.txt").write_text("\n".join(list(points)[:2]))
    about = {"data": str(data), "labelled": str(tmp_path / "list.txt"), "seed": 1}
    (run / "run.json").write_text(json.dumps(about))
    result = density.make(inputs_of(data, run))
    assert [(group.name, group.images) for group in result.groups] == [
        ("unlabelled GT", 4), ("labelled GT", 2), ("pseudo, confidence >= 0.4", 3), ("all pseudo", 4),
    ]  # fmt: skip
    assert result.groups[3].kl == pytest.approx(0, abs=1e-6)
    assert result.groups[1].kl > result.groups[2].kl > 1
    assert result.groups[1].kl > result.groups[1].kl_again
    assert (result.notes, result.shown) == ((), (64, 56))
    titles = [axes.get_title() for axes in density.plot(result).axes]
    assert f"labelled GT (2)\nlandmark 56, KL {result.groups[1].per_landmark[56]:.2f}" in titles
    assert ("labelled GT", "mean, floor 2.2e-16", result.groups[1].kl) in result.rows()


def test_groups_that_cannot_be_made_are_named(tmp_path: Path) -> None:
    data, points = write_truth(tmp_path / "data", 3)
    run = write_run(tmp_path / "run", labels={0: moved(points, (1, 0))})
    result = density.make(inputs_of(data, run))
    assert [group.name for group in result.groups] == ["unlabelled GT", "all pseudo"]
    assert ["run.json" in result.notes[0], "score" in result.notes[1]] == [True, True]
    with pytest.raises(MissingError, match="--data"):
        density.make(Inputs(open_runs([run]), None))
    with pytest.raises(MissingError, match="no run has pseudo-labels of round 0"):
        density.make(inputs_of(data, write_run(tmp_path / "other")))
