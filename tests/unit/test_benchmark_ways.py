"""Which ways of running a bundle are tried, and what is found of one that runs in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmdeploy.backends import offers
from lmdeploy.benchmark.alone import attempt, open_way, try_alone
from lmdeploy.benchmark.ways import Options, Way, candidates, faces
from lmdeploy.errors import DeviceError, InputError
from tests.tiny_bundle import make_tiny_bundle


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_bundle(tmp_path_factory.mktemp("b") / "tiny").path)


def names(**asked: Any) -> list[str]:
    return [way.name for way in candidates(Options(model="face68", **asked))]


def test_all_engines_are_tried_in_their_precisions_processors_first() -> None:
    assert names() == [
        "onnxruntime cpu fp32", "onnxruntime cpu fp16", "onnxruntime cpu int8",
        "openvino cpu fp32", "openvino cpu bf16", "openvino cpu int8",
        "onnxruntime cuda fp32", "onnxruntime cuda fp16", "onnxruntime-tensorrt cuda fp32",
        "tensorrt cuda fp32", "tensorrt cuda fp16", "tensorrt cuda int8",
    ]  # fmt: skip


def test_options_leave_only_what_they_name() -> None:
    assert names(device="cpu", precision="int8") == ["onnxruntime cpu int8", "openvino cpu int8"]
    assert names(backend="openvino", precision="bf16") == ["openvino cpu bf16"]
    assert names(backend="openvino", device="cuda") == []


@pytest.mark.parametrize("text", ["", "0", "33", "2,x", "1,,2", "-1", "1.5"])
def test_batches_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="numbers of faces from 1 to 32"):
        faces(text)
    assert faces("8, 1,8") == (8, 1)


def test_bf16_is_openvino_s_unasked_choice_of_model_onnx(tiny: str) -> None:
    options = Options(model=tiny, threads=1)
    wanted = {"backend": "openvino", "device": "cpu", "precision": "auto", "threads": 1, "schema": None}
    assert Way("openvino", "cpu", "bf16").running(options) == wanted
    assert Way("openvino", "cpu", "int8").running(options) == wanted | {"precision": "int8"}


def test_openvino_that_leaves_bf16_is_no_bf16(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "has_bf16", lambda _: False)
    with pytest.raises(DeviceError, match="OpenVINO CPU fp32 ran: bf16 is missing in this processor"):
        open_way(Way("openvino", "cpu", "bf16"), Options(model=tiny, threads=1))


def test_a_way_that_fails_says_why(tiny: str) -> None:
    found = try_alone(Way("onnxruntime", "cpu", "int8"), Options(model=tiny, threads=1))
    assert list(found) == ["problem"]
    assert "--precision int8" in found["problem"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_is_that_of_the_way_s_own_process(tiny: str) -> None:
    """Not that of the process which asked: a child's ru_maxrss would begin with its parent's."""
    ballast = np.ones(500_000_000, np.uint8)
    found = attempt(Way("onnxruntime", "cpu", "fp32"), Options(model=tiny, threads=1))
    assert found["problem"] == ""
    assert found["provider"] == "CPUExecutionProvider"
    assert 20 < found["start_mb"] < found["peak_mb"] < 300 < ballast.nbytes / 1e6
