"""`lmdeploy export --precision`: the files, what is recorded of them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from export import package as packaging
from export import parity as parities
from export.cli import export
from export.crops import cut, first, jittered
from export.parity import compare, generated_crops
from export.precision import parse
from export.quantise import search as searching
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.boxes import boxes_for
from lmdeploy.dataset import read_labelled
from lmdeploy.errors import GateRefusedError, InputError
from lmdeploy.evaluate import evaluate
from lmdeploy.geometry import CropRule
from lmdeploy.model import Model
from lmdeploy.schema import load_schema
from lmdeploy.types import F32, U8, Prediction
from training.engine.predictor import open_checkpoint

PRECISIONS = ("fp32", "fp16", "int8", "int8_trt")


@pytest.fixture(scope="module")
def exported(run: Path, toy: Path, tmp_path_factory: pytest.TempPathFactory) -> packaging.Exported:
    """All files; a tolerance that a network of four px a cell and some minutes of training keeps in 8 bits."""
    out = tmp_path_factory.mktemp("out") / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(parities.TOLERANCE_PX, "int8", 3.0)
        patch.setitem(parities.TOLERANCE_PX, "int8_trt", 3.0)
        return packaging.package(
            packaging.Request(run, out, data=toy / "test", held_out=toy / "test", precisions=("fp32", "fp16", "int8"))
        )


def test_every_file_runs_and_is_recorded(exported: packaging.Exported) -> None:
    names = {f"model{part}.onnx" for part in ("", ".fp16", ".int8", ".int8.trt")}
    assert names < set(exported.bundle.manifest.files)
    recorded = exported.bundle.manifest.parity
    assert tuple(sorted(recorded)) == tuple(sorted(PRECISIONS))
    assert recorded["fp32"]["p99_px"] <= 0.02
    assert recorded["fp16"]["p99_px"] <= 0.1
    assert 0 < recorded["int8"]["mean_px"] < recorded["int8"]["p99_px"] <= recorded["int8"]["max_px"]
    sizes = [exported.bundle.manifest.files[f"model{part}.onnx"].bytes for part in ("", ".fp16")]
    assert sizes[1] < sizes[0]
    for parity in exported.parities:
        worst = int(recorded[parity.precision]["worst_landmark"])
        assert len(parity.per_landmark_p99_px) == 68
        assert max(parity.per_landmark_p99_px) == parity.per_landmark_p99_px[worst]


def test_nme_is_that_of_evaluate(exported: packaging.Exported, run: Path, toy: Path) -> None:
    """With true boxes, in the image frame, by the command that users measure with."""
    spec = exported.bundle.spec
    samples = read_labelled(toy / "test", spec.landmarks)
    backend = OrtBackend(exported.bundle.file("model.int8.onnx"), 1, "cpu")
    recorded = exported.bundle.manifest.parity["int8"]
    assert recorded["nme"] == pytest.approx(evaluate(Model(spec, backend, ""), samples).nme)
    assert recorded["nme_pytorch"] == pytest.approx(evaluate(open_checkpoint(run, device="cpu"), samples).nme)


def test_scores_are_calibrated_in_the_files_but_not_in_the_checkpoint(exported: packaging.Exported, run: Path) -> None:
    assert exported.bundle.spec.score_kind == "calibrated"
    assert open_checkpoint(exported.bundle.path / "weights.safetensors", device="cpu").spec.score_kind == "peak"
    crops = generated_crops(32, 6)
    scores = [OrtBackend(exported.bundle.file(f"model{p}.onnx"), 1, "cpu").run(crops).score for p in ("", ".fp16")]
    raw = open_checkpoint(run, device="cpu").backend.run(crops).score
    assert np.abs(scores[0] - scores[1]).max() < 0.05
    assert np.abs(scores[0] - raw).max() > 0.05
    order = np.argsort(raw.ravel(), kind="stable")
    assert np.all(np.diff(scores[0].ravel()[order]) >= -1e-6)
    with np.load(exported.bundle.file("reference.npz")) as reference:
        found = OrtBackend(exported.bundle.file("model.onnx"), 1, "cpu").run(reference["crops"])
        np.testing.assert_allclose(found.score, reference["score"], atol=1e-3)


def test_the_card_tells_every_landmark(exported: packaging.Exported) -> None:
    card = exported.bundle.file("card.md").read_text()
    assert "| landmark | fp32 | fp16 | int8 | int8_trt |" in card
    assert len([line for line in card.splitlines() if line.startswith("| 67 ")]) == 1
    assert "probability that a point's error is under 5 %" in card
    assert f"NME {exported.bundle.manifest.parity['int8']['nme']:.3f} %" in card


def test_over_the_tolerance_nothing_is_written(
    exported: packaging.Exported, run: Path, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = exported.bundle.file("model.onnx").read_bytes()
    monkeypatch.setattr(packaging, "to_onnx", lambda network, spec: made)
    monkeypatch.setitem(parities.TOLERANCE_PX, "fp16", 0.0)
    request = packaging.Request(run, tmp_path / "bundle", images=toy / "test", precisions=("fp32", "fp16"))
    with pytest.raises(GateRefusedError, match=r"fp16 against PyTorch.*OVER the tolerance of 0\.0 px") as caught:
        packaging.package(request)
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "advised"),
    [
        ({"images": "test"}, "8 of 8 were taken as crops"),
        ({"images": "test", "data": "labelled"}, "8 of 8 were taken as crops"),  # ranges are from --images here, too
        ({"images": "unlabelled"}, None),  # its boxes.csv has every image
        ({"data": "test"}, None),
    ],
)
def test_refused_int8_of_whole_pictures_says_what_to_give(
    given: dict[str, str],
    advised: str | None,
    exported: packaging.Exported,
    run: Path,
    toy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = exported.bundle.file("model.onnx").read_bytes()
    monkeypatch.setattr(packaging, "to_onnx", lambda network, spec: made)
    monkeypatch.setattr(searching, "MOST", 0.0)
    monkeypatch.setitem(parities.TOLERANCE_PX, "int8", 0.0)
    folders = {name: toy / folder for name, folder in given.items()}
    with pytest.raises(GateRefusedError, match=r"int8 against PyTorch.*OVER") as caught:
        packaging.package(packaging.Request(run, tmp_path / "b", precisions=("fp32", "int8"), **folders))
    assert ("give --data LABELLED instead of --images" in str(caught.value)) == (advised is not None)
    assert advised is None or advised in str(caught.value)


def test_int8_without_real_crops_is_one_sentence(run: Path, tmp_path: Path) -> None:
    found = CliRunner().invoke(export, [str(run), "-o", str(tmp_path / "b"), "--precision", "int8"])
    assert isinstance(found.exception, InputError)
    assert found.exception.exit_code == 2
    assert str(found.exception) == "int8 takes its ranges from real crops: give --images FOLDER or --data LABELLED"
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_precision_is_one_sentence() -> None:
    assert parse("fp16, int8") == ("fp32", "fp16", "int8")
    with pytest.raises(InputError, match="precision 'int4' is not known: give some of fp32,fp16,int8"):
        parse("fp32,int4")


def test_bundles_from_before_are_read(tmp_path: Path, exported: packaging.Exported) -> None:
    """One whose parity has four numbers and no landmark."""
    manifest = json.loads((exported.bundle.path / "bundle.json").read_text())
    manifest["parity"] = {"fp32": {"images": 1, "median_px": 0.0, "p99_px": 0.0, "max_px": 0.0}}
    assert type(exported.bundle.manifest).model_validate(manifest).parity["fp32"]["images"] == 1


class Moved:
    """Says the truth, moved by so many px landmark by landmark."""

    def __init__(self, px: F32) -> None:
        self.provider, self.px = "stand-in", px

    def run(self, crops: U8) -> Prediction:
        points = np.zeros((len(crops), len(self.px), 2), np.float32)
        points[..., 0] = self.px
        score = np.ones(points.shape[:2], np.float32)
        return Prediction(points, score, score)

    def close(self) -> None:
        pass


def test_distances_are_told_by_landmark() -> None:
    px = np.array([0.0, 0.3, 0.1], np.float32)
    found = compare(Moved(np.zeros(3, np.float32)), Moved(px), np.zeros((40, 8, 8, 3), np.uint8), "int8")
    assert found.per_landmark_p99_px == pytest.approx((0.0, 0.3, 0.1))
    assert (found.mean_px, found.median_px, found.max_px) == pytest.approx((0.4 / 3, 0.1, 0.3))
    assert found.numbers()["worst_landmark"] == 1
    assert found.passed  # 0.3 of 0.5 px


def test_crops_are_jittered_by_the_rule(toy: Path) -> None:
    boxed = first(boxes_for(read_labelled(toy / "test", load_schema("ibug68")), "gt"), 5)
    moved = jittered(boxed, 13)
    names = [sample.name for sample in moved.samples]
    assert sorted(names.count(sample.name) for sample in boxed.samples) == [2, 2, 3, 3, 3]
    own = dict(zip((s.name for s in boxed.samples), boxed.boxes, strict=True))
    for sample, box in zip(moved.samples, moved.boxes, strict=True):
        true = own[sample.name]
        assert abs(box.center[0] - true.center[0]) <= 0.1 * true.width + 1e-6
        assert abs(box.center[1] - true.center[1]) <= 0.1 * true.height + 1e-6
        assert np.exp(-0.15) <= box.width / true.width <= np.exp(0.15)
        assert box.width / true.width == pytest.approx(box.height / true.height)
    crops, matrices = cut(moved, CropRule(size=32))
    assert crops.shape == (13, 32, 32, 3)
    assert len(matrices) == 13
    assert len({box.x0 for box in moved.boxes}) == 13
