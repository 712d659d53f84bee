"""What a Triton server must know of an exported graph, as text of a config.pbtxt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from export.triton.pbtxt import Message, Word, pbtxt
from lmdeploy.backends.ort import OrtBackend

KINDS = {"auto": "KIND_AUTO", "cpu": "KIND_CPU", "gpu": "KIND_GPU"}
ALWAYS = {"tensorrt": "gpu", "python": "cpu"}  # what a backend runs on, whatever the machine has


class Serving(BaseModel):
    """How a server runs the models.

    version: number of the version to write; needed where the model exists, else 1.
    device: where NAME runs; auto is every GPU, or the CPU where there is none. NAME_tensorrt is not made for cpu.
    instances: copies of a model that run side by side, on each GPU where they run on GPUs.
    max_batch: the most crops a batch may have.
    delay_us: how long the oldest request may wait for others to share its batch, microseconds.
    python: NAME_python, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int | None = Field(default=None, ge=1)
    device: Literal["auto", "cpu", "gpu"] = "auto"
    instances: int = Field(default=1, ge=1)
    max_batch: int = Field(default=32, ge=1)
    delay_us: int = Field(default=2000, ge=0)
    python: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """Names and sizes of an exported graph: crops u8[B,size,size,3] in, K points out."""

    size: int
    points: int
    outputs: tuple[str, ...]


def config(name: str, backend: str, graph: Graph, serving: Serving) -> str:
    """Text of the config.pbtxt of one model."""
    kind = ALWAYS.get(backend, serving.device)
    sizes = {name: [graph.points, 2] if name == "points" else [graph.points] for name in graph.outputs}
    preferred = [size for size in (4, 8, 16, 32, 64) if size <= serving.max_batch] or [serving.max_batch]
    batching: Message = {"preferred_batch_size": preferred, "max_queue_delay_microseconds": serving.delay_us}
    message: Message = {
        "name": name,
        "backend": backend,
        "max_batch_size": serving.max_batch,
        "input": [{"name": "images", "data_type": Word("TYPE_UINT8"), "dims": [graph.size, graph.size, 3]}],
        "output": [{"name": n, "data_type": Word("TYPE_FP32"), "dims": dims} for n, dims in sizes.items()],
        "instance_group": [{"count": serving.instances, "kind": Word(KINDS[kind])}],
        "dynamic_batching": batching,
    }
    return pbtxt(message)


def graph_of(onnx: Path) -> Graph:
    """Names and sizes of an ONNX file; BundleError where it is none of ours."""
    backend = OrtBackend(onnx, 1, "cpu")
    graph = Graph(backend.size, backend.points, tuple(backend.outputs))
    backend.close()
    return graph
