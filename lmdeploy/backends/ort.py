"""ONNX Runtime: the backend that every machine has."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from lmdeploy.backends.cores import default_threads
from lmdeploy.errors import BundleError, DeviceError, InputError, MissingExtraError
from lmdeploy.types import U8, Prediction

Device = Literal["auto", "cpu", "cuda"]
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
REQUIRED = ("points", "score", "spread")
ONLY_FATAL = 4  # everything else reaches the user as an exception, once


class OrtBackend:
    """A network of design.md's exported graph in an ONNX Runtime session.

    Args:
        source: path of the ONNX file, or its bytes.
        threads: threads inside one operator; default the physical cores, at most four. There is one thread
            between operators: landmark networks are chains.
        spin: threads wait for each other awake. That is faster on free cores; where all cores are busy with other
            work it takes twice as long and twice the processor (benchmarks/latency.py shows both).
        device: `cpu`, `cuda` (DeviceError when the session does not really run on it) or `auto` (CUDA where it works).
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
    ) -> None:
        """Load, check names and shapes, and note which provider is in use."""
        if threads is not None and threads < 1:
            raise InputError(f"threads must be at least 1, got {threads}")
        self._origin = "the ONNX file" if isinstance(source, bytes) else str(source)
        self.session: Any = _open(source, _options(threads or default_threads(), spin), device, self._origin)
        self.provider: str = self.session.get_providers()[0]
        if device == "cuda" and self.provider != CUDA:
            raise DeviceError(f"cuda was asked for but {self.provider} is in use: {_how_to_get_cuda()}")
        self.threads = threads or default_threads()
        self.size, self.points, self.outputs = _check_graph(self.session, self._origin)

    def run(self, crops: U8) -> Prediction:
        """Landmarks of crops u8[B,S,S,3] RGB, in crop px; points, score and spread as in types.Prediction."""
        if self.session is None:
            raise InputError(f"{self._origin} is closed: open it again before predicting")
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (self.size, self.size, 3):
            raise InputError(
                f"crops must be uint8 [B,{self.size},{self.size},3], got {crops.dtype} {list(crops.shape)}"
            )
        return Prediction(*self.session.run(self.outputs, {"images": crops}))

    def close(self) -> None:
        """Free the session; a second call does nothing."""
        self.session = None


def _options(threads: int, spin: bool) -> Any:
    options = _import().SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ONLY_FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
    return options


def _open(source: Path | str | bytes, options: Any, device: Device, origin: str) -> Any:
    """A session on the first provider that works."""
    ort = _import()
    providers = _providers(ort, device)
    content = source if isinstance(source, bytes) else str(source)
    try:
        # ONNX Runtime's own fallback prints on standard output, where results go
        return ort.InferenceSession(content, options, providers=providers, enable_fallback=0)
    except _load_errors() as error:
        if device == "auto" and providers[0] == CUDA:
            return _open(source, options, "cpu", origin)
        if device == "cuda":
            raise DeviceError(f"cuda does not start ({_first_line(error)}): {_how_to_get_cuda()}") from error
        raise BundleError(f"{origin} cannot be loaded ({_first_line(error)}); export the model again") from error


def _import() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            "running a network needs ONNX Runtime: pip install 'landmark-deploy[cpu]' (or [gpu])"
        ) from error
    return onnxruntime


def _providers(ort: Any, device: Device) -> list[str]:
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"device {device!r} is none of auto, cpu, cuda")
    has_cuda = CUDA in ort.get_available_providers()
    if device == "cuda" and not has_cuda:
        raise DeviceError(f"cuda was asked for but this ONNX Runtime has no {CUDA}: {_how_to_get_cuda()}")
    if device == "cpu" or not has_cuda:
        return [CPU]
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    return [CUDA, CPU]


def _load_errors() -> tuple[type[Exception], ...]:
    """What a session's constructor raises; ONNX Runtime's own errors share no base but Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidProtobuf", "InvalidGraph", "InvalidArgument", "NoSuchFile", "NotImplemented")
    return (*(getattr(state, n) for n in (*names, "RuntimeException", "EPFail")), RuntimeError, ValueError, OSError)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _how_to_get_cuda() -> str:
    return "install 'landmark-deploy[gpu]' without [cpu] on a machine with a CUDA driver, or ask for device cpu"


def _check_graph(session: Any, origin: str) -> tuple[int, int, list[str]]:
    """(crop size, number of points, names of the outputs to fetch) of an exported graph; BundleError otherwise."""
    inputs = {i.name: i for i in session.get_inputs()}
    outputs = {o.name: o for o in session.get_outputs()}
    again = "export the model with 'lmdeploy export'"
    if list(inputs) != ["images"] or inputs["images"].type != "tensor(uint8)":
        raise BundleError(f"{origin}: the only input must be uint8 'images', found {sorted(inputs)}; {again}")
    missing = [name for name in REQUIRED if name not in outputs]
    if missing:
        raise BundleError(f"{origin}: no output {', '.join(missing)} (found {sorted(outputs)}); {again}")
    shape = inputs["images"].shape
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3 or not isinstance(shape[1], int):
        raise BundleError(f"{origin}: 'images' must be [B,S,S,3] with a fixed S, found {shape}; {again}")
    names = [*REQUIRED, *(["nnm"] if "nnm" in outputs else [])]
    problem = _wrong_output({n: outputs[n] for n in names})
    if problem:
        raise BundleError(f"{origin}: {problem}; {again}")
    return int(shape[1]), int(outputs["points"].shape[1]), names


def _wrong_output(outputs: dict[str, Any]) -> str:
    """What is wrong with the outputs: points must be f32 [B,K,2], the rest f32 [B,K], all of one fixed K."""
    shape = outputs["points"].shape
    if len(shape) != 3 or not isinstance(shape[1], int):
        return f"'points' must be [B,K,2] with a fixed K, found {shape}"
    for name, output in outputs.items():
        wanted = [shape[1], 2] if name == "points" else [shape[1]]
        if output.type != "tensor(float)" or output.shape[1:] != wanted:
            return f"'{name}' must be float32 ['B', {', '.join(map(str, wanted))}], found {output.type} {output.shape}"
    return ""
