"""Which engine runs a bundle: the one that was asked for or none, and for `auto` the fastest that is right here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from lmdeploy.backends.base import BACKENDS, DEVICES, BackendName, Device, Engine
from lmdeploy.backends.openvino import OpenVINOBackend, has_bf16, the_core
from lmdeploy.backends.ort import CUDA, OrtBackend, import_onnxruntime
from lmdeploy.backends.reference import FILE, TOLERANCE_PX, distance_px
from lmdeploy.bundle import Bundle
from lmdeploy.errors import BundleError, DeviceError, InputError, LmdeployError, MissingExtraError

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """What runs which file: model.onnx, its reference crops if it has any, the device and the number of threads."""

    model: Path
    reference: Path | None
    device: Device
    threads: int | None


Offer = Callable[[Wish], tuple[Engine, str]]
"""An open engine and why it is the one; MissingExtraError or DeviceError says why not."""


def open_engine(bundle: Bundle, backend: BackendName, device: Device, threads: int | None) -> Engine:
    """An open engine for a bundle's model.onnx.

    An engine or device that is asked for by name is used, or DeviceError (exit code 4) says why it cannot be. `auto`
    takes the first of TensorRT, CUDA, OpenVINO and ONNX Runtime on the processor that is installed, works, and gives
    the points of the bundle's reference.npz; it logs once what it took. Without a reference it stays with ONNX
    Runtime.
    """
    if backend not in BACKENDS or device not in DEVICES:
        raise InputError(
            f"backend {backend!r} on device {device!r}: backends are {', '.join(BACKENDS)}; devices are "
            f"{', '.join(DEVICES)}"
        )
    reference = bundle.file(FILE) if FILE in bundle.manifest.files else None
    wish = Wish(bundle.file("model.onnx"), reference, device, threads)
    if backend == "auto":
        engine, why = _best(wish)
    else:
        try:
            engine, why = NAMED[backend](wish)
        except MissingExtraError as error:
            raise DeviceError(f"backend {backend} was asked for: {error}") from error
    if why:
        _say(f"{bundle.spec.name} runs on {engine.provider}: {why}")
    return engine


@cache
def _say(sentence: str) -> None:
    """Tell people something once, however often a model is opened."""
    LOG.info(sentence)


def _best(wish: Wish) -> tuple[Engine, str]:
    """The first offer that holds; it is told what failed before it, but not what merely is not installed."""
    failed: list[str] = []
    last: LmdeployError | None = None
    for offer in AUTO[wish.device]:
        try:
            engine, why = offer(wish)
        except MissingExtraError as error:
            last = error
        except (DeviceError, BundleError) as error:
            failed.append(str(error))
            last = error
        else:
            return engine, "; ".join([why, *failed])
    assert last is not None, "every device has an offer"
    raise DeviceError("; ".join(failed)) if wish.device == "cuda" and failed else last


def _offer_tensorrt(wish: Wish) -> tuple[Engine, str]:
    found = find_spec("tensorrt")
    if found is None or found.origin is None:  # a mere folder of that name is a package to Python, too
        raise MissingExtraError("TensorRT is not installed")
    _need_reference(wish, "TensorRT")
    return _checked(_tensorrt(wish)[0], "fp32", wish)


def _offer_cuda(wish: Wish) -> tuple[Engine, str]:
    if wish.device == "auto" and CUDA not in import_onnxruntime().get_available_providers():
        raise MissingExtraError("this ONNX Runtime has no CUDA")
    engine = OrtBackend(wish.model, wish.threads, "cuda")
    return (engine, "the bundle has no reference") if wish.reference is None else _checked(engine, "fp32", wish)


def _offer_openvino(wish: Wish) -> tuple[Engine, str]:
    if not has_bf16(the_core()):
        raise DeviceError("OpenVINO is faster than ONNX Runtime only with bf16, which this processor does not have")
    _need_reference(wish, "OpenVINO")
    engine = OpenVINOBackend(wish.model, wish.threads)
    return _checked(engine, engine.precision, wish)


def _offer_cpu(wish: Wish) -> tuple[Engine, str]:
    return OrtBackend(wish.model, wish.threads, "cpu"), "the engine that every machine has"


AUTO: dict[Device, tuple[Offer, ...]] = {
    "auto": (_offer_tensorrt, _offer_cuda, _offer_openvino, _offer_cpu),
    "cpu": (_offer_openvino, _offer_cpu),
    "cuda": (_offer_tensorrt, _offer_cuda),
}


def _onnxruntime(wish: Wish) -> tuple[Engine, str]:
    return OrtBackend(wish.model, wish.threads, wish.device), ""


def _onnxruntime_tensorrt(wish: Wish) -> tuple[Engine, str]:
    _need_gpu(wish, "onnxruntime-tensorrt")
    return OrtBackend(wish.model, wish.threads, "cuda", tensorrt=True), ""


def _openvino(wish: Wish) -> tuple[Engine, str]:
    """In bf16 where that is shown to be right, else in fp32."""
    if wish.device == "cuda":
        raise DeviceError("OpenVINO runs on the processor here: ask for device cpu, or for another backend")
    if wish.reference is None or not has_bf16(the_core()):
        return OpenVINOBackend(wish.model, wish.threads, "fp32"), ""
    try:
        return _checked(OpenVINOBackend(wish.model, wish.threads, "bf16"), "bf16", wish)
    except DeviceError as error:
        return OpenVINOBackend(wish.model, wish.threads, "fp32"), str(error)


def _tensorrt(wish: Wish) -> tuple[Engine, str]:
    _need_gpu(wish, "tensorrt")
    try:
        from lmdeploy.backends.tensorrt import TensorRTBackend, available
    except ImportError as error:
        raise MissingExtraError(f"TensorRT cannot be used ({error})") from error
    reason = available()
    if reason:
        raise DeviceError(reason)
    return TensorRTBackend(wish.model), ""


NAMED: dict[BackendName, Offer] = {
    "onnxruntime": _onnxruntime,
    "onnxruntime-tensorrt": _onnxruntime_tensorrt,
    "openvino": _openvino,
    "tensorrt": _tensorrt,
}


def _need_gpu(wish: Wish, backend: str) -> None:
    if wish.device == "cpu":
        raise DeviceError(f"backend {backend} runs on a GPU: ask for device cuda, or for another backend")


def _need_reference(wish: Wish, engine: str) -> None:
    if wish.reference is None:
        raise DeviceError(f"{engine} is left out, for the bundle has no {FILE} to compare it with")


def _checked(engine: Engine, precision: str, wish: Wish) -> tuple[Engine, str]:
    """The engine and how near it is to the reference; DeviceError, and the engine closed, where that is too far."""
    assert wish.reference is not None, "an offer without a reference is not compared"
    limit = TOLERANCE_PX[precision]
    try:
        far = distance_px(engine, wish.reference)
        if far <= limit:
            return engine, f"99 % of points within {far:.3f} px of the bundle's reference, {limit} px allowed"
    except LmdeployError:
        engine.close()
        raise
    engine.close()
    raise DeviceError(
        f"{engine.provider} is {far:.3g} px off the bundle's reference (99 % of points), {limit} px allowed"
    )
