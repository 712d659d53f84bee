"""What runs a bundle: auto takes the fastest that keeps to the reference and says so; a name is used or an error."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmdeploy.backends import choose, offers
from lmdeploy.backends.ort import CPU, CUDA, OrtBackend
from lmdeploy.backends.reference import distance_px
from lmdeploy.bundle import Bundle, write_bundle
from lmdeploy.errors import BundleError, DeviceError, InputError, MissingExtraError
from lmdeploy.types import U8, Prediction
from tests.tiny_bundle import blob_image, make_tiny_bundle, mixing, tiny_onnx

POINTS = np.array([[20.3, 22.0], [40.7, 20.0], [30.0, 45.5]])


class StandIn:
    """An engine that answers like ONNX Runtime, moved by `off` px; it notes what happens to it."""

    def __init__(self, provider: str, model: Path, off: float) -> None:
        self.provider, self.precision, self.off, self.closed = provider, "bf16", off, False
        self._real, self.products = OrtBackend(model, 1, "cpu"), 0
        self.size, self.points = self._real.size, self._real.points

    def run(self, crops: U8) -> Prediction:
        found = self._real.run(crops)
        return Prediction(found.points + np.float32(self.off), found.score, found.spread)

    def close(self) -> None:
        self.closed = True


def reference(model: bytes) -> bytes:
    """A reference.npz of four drawn crops."""
    crops = np.stack([blob_image(64, 64, POINTS + shift) for shift in (0, 2, -3, 5)])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, crops=crops, points=OrtBackend(model, 1, "cpu").run(crops).points)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder, model = tmp_path_factory.mktemp("bundle"), tiny_onnx(64, mixing(3))
    spec = make_tiny_bundle(folder / "plain").spec
    return write_bundle(folder / "b", spec, {"model.onnx": model, "reference.npz": reference(model)})


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[StandIn]:
    """Stand-ins for OpenVINO in the order they were opened; `off` of the class says how far bf16 is off."""
    engines: list[StandIn] = []

    def opened(model: Path, threads: int | None, precision: str | None = None, share: object = None) -> StandIn:
        far = 0.0 if precision == "fp32" else StandInOff.px
        engines.append(StandIn(f"OpenVINO CPU {precision or 'bf16'}", model, far))
        return engines[-1]

    monkeypatch.setattr(offers, "OpenVINOBackend", opened)
    monkeypatch.setattr(offers, "has_bf16", lambda _: True)
    choose._say.cache_clear()
    return engines


class StandInOff:
    """How far the stand-in's bf16 is off, px."""

    px = 0.0


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    StandInOff.px = 0.0
    yield
    StandInOff.px = 0.0


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name.startswith("lmdeploy")]


def test_auto_takes_openvino_that_is_near_and_says_it_once(
    bundle: Bundle, made: list[StandIn], caplog: pytest.LogCaptureFixture
) -> None:
    StandInOff.px = 0.05
    with caplog.at_level(logging.INFO):
        engines = [choose.open_engine(bundle, "auto", "cpu", 1) for _ in range(2)]
    assert [e.provider for e in engines] == ["OpenVINO CPU bf16"] * 2
    assert told(caplog) == [
        "tiny runs on OpenVINO CPU bf16: 99 % of points within 0.071 px of the bundle's reference, 0.1 px allowed"
    ]  # 0.05 px right and down


def test_auto_leaves_openvino_that_is_too_far_closes_it_and_says_why(
    bundle: Bundle, made: list[StandIn], caplog: pytest.LogCaptureFixture
) -> None:
    StandInOff.px = 0.08  # 0.113 px along the diagonal
    with caplog.at_level(logging.INFO):
        assert choose.open_engine(bundle, "auto", "auto", 1).provider == CPU
    assert [e.closed for e in made] == [True, True]  # in both shares of bf16
    (sentence,) = told(caplog)
    assert "tiny runs on CPUExecutionProvider" in sentence
    assert "OpenVINO CPU bf16 is 0.113 px off the bundle's reference (99 % of points), 0.1 px allowed" in sentence


