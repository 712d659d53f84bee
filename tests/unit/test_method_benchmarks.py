"""The benchmarks of SCAF, SepBN, Blocks and Shapes: compared rows learn as long, and figures are what they say."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import blocks, blocks_rows, scaf_faces, sepbn_faces, sepbn_speed, sepbn_toy, shapes
from benchmarks.blocks_rows import Cell
from benchmarks.blocks_trial import Task
from training.engine.sampler import batches
from training.models import build
from training.models.sepbn import SepBN
from training.recipe import Recipe

TABLE: dict[Cell, dict[str, Any]] = {
    Cell("seq_mt", "L", 5, 1): {"px": 4.0}, Cell("seq_mt", "L", 5, 2): {"px": 6.0},
    Cell("seq_mt", "L+ELT", 5, 1): {"px": 4.5}, Cell("heatmap_mt", "L", 5, 1): {"px": 5.5},
    Cell("heatmap_mt", "L", 20, 1): {"px": 1.0}, Cell("comm_mt", "L", 20, 1): {"px": 0.9},
}  # fmt: skip


def scaf_case(tmp_path: Path) -> scaf_faces.Case:
    return scaf_faces.Case(tmp_path / "all", "60", (tmp_path / "more",), tmp_path / "test", None, tmp_path / "runs", 7)


@pytest.mark.parametrize("size", [scaf_faces.LIGHT, scaf_faces.TINY], ids=["light", "tiny"])
def test_scaf_s_rows_take_the_same_steps_from_one_auto_encoder(size: scaf_faces.Size, tmp_path: Path) -> None:
    case = scaf_case(tmp_path)
    asked = {row: scaf_faces.request_of(row, case, size) for row in (*scaf_faces.TRAINED, *scaf_faces.BOUGHT)}
    options = {row: request.recipe.options for row, request in asked.items()}
    for row in scaf_faces.TRAINED:
        epochs = options[row]["epochs"] + options[row].get("itl_epochs", 0)
        assert epochs * options[row]["oversample"] == size.steps
        assert (options[row]["autoencoder"] == "") == (row == "scaf_random")
        assert asked[row].labelled == "60"
    assert options["fabrec"]["itl_epochs"] == options["fabrec"]["epochs"]
    assert options["scaf_random"]["pretraining"]["epochs"] == (0, 0, 0)
    for row in scaf_faces.BOUGHT:
        assert options[row]["epochs"] == options["scaf"]["epochs"] // 3
        assert asked[row].labelled is None
    lists = {row: request.unlabelled for row, request in asked.items() if request.unlabelled}
    assert lists == {"scaf_random": case.unlabelled}
    first = scaf_faces.request_of("autoencoder", case, size)
    assert first.unlabelled == case.unlabelled
    assert first.recipe.method_config().pretraining.epochs == size.phases  # type: ignore[attr-defined]


def test_scaf_s_rows_differ_in_the_network_by_its_kind_alone(tmp_path: Path) -> None:
    case = scaf_case(tmp_path)
    made = {row: scaf_faces.request_of(row, case, scaf_faces.LIGHT).recipe for row in scaf_faces.TRAINED}
    assert {row: recipe.network.kind for row, recipe in made.items()} == {
        "fabrec": "fabrec", "fabrec_joint": "fabrec", "scaf": "scaf", "scaf_random": "scaf",
    }  # fmt: skip
    for part in ("schedule", "crop", "codec", "augment"):
        assert len({repr(getattr(recipe, part)) for recipe in made.values()}) == 1
    assert len({repr(recipe.network.model_copy(update={"kind": ""}).model_dump()) for recipe in made.values()}) == 1


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


def test_shapes_matching_is_one_for_all_images() -> None:
    truth = np.array([[[10, 10], [40, 40]], [[40, 10], [10, 40]]], np.float32)
    found = truth[:, ::-1] + np.array([3, 4], np.float32)
    distance, order = shapes.matched(found, truth)
    assert (distance, order) == (pytest.approx(5.0), (1, 0))


def test_a_constant_offset_of_a_landmark_is_no_failure_to_follow():
    truth = np.array([[[0, 0], [10, 0]], [[4, 0], [10, 8]]], np.float32)
    found = truth + np.array([3, -4], np.float32)
    assert shapes.following(found, truth) == 0
    found[0, 0] += [2, 0]  # one landmark 1 px off its own mean offset in both images, the other never
    assert shapes.following(found, truth) == pytest.approx(0.5)


def test_shapes_takes_its_steps_and_no_landmark() -> None:
    made = shapes.recipe_of(shapes.FULL)
    epoch = batches((shapes.FULL.train,), shapes.FULL.batch, 0, torch.Generator().manual_seed(0))
    assert len(epoch) * made.options["epochs"] == pytest.approx(shapes.FULL.steps, rel=0.01)
    assert (made.options["lambda_l"], made.options["alpha"], made.options["attribute"]) == (0.0, 0.0, 1.0)


def test_sepbn_s_rows_on_faces_differ_in_the_norm_alone(tmp_path: Path) -> None:
    plan = sepbn_faces.Plan(tmp_path / "train", tmp_path / "test", tmp_path / "runs", 64, 100, 32)
    plain, ours = (sepbn_faces.request(plan, row, 3) for row in sepbn_faces.ROWS)

    def without(recipe: Recipe) -> Recipe:
        network = recipe.network.model_copy(update={"sepbn": None})
        return recipe.model_copy(update={"name": "", "network": network})

    assert ours.recipe.network != plain.recipe.network
    assert without(ours.recipe) == without(plain.recipe)
    assert dataclasses.replace(ours, recipe=plain.recipe, out=plain.out) == plain


def test_a_network_of_sepbn_s_speed_has_as_many_norms_of_either_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole measurement on a tiny pair without an export: SepBN's graph takes twice as long by construction."""
    calls: list[bool] = []
    closed: list[bool] = []

    class Stub:
        threads, provider = 1, "stub"

        def __init__(self, slow: bool, threads: int | None, precision: str = "fp32") -> None:
            self.slow = slow

        def run(self, crop: object) -> None:
            calls.append(self.slow)

        def close(self) -> None:
            closed.append(self.slow)

    monkeypatch.setattr(sepbn_speed, "OrtBackend", Stub)
    monkeypatch.setattr(sepbn_speed, "OpenVINOBackend", Stub)
    monkeypatch.setattr(sepbn_speed, "exported", lambda cfg, size: cfg.sepbn is not None)
    monkeypatch.setattr(
        sepbn_speed, "interleaved", lambda ways, plan: [way() for way in ways] and np.array([[2.0, 3]])
    )
    found = sepbn_speed.measure("vanilla", 1, sepbn_speed.QUICK)
    assert calls == closed == [False, True] * 2
    assert list(found) == ["", "openvino_"]
    for engine in found.values():
        assert (engine["overhead"], engine["bn_ms"], engine["sepbn_ms"], engine["size"]) == (1.5, 2.0, 3.0, 128)


