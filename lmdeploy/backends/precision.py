"""The networks of a bundle by the numbers that they compute in."""

from __future__ import annotations

from pathlib import Path

from lmdeploy.bundle import Bundle
from lmdeploy.errors import InputError

FILES = {"fp32": "model.onnx", "fp16": "model.fp16.onnx", "int8": "model.int8.onnx"}
INT8_TENSORRT = "model.int8.trt.onnx"  # zero point 0 throughout, the only kind that TensorRT takes


def held(bundle: Bundle) -> list[str]:
    """Precisions that the bundle has a file of."""
    return [precision for precision, name in FILES.items() if name in bundle.manifest.files]


def file_of(bundle: Bundle, precision: str, *, tensorrt: bool = False) -> Path:
    """The file to run; InputError with the command that makes it where the bundle lacks it.

    precision: fp32, fp16 or int8. tensorrt: of int8 the file for TensorRT; a file that stands alone is itself.
    """
    name = FILES[precision]
    if tensorrt and precision == "int8" and not bundle.alone:
        name = INT8_TENSORRT
    if name not in bundle.manifest.files:
        raise InputError(
            f"{bundle.path} holds no {name}: 'lmdeploy export CHECKPOINT -o BUNDLE --precision {precision}' makes it; "
            "or ask for precision auto"
        )
    return bundle.file(name)