def test_without_a_reference_auto_stays_with_onnx_runtime(
    tmp_path: Path, made: list[StandIn], caplog: pytest.LogCaptureFixture
) -> None:
    plain = make_tiny_bundle(tmp_path / "plain")
    with caplog.at_level(logging.INFO):
        assert choose.open_engine(plain, "auto", "auto", 1).provider == CPU
    assert made == []
    assert "no reference.npz" in told(caplog)[0]
    assert choose.open_engine(plain, "openvino", "auto", 1).provider == "OpenVINO CPU fp32"


def test_asked_for_openvino_runs_in_fp32_where_bf16_is_too_far(bundle: Bundle, made: list[StandIn]) -> None:
    StandInOff.px = 1.0
    assert choose.open_engine(bundle, "openvino", "cpu", 1).provider == "OpenVINO CPU fp32"
    assert [e.closed for e in made] == [True, True, False]


def test_a_processor_without_bf16_keeps_onnx_runtime(
    bundle: Bundle, made: list[StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offers, "has_bf16", lambda _: False)
    assert choose.open_engine(bundle, "auto", "cpu", 1).provider == CPU
    assert choose.open_engine(bundle, "openvino", "cpu", 1).provider == "OpenVINO CPU fp32"


def missing(*_: Any, **__: Any) -> Any:
    raise MissingExtraError("OpenVINO cannot be imported (it is not there): pip install 'landmark-deploy[openvino]'")


def test_openvino_that_is_not_installed_is_no_news_for_auto_and_exit_code_4_by_name(
    bundle: Bundle, made: list[StandIn], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(offers, "the_core", missing)
    monkeypatch.setattr(offers, "has_bf16", missing)
    with caplog.at_level(logging.INFO):
        assert choose.open_engine(bundle, "auto", "auto", 1).provider == CPU
    assert "OpenVINO" not in told(caplog)[0]
    with pytest.raises(DeviceError, match=r"backend openvino was asked for: .*landmark-deploy\[openvino\]") as caught:
        choose.open_engine(bundle, "openvino", "auto", 1)
    assert caught.value.exit_code == 4


def test_a_folder_called_tensorrt_is_not_the_library(
    bundle: Bundle, made: list[StandIn], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec("tensorrt") is not None:
        pytest.skip("TensorRT is installed, or a folder of that name is on the path already")
    (tmp_path / "tensorrt").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert choose.open_engine(bundle, "auto", "auto", 1).provider == "OpenVINO CPU bf16"
    with pytest.raises(DeviceError, match=r"landmark-deploy\[tensorrt\]"):
        choose.open_engine(bundle, "tensorrt", "auto", 1)


@pytest.mark.parametrize(
    ("backend", "device", "message"),
    [
        ("auto", "cuda", "no CUDAExecutionProvider"),
        ("onnxruntime", "cuda", "no CUDAExecutionProvider"),
        ("openvino", "cuda", "runs on the processor"),
        ("tensorrt", "cpu", "runs on a GPU"),
        ("tensorrt", "auto", "TensorRT"),
        ("onnxruntime-tensorrt", "cpu", "runs on a GPU"),
        ("onnxruntime-tensorrt", "auto", "no TensorrtExecutionProvider"),
    ],
)
def test_what_cannot_run_as_asked_ends_with_exit_code_4(
    bundle: Bundle, made: list[StandIn], backend: Any, device: Any, message: str
) -> None:
    import onnxruntime

    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(DeviceError, match=message) as caught:
        choose.open_engine(bundle, backend, device, 1)
    assert caught.value.exit_code == 4


def test_unknown_names_are_bad_input(bundle: Bundle) -> None:
    with pytest.raises(InputError, match="backends are auto, onnxruntime,"):
        choose.open_engine(bundle, "tflite", "auto", 1)  # type: ignore[arg-type]  # what a user may type


def test_distance_counts_the_lone_crop_and_numbers_that_are_none(bundle: Bundle) -> None:
    engine = StandIn("x", bundle.file("model.onnx"), 3.0)
    assert distance_px(engine, bundle.file("reference.npz")) == pytest.approx(3 * 2**0.5, abs=1e-4)
    engine.off = float("nan")
    assert distance_px(engine, bundle.file("reference.npz")) == float("inf")


def test_a_broken_reference_is_named(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "reference.npz").write_bytes(b"not a zip")
    with pytest.raises(BundleError, match=r"reference\.npz cannot be read"):
        distance_px(StandIn("x", bundle.file("model.onnx"), 0), tmp_path / "reference.npz")