@pytest.mark.parametrize(("name", "count"), [("vanilla", 6), ("mobilenetv2", 17), ("resnext50", 16), ("hm_r18", 8)])
def test_sepbn_s_speed_is_that_of_so_many_separable_norms(name: str, count: int) -> None:
    cfg, _, options = sepbn_speed.NETWORKS[name]
    with torch.device("meta"):
        network = build(cfg.model_copy(update={"sepbn": options}), 68)
    assert sum(isinstance(module, SepBN) for module in network.modules()) == count


def test_sepbn_s_toy_trains_both_alike_and_names_its_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = sepbn_toy.Size(train=24, test=12, side=8, epochs=1, batch=12, channels=(4, 4))
    monkeypatch.setattr(sepbn_toy, "QUICK", tiny)
    monkeypatch.setattr("sys.argv", ["sepbn_toy", "--quick"])
    sepbn_toy.main()
    lines = capsys.readouterr().out.splitlines()
    figures = {
        name: float(value) for name, _, value in (line.removeprefix("figure: ").partition("=") for line in lines)
    }
    names = ("nme_bn", "nme_sepbn", "ratio", "information", "information_by_chance")
    assert list(figures) == [f"sepbn_toy_{name}" for name in names]
    assert figures["sepbn_toy_ratio"] == pytest.approx(
        figures["sepbn_toy_nme_sepbn"] / figures["sepbn_toy_nme_bn"], rel=1e-4
    )


def test_the_toy_s_domains_are_affine_shifts_of_one_kind_of_picture() -> None:
    drawn = sepbn_toy.draw(3000, 8, seed=1)
    for d, (_, brightness) in enumerate(sepbn_toy.SHIFTS):
        corner = drawn.x[drawn.domain == d][:, :, 0, 0]  # far from every blob: noise about the brightness
        assert float(corner.mean()) == pytest.approx(brightness, abs=0.03)
    assert torch.bincount(drawn.domain).tolist() == [1000] * 3
