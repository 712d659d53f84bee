"""Export: the ONNX file says the same as PyTorch, or nothing is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from export import package as packaging
from export import parity, to_onnx
from lmdeploy.bundle import read_bundle
from lmdeploy.errors import GateRefusedError
from lmdeploy.model import open_model
from tests.unit.training.conftest import tiny_request
from training import job
from training.engine.predictor import open_checkpoint


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> packaging.Exported:
    return packaging.package(packaging.Request(run, tmp_path_factory.mktemp("out") / "bundle"))


def test_graph_is_the_contract(exported: packaging.Exported) -> None:
    model = onnx.load(str(exported.bundle.file("model.onnx")))
    assert [i.version for i in model.opset_import if i.domain == ""] == [20]
    session = onnxruntime.InferenceSession(str(exported.bundle.file("model.onnx")), providers=["CPUExecutionProvider"])
    (images,) = session.get_inputs()
    assert (images.name, images.type, images.shape[1:]) == ("images", "tensor(uint8)", [32, 32, 3])
    assert isinstance(images.shape[0], str)
    assert [(o.name, o.type) for o in session.get_outputs()] == [
        (name, "tensor(float)") for name in ("points", "score", "spread", "nnm")
    ]
    about = json.loads(session.get_modelmeta().custom_metadata_map["lmdeploy"])
    assert about["landmarks"]["name"] == "ibug68"
    assert about["codec"] == "subpixel"


def test_no_path_of_this_machine_is_in_the_file(exported: packaging.Exported) -> None:
    raw = exported.bundle.file("model.onnx").read_bytes()
    assert b"site-packages" not in raw
    assert str(Path(__file__).resolve().parents[3]).encode() not in raw


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_onnx_equals_pytorch_at_every_batch_size(exported: packaging.Exported, run: Path, batch: int) -> None:
    crops = parity.generated_crops(32, batch, seed=batch)
    theirs, ours = (
        open_checkpoint(run, device="cpu").backend.run(crops),
        open_model(exported.bundle.path, backend="onnxruntime").backend.run(crops),
    )
    for name in ("points", "score", "spread", "nnm"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-3, atol=1e-3)


def test_reference_crops_let_any_machine_check_its_backend(exported: packaging.Exported) -> None:
    with np.load(exported.bundle.file("reference.npz")) as reference:
        found = open_model(exported.bundle.path, backend="onnxruntime").backend.run(reference["crops"])
        assert len(reference["crops"]) == 16
        assert np.percentile(np.linalg.norm(found.points - reference["points"], axis=-1), 99) <= 0.02


def test_bundle_can_be_refined_further(exported: packaging.Exported, toy: Path, tmp_path: Path) -> None:
    request = tiny_request(toy, tmp_path, "supervised", init=exported.bundle.path)
    assert job.run(request, lambda _: None).is_file()


def test_a_graph_that_says_something_else_is_refused_and_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiled(network: torch.nn.Module, spec: object) -> bytes:
        with torch.no_grad():
            network.main.bias.copy_(torch.randn(68))
            network.main.weight.mul_(-1)
        return to_onnx.to_onnx(network, spec)  # type: ignore[arg-type]

    monkeypatch.setattr(packaging, "to_onnx", spoiled)
    monkeypatch.setattr(packaging, "TorchBackend", lambda network, codec, device: open_checkpoint(run).backend)
    with pytest.raises(GateRefusedError, match=r"OVER the tolerance of 0\.02 px") as caught:
        packaging.package(packaging.Request(run, tmp_path / "bundle"))
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_nan_is_never_within_the_tolerance() -> None:
    numbers = dict.fromkeys(("median_px", "mean_px", "p99_px", "max_px", "score_max"), float("nan"))
    assert not parity.Parity(precision="fp32", images=1, tolerance_px=0.02, **numbers).passed


def test_manifest_records_parity_and_training_data(exported: packaging.Exported) -> None:
    manifest = read_bundle(exported.bundle.path).manifest
    assert manifest.parity["fp32"]["p99_px"] <= 0.02
    assert [(d.images, d.labelled) for d in manifest.spec.data] == [(12, True)]
    assert (exported.bundle.path / "card.md").read_text().startswith("# face68")
