"""What every inference engine offers to the runtime, and the names by which one is asked for."""

from __future__ import annotations

from typing import Literal, Protocol, get_args

from lmdeploy.types import U8, Prediction

Device = Literal["auto", "cpu", "cuda"]
BackendName = Literal["auto", "onnxruntime", "onnxruntime-tensorrt", "openvino", "tensorrt"]
DEVICES: tuple[str, ...] = get_args(Device)
Precision = Literal["auto", "fp32", "fp16", "int8"]
BACKENDS: tuple[str, ...] = get_args(BackendName)
PRECISIONS: tuple[str, ...] = get_args(Precision)
BACKEND_HELP = "What runs a bundle; auto: the fastest here that gives the points of the bundle's reference.npz."
PRECISION_HELP = (
    "Which of the bundle's files runs; auto: the float32 one on processors (OpenVINO computes it in bf16), the fp16 "
    "one on GPUs where it gives the points of the bundle's reference.npz."
)


class Backend(Protocol):
    """A loaded network on one provider; safe to call from one thread at a time."""

    provider: str
    """Name of the provider that really runs the network, with its precision where that is not plain float32:
    CPUExecutionProvider, `CPUExecutionProvider int8`, `OpenVINO CPU bf16`."""

    def run(self, crops: U8) -> Prediction:
        """Landmarks of crops u8[B,S,S,3] RGB, in crop px."""
        ...

    def close(self) -> None:
        """Free the session; a second call does nothing."""
        ...


class Engine(Backend, Protocol):
    """A backend that was opened from an exported graph, and so knows the graph's sizes."""

    size: int
    """Side of its crops, px."""
    points: int
    """How many landmarks it finds."""
