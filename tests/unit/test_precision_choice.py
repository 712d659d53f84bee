"""Which of a bundle's files runs: the one that was named, or for `auto` fp16 on GPUs where it is right, else fp32."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmdeploy.backends import choose, offers
from lmdeploy.backends.ort import CPU, CUDA, OrtBackend
from lmdeploy.bundle import Bundle, write_bundle
from lmdeploy.errors import DeviceError, InputError
from lmdeploy.model import open_model
from lmdeploy.types import F32, U8
from tests.tensorrt_kit.fake_cuda import FakeCuda
from tests.tensorrt_kit.fake_tensorrt import FakeTensorRT
from tests.tensorrt_kit.installed import modules
from tests.tiny_bundle import blob_image, make_tiny_bundle, mixing, tiny_onnx

POINTS = np.array([[20.3, 22.0], [40.7, 20.0], [30.0, 45.5]])
CROPS: U8 = np.stack([blob_image(64, 64, POINTS + shift) for shift in (0, 2, -3, 5)])
NEAR, FAR = 1.0005, 1.01  # the points of a 64-px crop that much further out: up to 0.03 px, and up to 0.6 px


def network(stretch: float) -> bytes:
    """The blob network, its points moved away from the corner: a file that can be told from the others."""
    return tiny_onnx(64, mixing(3) * np.float32(stretch))


def points_of(model: bytes) -> F32:
    return OrtBackend(model, 1, "cpu").run(CROPS).points


def make(folder: Path, *, half: float = NEAR, reference: bool = True, only: tuple[str, ...] = ()) -> Bundle:
    """A bundle of four files that differ; `only` of them, or all."""
    files = {
        "model.onnx": network(1),
        "model.fp16.onnx": network(half),
        "model.int8.onnx": network(1.001),
        "model.int8.trt.onnx": network(1.002),
    }
    files = {name: content for name, content in files.items() if not only or name in only}
    if reference:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, crops=CROPS, points=points_of(files["model.onnx"]))
        files["reference.npz"] = buffer.getvalue()
    return write_bundle(folder / "b", make_tiny_bundle(folder / "plain").spec, files)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make(tmp_path_factory.mktemp("all"))


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A GPU that ONNX Runtime runs on, and the engines that were opened there."""
    opened: list[Any] = []

    class OnCuda(OrtBackend):
        def __init__(self, source: Path, threads: int | None, device: Any) -> None:
            super().__init__(source, 1, "cpu")
            self.provider, self.closed = CUDA if device == "cuda" else CPU, False
            opened.append(self)

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(offers, "OrtBackend", OnCuda)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [CUDA, CPU])
    choose._say.cache_clear()
    return opened


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeTensorRT:
    fake = FakeTensorRT(FakeCuda(), "10")
    for name, module in modules(fake.cuda, fake).items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return fake


def ran(engine: Any) -> str:
    """Which file an engine runs, told from its points."""
    found = engine.run(CROPS).points
    files = {"fp32": 1.0, "fp16": NEAR, "far fp16": FAR, "int8": 1.001, "int8 for TensorRT": 1.002}
    (name,) = (name for name, stretch in files.items() if np.allclose(found, points_of(network(stretch)), atol=1e-4))
    return name


@pytest.mark.parametrize(
    ("precision", "provider"),
    [("auto", CPU), ("fp32", CPU), ("fp16", f"{CPU} fp16"), ("int8", f"{CPU} int8")],
)
def test_a_processor_runs_model_onnx_or_the_file_that_is_named(bundle: Bundle, precision: Any, provider: str) -> None:
    engine = choose.open_engine(bundle, "onnxruntime", "cpu", 1, precision)
    assert (engine.provider, ran(engine)) == (provider, "fp32" if precision == "auto" else precision)


@pytest.mark.parametrize("backend", ["auto", "onnxruntime"])
def test_a_gpu_takes_the_fp16_file_that_is_right(bundle: Bundle, cuda: list[Any], backend: Any) -> None:
    engine = choose.open_engine(bundle, backend, "cuda", 1)
    assert (engine.provider, ran(engine)) == (f"{CUDA} fp16", "fp16")


