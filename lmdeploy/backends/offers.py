"""The engines: which precisions each can run, which of them it takes unasked, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lmdeploy.backends.base import BackendName, Device, Engine, Precision
from lmdeploy.backends.frames import frame_file
from lmdeploy.backends.openvino import OpenVINOBackend, has_bf16, the_core
from lmdeploy.backends.openvino_products import SHARES
from lmdeploy.backends.ort import CUDA, OrtBackend, import_onnxruntime
from lmdeploy.backends.precision import file_of, held
from lmdeploy.backends.reference import FILE, TOLERANCE_PX, distance_px
from lmdeploy.bundle import Bundle
from lmdeploy.errors import DeviceError, MissingExtraError
from lmdeploy.onnx_file import inspect


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to run, and how much of the rest was left open."""

    bundle: Bundle
    backend: BackendName
    device: Device
    precision: Precision
    threads: int | None

    @property
    def by_name(self) -> bool:
        """Whether this engine, and no other, was asked for."""
        return self.backend != "auto"

    @property
    def reference(self) -> Path | None:
        """The bundle's crops with the points that they were found to hold, if it has any."""
        return self.bundle.file(FILE) if FILE in self.bundle.manifest.files else None

    def file(self, precision: str, *, tensorrt: bool = False) -> Path:
        """The network in a precision, safe to be given to an engine."""
        path = file_of(self.bundle, precision, tensorrt=tensorrt)
        inspect(path)
        return path


@dataclass(frozen=True, slots=True)
class Offer:
    """One engine.

    name: what messages call it. runs: the precisions that may be asked of it by name. unasked: those that it tries
    when none is named, the first that is right is taken. open: an open engine of one of both; MissingExtraError or
    DeviceError says why not.
    """

    name: str
    runs: tuple[str, ...]
    unasked: Callable[[Wish], tuple[str, ...]]
    open: Callable[[Wish, str], Engine]

    def precisions(self, wish: Wish) -> tuple[str, ...]:
        """What to try, best first; DeviceError for a precision that the engine does not have."""
        if wish.precision == "auto":
            return self.unasked(wish)
        if wish.precision not in self.runs:
            raise DeviceError(
                f"{self.name} does not run {wish.precision} (only {', '.join(self.runs)}): ask for another precision "
                "or backend"
            )
        return (wish.precision,)


def _float32(_: Wish) -> tuple[str, ...]:
    return ("fp32",)


def _half_first(wish: Wish) -> tuple[str, ...]:
    """On a GPU half is the faster one, but it must be seen to be right."""
    return ("fp16", "fp32") if wish.reference and "fp16" in held(wish.bundle) else ("fp32",)


def _bf16_first(wish: Wish) -> tuple[str, ...]:
    """OpenVINO computes the float32 file in bf16 where that can be shown to be right."""
    capable = has_bf16(the_core())
    if wish.by_name:
        return ("bf16", "fp32") if wish.reference and capable else ("fp32",)
    if not capable:
        raise DeviceError("OpenVINO is faster than ONNX Runtime only with bf16, which this processor does not have")
    return ("bf16",)


def _tensorrt(wish: Wish, precision: str) -> Engine:
    from lmdeploy.backends.tensorrt import TensorRTBackend
    from lmdeploy.backends.tensorrt.library import load

    load()
    _need_reference(wish, "TensorRT")
    return _named(TensorRTBackend(wish.file(precision, tensorrt=True)), precision)


def _cuda(wish: Wish, precision: str) -> Engine:
    if wish.device == "auto" and CUDA not in import_onnxruntime().get_available_providers():
        raise MissingExtraError("this ONNX Runtime has no CUDA")
    from lmdeploy.backends.ort_gpu import on_gpu

    network, frames = wish.file(precision), frame_file(wish.bundle, precision)
    engine = OrtBackend(network, wish.threads, "cuda")
    return _named(on_gpu(engine, network, frames, wish.reference, TOLERANCE_PX[precision]), precision)


def _onnxruntime_tensorrt(wish: Wish, precision: str) -> Engine:
    return OrtBackend(wish.file(precision), wish.threads, "cuda", tensorrt=True)


def _openvino(wish: Wish, precision: str) -> Engine:
    the_core()
    if not wish.by_name and precision != "bf16":
        raise DeviceError("OpenVINO is faster than ONNX Runtime only in bf16, which comes with precision auto")
    _need_reference(wish, "OpenVINO")
    if precision == "bf16":
        return _openvino_bf16(wish)
    if precision == "int8":
        return OpenVINOBackend(wish.file("int8"), wish.threads, "int8")
    return OpenVINOBackend(wish.file("fp32"), wish.threads, "fp32")


def _openvino_bf16(wish: Wish) -> Engine:
    """With as much in bf16 as leaves the reference's points right; with the body alone, right or not."""
    network = wish.file("fp32")
    body: OpenVINOBackend | None = None
    for share in SHARES if wish.reference else ():
        engine = OpenVINOBackend(network, wish.threads, "bf16", share)
        assert wish.reference is not None, "without one nothing is tried"
        if engine.precision == "bf16" and distance_px(engine, wish.reference) <= TOLERANCE_PX["bf16"]:
            if body is not None:
                body.close()
            return engine
        if engine.precision == "bf16" and not engine.products and body is None:
            body = engine
        else:
            engine.close()
    return body or OpenVINOBackend(network, wish.threads, "bf16")


def _cpu(wish: Wish, precision: str) -> Engine:
    return _named(OrtBackend(wish.file(precision), wish.threads, "cpu"), precision)


def _named(engine: Engine, precision: str) -> Engine:
    """The engine, its provider's name with the precision where that is not plain float32."""
    if precision != "fp32":
        engine.provider = f"{engine.provider} {precision}"
    return engine


def _need_reference(wish: Wish, engine: str) -> None:
    if not wish.by_name and wish.reference is None:
        raise DeviceError(f"{engine} is left out, for the bundle has no {FILE} to compare it with")


TENSORRT = Offer("TensorRT", ("fp32", "fp16", "int8"), _half_first, _tensorrt)
ON_CUDA = Offer("ONNX Runtime on CUDA", ("fp32", "fp16"), _half_first, _cuda)
ORT_TENSORRT = Offer("ONNX Runtime's TensorRT provider", ("fp32",), _float32, _onnxruntime_tensorrt)
OPENVINO = Offer("OpenVINO", ("fp32", "int8"), _bf16_first, _openvino)
ON_CPU = Offer("ONNX Runtime on the processor", ("fp32", "fp16", "int8"), _float32, _cpu)
