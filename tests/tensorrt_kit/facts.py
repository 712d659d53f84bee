"""What is known of TensorRT, as goldens: names of 10.16 and 11.4, the parser's operators, cuda-bindings' signatures.

`write` makes them again from the facts beside the checkout and from the installed cuda-bindings.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1] / "golden" / "tensorrt"
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "spec" / "tensorrt"
FULL = {"10": "10.16.1.11", "11": "11.4.0.106"}
CLASSES = [
    "Builder",
    "BuilderFlag",
    "DataType",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "IProgressMonitor",
    "ITensor",
    "ITimingCache",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "OnnxParser",
    "ParserError",
    "Runtime",
    "TensorIOMode",
]
CUDA = [
    "cudaDriverGetVersion",
    "cudaFree",
    "cudaFreeHost",
    "cudaGetDeviceCount",
    "cudaGetDeviceProperties",
    "cudaGetErrorName",
    "cudaGetErrorString",
    "cudaGetLastError",
    "cudaGraphDestroy",
    "cudaGraphExecDestroy",
    "cudaGraphInstantiate",
    "cudaGraphLaunch",
    "cudaMalloc",
    "cudaMallocHost",
    "cudaMemcpyAsync",
    "cudaSetDevice",
    "cudaStreamBeginCapture",
    "cudaStreamCreateWithFlags",
    "cudaStreamDestroy",
    "cudaStreamEndCapture",
    "cudaStreamSynchronize",
]
CUDA_VALUES = {
    "cudaMemcpyKind": ("cudaMemcpyHostToDevice", "cudaMemcpyDeviceToHost"),
    "cudaStreamCaptureMode": ("cudaStreamCaptureModeThreadLocal",),
    "cudaDeviceProp": ("name", "major", "minor", "multiProcessorCount"),
}
CUDA_CONSTANTS = ("cudaStreamNonBlocking",)


def golden(name: str) -> dict[str, Any]:
    """A golden by its stem."""
    value: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text())
    return value


def members(major: str) -> dict[str, frozenset[str]]:
    """Public names of each class and enumeration of one major version."""
    return {kind: frozenset(names) for kind, names in golden("api")[FULL[major]].items()}


def api_from(shared: Path) -> dict[str, Any]:
    """The part of the facts that this project uses."""
    origin = "public names of the official Python bindings, read by importing them; no engine was built"
    out: dict[str, Any] = {"origin": origin}
    for major, full in FULL.items():
        told = json.loads((shared / f"api_{'.'.join(full.split('.')[:2])}.json").read_text())
        out[FULL[major]] = {kind: next(iter(told[kind].values())) for kind in CLASSES}
    return out


def operators_from(shared: Path) -> dict[str, Any]:
    """The parser's table: of each supported operator its types and restrictions."""
    with (shared / "onnx_operators.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["supported"] == "Y"]
    origin = "the parser's operator table of 2024-06 (TensorRT 10.1)"
    table = {
        r["operator"]: {"types": re.findall(r"\w+", r["types"]), "restrictions": r["restrictions"] or ""} for r in rows
    }
    return {"origin": origin, "operators": table}


def cuda_from_installed() -> dict[str, Any]:
    """Number of parameters of each function, and the names of the values that are used, as installed."""
    import cuda.bindings.runtime as runtime

    functions = {}
    for name in CUDA:
        inside = re.match(rf"{name}\((.*?)\)", getattr(runtime, name).__doc__ or "")
        assert inside, f"{name} has no signature in its documentation"
        functions[name] = len([p for p in inside[1].split(",") if p.strip()])
    values = {kind: [n for n in names if hasattr(getattr(runtime, kind), n)] for kind, names in CUDA_VALUES.items()}
    constants = [name for name in CUDA_CONSTANTS if hasattr(runtime, name)]
    origin = "cuda-bindings 13.5.0, signatures as documented there"
    return {"origin": origin, "functions": functions, "values": values, "constants": constants}


def write() -> None:
    """Write all three goldens."""
    HERE.mkdir(parents=True, exist_ok=True)
    for name, value in (
        ("api", api_from(SHARED)),
        ("onnx_operators", operators_from(SHARED)),
        ("cuda", cuda_from_installed()),
    ):
        lines = json.dumps(value, indent=1)
        short = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", lines)
        (HERE / f"{name}.json").write_text(short + "\n")


if __name__ == "__main__":
    write()