@pytest.mark.parametrize("backend", ["auto", "onnxruntime"])
def test_a_gpu_leaves_an_fp16_file_that_is_off_closes_it_and_says_why(
    tmp_path: Path, cuda: list[Any], backend: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        engine = choose.open_engine(make(tmp_path, half=FAR), backend, "cuda", 1)
    assert (engine.provider, ran(engine)) == (CUDA, "fp32")
    assert [e.closed for e in cuda] == [True, False]
    assert f"{CUDA} fp16 is 0." in caplog.text
    assert "px off the bundle's reference" in caplog.text


def test_without_a_reference_or_the_file_a_gpu_takes_model_onnx(tmp_path: Path, cuda: list[Any]) -> None:
    unseen = make(tmp_path / "unseen", reference=False)
    assert choose.open_engine(unseen, "onnxruntime", "auto", 1).provider == CUDA
    plain = make(tmp_path / "plain", only=("model.onnx",))
    assert choose.open_engine(plain, "auto", "cuda", 1).provider == CUDA
    assert choose.open_engine(unseen, "onnxruntime", "cuda", 1, "fp16").provider == f"{CUDA} fp16"  # by name: its risk


@pytest.mark.parametrize(
    ("precision", "file"), [("auto", "fp16"), ("fp32", "fp32"), ("fp16", "fp16"), ("int8", "int8 for TensorRT")]
)
def test_tensorrt_takes_its_own_int8_file(bundle: Bundle, trt: FakeTensorRT, precision: Any, file: str) -> None:
    engine = choose.open_engine(bundle, "tensorrt", "cuda", 1, precision)
    assert ran(engine) == file
    assert engine.provider == " ".join(["TensorRT", *([file.split()[0]] if file != "fp32" else [])])


@pytest.mark.parametrize("backend", ["auto", "onnxruntime", "openvino"])
def test_a_file_that_the_bundle_lacks_is_named_with_the_command_that_makes_it(tmp_path: Path, backend: Any) -> None:
    plain = make(tmp_path, only=("model.onnx", "model.fp16.onnx"))
    with pytest.raises(
        InputError, match=r"holds no model\.int8\.onnx: 'lmdeploy export .* --precision int8' makes it"
    ):
        choose.open_engine(plain, backend, "auto", 1, "int8")


def test_tensorrt_without_its_int8_file_names_it(tmp_path: Path, trt: FakeTensorRT) -> None:
    plain = make(tmp_path, only=("model.onnx", "model.int8.onnx"))
    with pytest.raises(InputError, match=r"holds no model\.int8\.trt\.onnx"):
        choose.open_engine(plain, "tensorrt", "cuda", 1, "int8")


@pytest.mark.parametrize(
    ("backend", "device", "precision", "said"),
    [
        ("openvino", "cpu", "fp16", r"OpenVINO does not run fp16 \(only fp32, int8\)"),
        ("onnxruntime", "cuda", "int8", r"ONNX Runtime on CUDA does not run int8 \(only fp32, fp16\)"),
        ("onnxruntime-tensorrt", "cuda", "fp16", r"TensorRT provider does not run fp16 \(only fp32\)"),
    ],
)
def test_a_backend_that_cannot_run_a_named_precision_ends_with_exit_code_4(
    bundle: Bundle, backend: Any, device: Any, precision: Any, said: str
) -> None:
    with pytest.raises(DeviceError, match=said) as caught:
        choose.open_engine(bundle, backend, device, 1, precision)
    assert caught.value.exit_code == 4


def test_auto_compares_a_named_precision_with_the_reference(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=rf"{CPU} fp16 is 0\.\d+ px off .* 0\.1 px allowed"):
        choose.open_engine(make(tmp_path, half=FAR), "auto", "cpu", 1, "fp16")


def test_a_file_that_stands_alone_runs_in_its_own_precision(tmp_path: Path) -> None:
    from lmdeploy.single_file import SPEC_KEY
    from tests.conv_graph import conv_onnx

    spec = make_tiny_bundle(tmp_path / "plain", size=32).spec
    alone = tmp_path / "mine.onnx"
    alone.write_bytes(conv_onnx(32, {SPEC_KEY: spec.model_dump_json()}))  # quantised
    assert open_model(alone, backend="onnxruntime", device="cpu", threads=1).backend.provider == f"{CPU} int8"
    with pytest.raises(InputError, match=r"mine\.onnx holds no model\.onnx"):
        open_model(alone, precision="fp32")
