"""Which engine runs a bundle: the one that was asked for or none, and for `auto` the fastest that is right here."""

from __future__ import annotations

import logging
from functools import cache

from lmdeploy.backends.base import BACKENDS, DEVICES, PRECISIONS, BackendName, Device, Engine, Precision
from lmdeploy.backends.offers import ON_CPU, ON_CUDA, OPENVINO, ORT_TENSORRT, TENSORRT, Offer, Wish
from lmdeploy.backends.precision import file_of, held
from lmdeploy.backends.reference import TOLERANCE_PX, distance_px
from lmdeploy.bundle import Bundle
from lmdeploy.errors import BundleError, DeviceError, InputError, LmdeployError, MissingExtraError

LOG = logging.getLogger(__name__)

OFFERS: dict[BackendName, dict[Device, tuple[Offer, ...]]] = {
    "auto": {"auto": (TENSORRT, ON_CUDA, OPENVINO, ON_CPU), "cpu": (OPENVINO, ON_CPU), "cuda": (TENSORRT, ON_CUDA)},
    "onnxruntime": {"auto": (ON_CUDA, ON_CPU), "cpu": (ON_CPU,), "cuda": (ON_CUDA,)},
    "onnxruntime-tensorrt": {"auto": (ORT_TENSORRT,), "cuda": (ORT_TENSORRT,)},
    "openvino": {"auto": (OPENVINO,), "cpu": (OPENVINO,)},
    "tensorrt": {"auto": (TENSORRT,), "cuda": (TENSORRT,)},
}
"""What is tried for a backend on a device, fastest first."""


def open_engine(
    bundle: Bundle, backend: BackendName, device: Device, threads: int | None, precision: Precision = "auto"
) -> Engine:
    """An open engine for one of a bundle's networks.

    An engine, device or precision that is asked for by name is used, or DeviceError (exit code 4) says why it cannot
    be; InputError when the bundle has no file of that precision. `auto` takes the first of TensorRT, CUDA, OpenVINO
    and ONNX Runtime on the processor that is installed, works, and gives the points of the bundle's reference.npz;
    on GPUs the fp16 file comes before model.onnx. It logs once what it took. Without a reference it stays with
    model.onnx on ONNX Runtime.
    """
    _check_names(backend, device, precision)
    if precision == "auto" and "fp32" not in held(bundle):
        precision = "fp16" if "fp16" in held(bundle) else "int8"  # a file that stands alone
    if precision != "auto":
        file_of(bundle, precision)
    wish = Wish(bundle, backend, device, precision, threads)
    engine, why = _first(_offers(backend, device), wish)
    if why:
        _say(f"{bundle.spec.name} runs on {engine.provider}: {why}")
    return engine


@cache
def _say(sentence: str) -> None:
    """Tell people something once, however often a model is opened."""
    LOG.info(sentence)


def _check_names(backend: str, device: str, precision: str) -> None:
    if backend not in BACKENDS or device not in DEVICES or precision not in PRECISIONS:
        raise InputError(
            f"backend {backend!r} on device {device!r} in {precision!r}: backends are {', '.join(BACKENDS)}; devices "
            f"are {', '.join(DEVICES)}; precisions are {', '.join(PRECISIONS)}"
        )


def _offers(backend: BackendName, device: Device) -> tuple[Offer, ...]:
    if device not in OFFERS[backend]:
        place, other = ("a GPU", "cuda") if device == "cpu" else ("the processor", "cpu")
        raise DeviceError(f"backend {backend} runs on {place} here: ask for device {other}, or for another backend")
    return OFFERS[backend][device]


def _first(offers: tuple[Offer, ...], wish: Wish) -> tuple[Engine, str]:
    """The first offer that holds and why; it is told what failed before it, but not what merely is not installed."""
    failed: list[str] = []
    last: LmdeployError | None = None
    for offer in offers:
        try:
            engine, why = _best(offer, wish)
        except MissingExtraError as error:
            last = error
        except (DeviceError, BundleError, InputError) as error:
            failed.append(str(error))
            last = error
        else:
            return engine, "; ".join(filter(None, [why, *failed]))
    assert last is not None, "every backend has an offer"
    if wish.by_name and isinstance(last, MissingExtraError):
        raise DeviceError(f"backend {wish.backend} was asked for: {last}") from last
    raise DeviceError("; ".join(failed)) if wish.device == "cuda" and failed and not wish.by_name else last


def _best(offer: Offer, wish: Wish) -> tuple[Engine, str]:
    """An engine in the first precision that works and is right, and why it is that one; the last one's error."""
    failed: list[str] = []
    *early, final = offer.precisions(wish)
    for precision in early:
        try:
            engine, why = _opened(offer, precision, wish)
        except (DeviceError, BundleError) as error:
            failed.append(str(error))
        else:
            return engine, why
    engine, why = _opened(offer, final, wish)
    return engine, "; ".join(filter(None, [why, *failed]))


def _opened(offer: Offer, precision: str, wish: Wish) -> tuple[Engine, str]:
    """An engine that is compared with the reference where nobody asked for it as it is."""
    engine = offer.open(wish, precision)
    if wish.by_name and (precision == "fp32" or wish.precision != "auto"):
        return engine, ""
    if offer is ON_CPU and precision == "fp32":
        return engine, "the engine that every machine has"
    if wish.reference is None:
        return engine, "the bundle has no reference"
    return engine, _distance(engine, precision, wish)


def _distance(engine: Engine, precision: str, wish: Wish) -> str:
    """How near the engine is to the reference; DeviceError, and the engine closed, where that is too far."""
    assert wish.reference is not None, "without a reference nothing is compared"
    limit = TOLERANCE_PX[precision]
    try:
        far = distance_px(engine, wish.reference)
        if far <= limit:
            return f"99 % of points within {far:.3f} px of the bundle's reference, {limit} px allowed"
    except LmdeployError:
        engine.close()
        raise
    engine.close()
    raise DeviceError(
        f"{engine.provider} is {far:.3g} px off the bundle's reference (99 % of points), {limit} px allowed"
    )
