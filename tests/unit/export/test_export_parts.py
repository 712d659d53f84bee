"""One bundle for several schemas: trained, exported, run with ONNX Runtime, and asked for each part by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from export import package as packaging
from export.parity import generated_crops
from lmdeploy import Landmarker
from lmdeploy.errors import InputError
from lmdeploy.evaluate import evaluate_folder
from lmdeploy.model import choose, open_model
from lmdeploy.schema import load_schema
from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job
from training.engine.predictor import open_checkpoint

PARTS = {"face5": slice(0, 5), "ibug68": slice(5, 73)}
CLOSE_PX = 1e-3  # measured 2e-5


@pytest.fixture(scope="module")
def run(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both data sets' branches; one epoch, since coordinates are smooth from the start."""
    recipe = tiny_recipe("cross_protocol", fine=False, epochs=1)
    out = tmp_path_factory.mktemp("run")
    return job.run(tiny_request(toy, out, "cross_protocol", recipe=recipe), lambda _: None).parent


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> packaging.Exported:
    return packaging.package(packaging.Request(run, tmp_path_factory.mktemp("out") / "bundle"))


def test_the_graph_gives_all_points_and_bundle_json_says_whose_they_are(exported: packaging.Exported) -> None:
    about = json.loads((exported.bundle.path / "bundle.json").read_text())
    assert about["schema_version"] == 2
    assert [(part["label"], part["first"]) for part in about["spec"]["parts"]] == [("face5", 0), ("ibug68", 5)]
    session = onnxruntime.InferenceSession(str(exported.bundle.file("model.onnx")), providers=["CPUExecutionProvider"])
    assert {o.name: o.shape[1:] for o in session.get_outputs()}["points"] == [73, 2]
    inside = json.loads(session.get_modelmeta().custom_metadata_map["lmdeploy"])
    assert inside["parts"] == about["spec"]["parts"]
    assert exported.parity.passed
    assert exported.parity.max_px < CLOSE_PX
    assert "face5 (5), ibug68 (68)" in exported.bundle.file("card.md").read_text()


@pytest.mark.parametrize("label", PARTS)
def test_each_schema_of_the_bundle_equals_pytorch(exported: packaging.Exported, run: Path, label: str) -> None:
    crops = generated_crops(32, count=5, seed=3)
    whole = open_checkpoint(run, device="cpu")
    wanted = whole.backend.run(crops)
    checkpoint = choose(whole, label)
    bundle = open_model(exported.bundle.path, device="cpu", backend="onnxruntime", threads=1, schema=label)
    for model in (checkpoint, bundle):
        found = model.backend.run(crops)
        np.testing.assert_allclose(found.points, wanted.points[:, PARTS[label]], atol=CLOSE_PX)
        np.testing.assert_allclose(found.spread, wanted.spread[:, PARTS[label]], atol=CLOSE_PX)
        np.testing.assert_allclose(found.score, wanted.score[:, PARTS[label]], atol=1e-4)
        assert model.spec.landmarks == load_schema(label)
        assert set(model.spec.detectors) == set(whole.spec.parts[list(PARTS).index(label)].detectors)
    assert len(np.unique(wanted.points[0], axis=0)) > 60  # the points are not all in one place


def test_a_bundle_of_several_schemas_is_measured_in_each(exported: packaging.Exported, toy: Path) -> None:
    for label, folder in {"face5": toy / "five", "ibug68": toy / "test"}.items():
        _, result = evaluate_folder(open_model(exported.bundle.path, device="cpu", schema=label), folder)
        assert result.landmarks == label
        assert len(result.per_landmark) == load_schema(label).points
    with pytest.raises(InputError, match="name one of face5, ibug68, or all"):
        Landmarker.load(exported.bundle.path)
    with pytest.raises(InputError, match="it knows face5, ibug68"):
        Landmarker.load(exported.bundle.path, schema="wflw98")


def test_the_fine_tuned_network_is_an_ordinary_model(toy: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe("cross_protocol", epochs=1, fine_epochs=1)
    job.run(tiny_request(toy, tmp_path / "run", "cross_protocol", recipe=recipe), lambda _: None)
    with Landmarker.load(tmp_path / "run", detector="whole_image") as landmarker:
        (found,) = landmarker.predict(np.zeros((40, 40, 3), np.uint8))
        assert landmarker.spec.landmarks == load_schema("ibug68")
    assert found.points.shape == (68, 2)
    with Landmarker.load(tmp_path / "run" / "stages" / "joint.safetensors", schema="face5") as landmarker:
        assert landmarker.spec.landmarks == load_schema("face5")
