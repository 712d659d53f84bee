"""The benchmarks of SCAF, SepBN and Shapes: compared rows learn as long, and figures are what they say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import scaf_faces, sepbn_faces, sepbn_speed, sepbn_toy, shapes
from training.engine.sampler import batches
from training.models import build
from training.models.sepbn import SepBN
from training.recipe import Recipe


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
