"""The Blocks benchmark: cells learn as long, validation images choose their weights, figures are what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import blocks, blocks_rows
from benchmarks.blocks_rows import Cell
from benchmarks.blocks_trial import Task
from training.engine.sampler import batches

TABLE: dict[Cell, dict[str, Any]] = {
    Cell("seq_mt", "L", 5, 1): {"px": 4.0}, Cell("seq_mt", "L", 5, 2): {"px": 6.0},
    Cell("seq_mt", "L+ELT", 5, 1): {"px": 4.5}, Cell("heatmap_mt", "L", 5, 1): {"px": 5.5},
    Cell("heatmap_mt", "L", 20, 1): {"px": 1.0}, Cell("comm_mt", "L", 20, 1): {"px": 0.9},
}  # fmt: skip


@pytest.mark.parametrize("plan", [blocks.CPU, blocks.LONG], ids=["cpu", "long"])
def test_blocks_cells_take_the_same_steps_with_as_many_labelled_images(plan: blocks_rows.Plan) -> None:
    kinds = sorted({kind for kind, _ in blocks_rows.TABLE_1})
    variants = sorted({variant for _, variant in blocks_rows.TABLE_1})
    wanted = blocks_rows.cells(kinds, list(blocks_rows.RATIOS), [1], variants)
    assert len(wanted) == 8 * 6 - 2
    for trial in (one for cell in wanted for one in blocks_rows.trials_of(cell, [0.5], [1.0])):
        cell, options = trial.cell, blocks_rows.recipe_of(trial, plan).options
        labelled = blocks_rows.labelled_of(plan, cell.ratio)
        repeated = -(-options["oversample"] // labelled) * labelled
        lengths = (repeated, plan.train - labelled if options["mu"] else 0)
        epoch = batches(lengths, plan.batch, options["mu"], torch.Generator().manual_seed(0))
        assert options["epochs"] * len(epoch) == pytest.approx(plan.steps, rel=0.03), cell.name
        assert all((rows < repeated).sum() == plan.batch for rows in epoch[:-1])


def test_blocks_orderings_are_of_means_over_seeds_at_each_ratio() -> None:
    assert blocks.orderings(TABLE) == {
        "('seq_mt', 'L+ELT') < ('seq_mt', 'L') at 5 %": True,  # 4.5 < (4 + 6) / 2
        "('seq_mt', 'L') < ('heatmap_mt', 'L') at 5 %": True,
        "('heatmap_mt', 'L') < ('comm_mt', 'L') at 20 %": False,
    }


def test_blocks_prints_a_figure_a_cell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Here:
        map = staticmethod(map)

        def __init__(self, *words: Any, **more: Any) -> None: ...
        def __enter__(self) -> Here:
            return self

        def __exit__(self, *words: object) -> None: ...

    monkeypatch.setattr(blocks, "ProcessPoolExecutor", Here)

    def measured(task: Task) -> dict[str, Any]:  # on the validation images the largest alpha is best
        alpha = task.trial.alpha
        return TABLE[task.trial.cell] | {"published_px": None, "cpu_s": 1.0, "valid_px": 9 - alpha, "alpha": alpha}

    monkeypatch.setattr(blocks, "draw", lambda *_: None)
    monkeypatch.setattr(blocks, "run_trial", measured)
    blocks.execute(list(TABLE), blocks.Grid(blocks.TINY, Path()), 1)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("figure: ")]
    assert lines[0] == "figure: px_seq_mt_l_5_1=4"
    assert lines[2] == "figure: px_seq_mt_l_elt_5_1=4.5"
    assert lines[-2:] == ["figure: orderings_held=2", "figure: orderings=3"]


def test_blocks_weights_are_chosen_on_the_validation_images_alone() -> None:
    tried = [
        {"alpha": 0.1, "valid_px": 2.0, "px": 1.0},
        {"alpha": 0.5, "valid_px": 1.5, "px": 3.0},
        {"alpha": 1.0, "valid_px": 1.6, "px": 2.0},
    ]
    assert blocks.chosen(tried)["alpha"] == 0.5


def test_blocks_chooses_alpha_with_the_first_weight_of_the_class_and_then_that_weight(tmp_path: Path) -> None:
    order: list[tuple[str, float, float]] = []

    def run(tasks: list[Task]) -> list[dict[str, Any]]:
        trials = [task.trial for task in tasks]
        order.extend((trial.cell.variant, trial.alpha, trial.attribute) for trial in trials)
        return [
            {"alpha": trial.alpha, "attribute": trial.attribute, "valid_px": abs(trial.alpha - 0.5) + trial.attribute}
            | {"px": 1.0, "published_px": None, "cpu_s": 0.0}
            for trial in trials
        ]

    wanted = [Cell("seq_mt", variant, 5, 1) for variant in ("L", "L+A", "L+ELT+A")]
    tried = blocks.search(wanted, blocks.Grid(blocks.TINY, tmp_path, "cpu", [0.1, 0.5], [1.0, 0.2]), run)
    assert order == [
        ("L", 0, 0), ("L+A", 0, 1), ("L+ELT+A", 0.1, 1), ("L+ELT+A", 0.5, 1), ("L+A", 0, 0.2), ("L+ELT+A", 0.5, 0.2)
    ]  # fmt: skip
    best = blocks.chosen(tried[wanted[2]])
    assert (best["alpha"], best["attribute"]) == (0.5, 0.2)


def test_blocks_tries_every_pair_of_the_weights_that_a_variant_has() -> None:
    def tried(variant: str) -> list[tuple[float, float]]:
        trials = blocks_rows.trials_of(Cell("seq_mt", variant, 5, 1), [0.1, 1.0], [0.5, 2.0])
        assert len({trial.name for trial in trials}) == len(trials)
        return [(trial.alpha, trial.attribute) for trial in trials]

    assert tried("L") == [(0, 0)]
    assert tried("L+A") == [(0, 0.5), (0, 2)]
    assert tried("L+ELT") == [(0.1, 0), (1, 0)]
    assert tried("L+ELT+A") == [(0.1, 0.5), (0.1, 2), (1, 0.5), (1, 2)]


def test_blocks_options_are_the_weights_of_the_trial() -> None:
    for trial in blocks_rows.trials_of(Cell("seq_mt", "L+ELT+A", 5, 1), [0.1, 1.0], [0.5]):
        options = blocks_rows.recipe_of(trial, blocks.CPU).options
        assert (options["alpha"], options["attribute"]) == (trial.alpha, 0.5)


@pytest.mark.parametrize("word", ["-1", "inf", "nan", "half"])
def test_blocks_refuses_what_is_no_weight_before_it_draws(
    word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        blocks.main(["--out", str(tmp_path / "out"), f"--alphas={word}"])
    assert word in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
