"""The copied model.py under a stand-in for Triton's module: requests of several sizes, one batch, answers apart."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from export.triton.config import Serving
from export.triton.repository import add_to_repository
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.types import U8
from tests.tiny_bundle import make_tiny_bundle

NAMES = ("points", "score", "spread", "nnm")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bundle = make_tiny_bundle(tmp_path / "tiny", size=32)
    add_to_repository(bundle, tmp_path / "models", Serving(python=True, version=5))
    return tmp_path / "models" / "tiny_python"


@pytest.fixture
def model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An instance of the copied file's class, opened as Triton opens it."""
    triton = ModuleType("triton_python_backend_utils")
    triton.get_input_tensor_by_name = lambda request, name: SimpleNamespace(as_numpy=lambda: request[name])  # type: ignore[attr-defined]  # a stand-in
    triton.Tensor = lambda name, values: (name, values)  # type: ignore[attr-defined]  # a stand-in
    triton.InferenceResponse = dict  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, triton.__name__, triton)
    spec = importlib.util.spec_from_file_location("copied_model", folder / "5" / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.TritonPythonModel()
    config = {"output": [{"name": n} for n in NAMES], "instance_group": [{"count": 2}, {"count": 1}]}
    made.initialize({"model_config": json.dumps(config), "model_repository": str(folder), "model_version": "5"})
    return made


def crops(count: int, seed: int) -> U8:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


def test_requests_share_a_batch_and_get_their_own_answers(model: Any, folder: Path) -> None:
    requests = [{"images": crops(count, seed)} for seed, count in enumerate((1, 3, 2))]
    calls: list[int] = []
    session = model.session
    model.session = SimpleNamespace(
        run=lambda names, feed: calls.append(len(feed["images"])) or session.run(names, feed)
    )
    answers = model.execute(requests)
    assert calls == [6]
    backend = OrtBackend(folder / "5" / "model.onnx", 1, "cpu")
    for request, answer in zip(requests, answers, strict=True):
        wanted = backend.run(request["images"])
        assert tuple(answer) == NAMES
        for name in NAMES:
            np.testing.assert_array_equal(answer[name], getattr(wanted, name))


def test_unloading_frees_the_session(model: Any) -> None:
    model.finalize()
    assert model.session is None


def test_the_file_needs_numpy_and_onnxruntime_only(folder: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse((folder / "5" / "model.py").read_text(encoding="utf-8"))):
        imported |= {a.name for a in node.names} if isinstance(node, ast.Import) else set()
        imported |= {node.module} if isinstance(node, ast.ImportFrom) else set()
    third = {name for name in imported if name not in sys.stdlib_module_names}
    assert third == {"numpy", "onnxruntime", "triton_python_backend_utils"}
