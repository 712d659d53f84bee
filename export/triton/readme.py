"""The README.md beside a model: how to start a server, how to ask it, and how to build the engine on the target."""

from __future__ import annotations

from export.triton.config import Graph, Serving

TEXT = """\
# {name}

Landmarks of crops, written by `lmdeploy export --triton`.

| tensor | type | shape | meaning |
|---|---|---|---|
| `images` (in) | UINT8 | [B, {size}, {size}, 3] | RGB crops, B at most {batch} |
{outputs}
Ask for binary outputs: a value that does not exist is NaN, and JSON has no NaN.

## Start

    tritonserver --model-repository DIR --model-control-mode explicit --load-model {name}

runs `{name}` with Triton's ONNX Runtime backend. Load by name as above: a server that loads everything in DIR stops at
a model that it has no backend or no engine for. On GPUs with TF32, set `NVIDIA_TF32_OVERRIDE=0` for float32's points.
"""

OUTPUTS = {
    "points": "(x, y) in pixels of the crop, (0, 0) is the centre of the first",
    "score": "0 to 1",
    "spread": "pixels of the crop; NaN where the model has none",
    "nnm": "see the model card",
}

TENSORRT = """
## TensorRT

An engine runs on the GPU and the TensorRT version that built it, so none is shipped. On the target, with the trtexec
of the server's TensorRT (for the server's container: the TensorRT container of the same month), in DIR:

    version={version}
    trtexec --onnx={name}/$version/model.onnx --saveEngine=model.plan --stronglyTyped --noTF32 \\
        --minShapes=images:1x{size}x{size}x3 --optShapes=images:{best}x{size}x{size}x3 \\
        --maxShapes=images:{batch}x{size}x{size}x3
    mkdir -p {name}_tensorrt/$version && mv model.plan {name}_tensorrt/$version/

Then start the server with `--load-model {name}_tensorrt`. The types are those of the file: a half-precision engine
comes from a half-precision file (the bundle's `model.fp16.onnx`, where it has one) with the same command.
"""

PYTHON = """
## Python

`{name}_python` runs the same `model.onnx` with the ONNX Runtime of the server's Python (numpy and onnxruntime must be
installed there), on the CPU, for servers that have no ONNX Runtime backend.
"""


def readme(name: str, graph: Graph, serving: Serving) -> bytes:
    """Markdown of the model's folder, with the commands spelled out."""
    rows = [f"| `{n}` | FP32 | [B, {graph.points}{', 2' * (n == 'points')}] | {OUTPUTS[n]} |\n" for n in graph.outputs]
    text = TEXT + (TENSORRT if serving.device != "cpu" else "") + (PYTHON if serving.python else "")
    return text.format(
        name=name,
        size=graph.size,
        batch=serving.max_batch,
        best=min(8, serving.max_batch),
        version=serving.version or 1,
        outputs="".join(rows),
    ).encode()
