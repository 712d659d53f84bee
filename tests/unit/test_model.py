"""open_model: bundles, checkpoints through the entry point, and the missing extra."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lmdeploy.model as model_file
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.bundle import write_bundle
from lmdeploy.errors import BundleError, DeviceError, MissingExtraError
from lmdeploy.geometry import CropRule
from lmdeploy.model import Model, open_model
from tests.tiny_bundle import make_tiny_bundle, mixing, tiny_onnx

calls: list[tuple[Path, Any, str]] = []


def load_fake(path: Path, *, threads: int | None, device: str) -> Model:
    """What training.engine.predictor offers, with the blob network behind it."""
    calls.append((path, threads, device))
    bundle = make_tiny_bundle(path.parent / "exported")
    return Model(bundle.spec, OrtBackend(bundle.file("model.onnx"), threads=1), "fake")


def load_without_torch(path: Path, *, threads: int | None, device: str) -> Model:
    raise ModuleNotFoundError("No module named 'torch'", name="torch")


def load_with_a_bug(path: Path, *, threads: int | None, device: str) -> Model:
    raise ModuleNotFoundError("No module named 'training.oops'", name="training.oops")


def _offer(monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    point = EntryPoint("checkpoint", f"{__name__}:{function} [train]", "lmdeploy.predictors")
    monkeypatch.setattr(model_file, "entry_points", lambda group: [point] if group == "lmdeploy.predictors" else [])


def test_bundle_opens_with_its_digest_and_runs(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "b")
    model = open_model(bundle.path, threads=1, device="cpu")
    assert model.digest == bundle.digest
    assert model.spec == bundle.spec
    assert model.backend.run(np.zeros((2, 64, 64, 3), np.uint8)).points.shape == (2, 3, 2)


def test_altered_bundle_is_refused(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "b")
    file = bundle.file("model.onnx")
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(BundleError, match="sha256"):
        open_model(bundle.path)


def test_graph_that_contradicts_its_manifest_is_refused(tmp_path: Path) -> None:
    spec = make_tiny_bundle(tmp_path / "b").spec
    liar = spec.model_copy(update={"crop": CropRule(size=96)})
    write_bundle(tmp_path / "liar", liar, {"model.onnx": tiny_onnx(64, mixing(3))})
    with pytest.raises(BundleError, match=r"3 points on 96 px crops, its network has 3 on 64 px"):
        open_model(tmp_path / "liar", threads=1)
    assert json.loads((tmp_path / "liar" / "bundle.json").read_text())["spec"]["crop"]["size"] == 96


@pytest.mark.parametrize("as_folder", [False, True])
def test_checkpoint_goes_through_the_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_folder: bool
) -> None:
    calls.clear()
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    _offer(monkeypatch, "load_fake")
    assert open_model(tmp_path if as_folder else file, threads=3, device="cpu").digest == "fake"
    assert calls == [(file, 3, "cpu")]


def test_a_checkpoint_runs_in_float32_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    _offer(monkeypatch, "load_fake")
    assert open_model(tmp_path, precision="fp32").digest == "fake"
    with pytest.raises(DeviceError, match=r"'lmdeploy export .* -o BUNDLE --precision int8' makes a bundle"):
        open_model(tmp_path, precision="int8")


def test_checkpoint_without_torch_names_the_install_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    _offer(monkeypatch, "load_without_torch")
    with pytest.raises(MissingExtraError, match=r"needs torch: pip install 'landmark-deploy\[train\]'"):
        open_model(tmp_path)


def test_a_bug_in_the_loader_is_not_called_a_missing_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    _offer(monkeypatch, "load_with_a_bug")
    with pytest.raises(ModuleNotFoundError, match=r"training\.oops"):
        open_model(tmp_path)


def test_checkpoint_without_any_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(model_file, "entry_points", lambda group: [])
    with pytest.raises(MissingExtraError, match="cannot open checkpoints"):
        open_model(tmp_path)


def test_missing_checkpoint_and_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such checkpoint"):
        open_model(tmp_path / "x.safetensors")
    with pytest.raises(BundleError, match="no such bundle folder"):
        open_model("no-such-model")
