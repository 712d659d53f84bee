"""ONNX Runtime: the backend that every machine has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lmdeploy.backends.base import DEVICES, Device
from lmdeploy.backends.contract import check_crops, check_graph, thread_count
from lmdeploy.backends.ort_tensorrt import TENSORRT, tensorrt_provider
from lmdeploy.errors import BundleError, DeviceError, InputError, LmdeployError, MissingExtraError
from lmdeploy.types import U8, Prediction

Provider = str | tuple[str, dict[str, str]]
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
LARGEST_CONSTANT = 1 << 28  # bytes; a file of 1 kB can ask for constants that fill any memory
NOISE = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from .*? failed:|Exception during initialization: "
    r"|\S*/onnxruntime/\S+:\d+ [^()]*\((?:[^()]|\([^()]*\))*\)(?: const)? "
)  # of its messages: codes, the path that ours names already, and places in its source
ONLY_FATAL = 4  # everything else reaches the user as an exception, once


class OrtBackend:
    """A network of design.md's exported graph in an ONNX Runtime session.

    Args:
        source: path of the ONNX file, or its bytes.
        threads: threads inside one operator; default the physical cores, at most four. There is one thread
            between operators: landmark networks are chains.
        spin: while a call runs its threads wait for each other awake, after it they sleep. That is faster on free
            cores; where all cores are busy with other work it takes twice as long and twice the processor
            (benchmarks/latency.py shows both).
        device: `cpu`, `cuda` (DeviceError when the session does not really run on it) or `auto` (CUDA where it works).
        tensorrt: through ONNX Runtime's TensorRT provider, with `device` cuda; see ort_tensorrt.
    `session` (the ONNX Runtime session) and `outputs` (the names it is asked for) are there for benchmarks and doctor.
    Errors: BundleError for a file that is not such a graph, MissingExtraError without onnxruntime.
    """

    def __init__(
        self,
        source: Path | str | bytes,
        threads: int | None = None,
        device: Device = "auto",
        *,
        spin: bool = True,
        tensorrt: bool = False,
    ) -> None:
        """Load, check names and shapes, and note which provider is in use."""
        self._origin = "the ONNX file" if isinstance(source, bytes) else str(source)
        self.threads = thread_count(threads)
        options = session_options(self.threads, spin)
        self.session: Any = _open(source, options, "cpu" if tensorrt else device, self._origin)
        self.size, self.points, self.outputs = _contract(self.session, self._origin)
        if tensorrt:
            self.session = _open_tensorrt(source, options, self.size)
        self.provider: str = self.session.get_providers()[0]
        wanted = TENSORRT if tensorrt else CUDA
        if device == "cuda" and self.provider != wanted:
            raise DeviceError(f"{wanted} was asked for but {self.provider} is in use: {_how_to_get_cuda()}")

    def run(self, crops: U8) -> Prediction:
        """Landmarks of crops u8[B,S,S,3] RGB, in crop px; points, score and spread as in types.Prediction."""
        if self.session is None:
            raise InputError(f"{self._origin} is closed: open it again before predicting")
        check_crops(crops, self.size)
        try:
            return Prediction(*self.session.run(self.outputs, {"images": crops}))
        except load_errors() as error:
            raise self._failed(len(crops), error) from error

    def close(self) -> None:
        """Free the session; a second call does nothing."""
        self.session = None

    def _failed(self, batch: int, error: Exception) -> LmdeployError:
        what = f"{self._origin} does not run on {batch} crops ({first_line(error)})"
        if self.provider.startswith(CPU):
            return BundleError(f"{what}; export the model again")
        return DeviceError(f"{what}; ask for device cpu, or give fewer crops at once")


def session_options(threads: int, spin: bool) -> Any:
    """ONNX Runtime's options as they are used here: bounded constants, and nothing printed."""
    options = import_onnxruntime().SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ONLY_FATAL
    options.add_session_config_entry("optimization.constant_folding_max_output_size_in_bytes", str(LARGEST_CONSTANT))
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
    # awake until the next call, they would take a whole core of a camera's 30 frames a second to gain 3 % of a call
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _open(source: Path | str | bytes, options: Any, device: Device, origin: str) -> Any:
    """A session on the first provider that works."""
    ort = import_onnxruntime()
    providers = _providers(ort, device)
    content = source if isinstance(source, bytes) else str(source)
    try:
        # ONNX Runtime's own fallback prints on standard output, where results go
        return ort.InferenceSession(content, options, providers=providers, enable_fallback=0)
    except load_errors() as error:
        if device == "auto" and providers != [CPU]:
            return _open(source, options, "cpu", origin)
        if device == "cuda":
            raise DeviceError(f"cuda does not start ({first_line(error)}): {_how_to_get_cuda()}") from error
        raise BundleError(f"{origin} cannot be loaded ({first_line(error)}); export the model again") from error


def _contract(session: Any, origin: str) -> tuple[int, int, list[str]]:
    try:
        return check_graph(session.get_inputs(), session.get_outputs(), origin)
    except UnicodeDecodeError as error:  # names reach Python as they stand in the file
        raise BundleError(f"{origin}: a name in it is not UTF-8; export the model again") from error


def _open_tensorrt(source: Path | str | bytes, options: Any, size: int) -> Any:
    ort = import_onnxruntime()
    providers = [tensorrt_provider(ort, source, size), *_providers(ort, "cuda")]
    content = source if isinstance(source, bytes) else str(source)
    try:
        return ort.InferenceSession(content, options, providers=providers, enable_fallback=0)
    except load_errors() as error:
        raise DeviceError(f"{TENSORRT} does not start ({first_line(error)}): {_how_to_get_cuda()}") from error


def import_onnxruntime() -> Any:
    """The `onnxruntime` module; MissingExtraError with the install command where it is missing."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            "running a network needs ONNX Runtime: pip install 'landmark-deploy[cpu]' (or [gpu])"
        ) from error
    return onnxruntime


def _providers(ort: Any, device: Device) -> list[Provider]:
    if device not in DEVICES:
        raise InputError(f"device {device!r} is none of auto, cpu, cuda")
    has_cuda = CUDA in ort.get_available_providers()
    if device == "cuda" and not has_cuda:
        raise DeviceError(f"cuda was asked for but this ONNX Runtime has no {CUDA}: {_how_to_get_cuda()}")
    if device == "cpu" or not has_cuda:
        return [CPU]
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    return [(CUDA, {"use_tf32": "0"}), CPU]  # who takes the float32 file wants float32's points


def load_errors() -> tuple[type[Exception], ...]:
    """What a session's constructor raises; ONNX Runtime's own errors share no base but Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidProtobuf", "InvalidGraph", "InvalidArgument", "NoSuchFile", "NotImplemented")
    return (*(getattr(state, n) for n in (*names, "RuntimeException", "EPFail")), RuntimeError, ValueError, OSError)


def first_line(error: Exception) -> str:
    """What ONNX Runtime says is wrong, without codes and places in its source."""
    lines = str(error).strip().splitlines()
    return NOISE.sub("", lines[0]) if lines else type(error).__name__


def _how_to_get_cuda() -> str:
    return "install 'landmark-deploy[gpu]' without [cpu] on a machine with a CUDA driver, or ask for device cpu"
