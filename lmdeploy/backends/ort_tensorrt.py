"""ONNX Runtime's TensorRT provider: its options, and where it keeps its engines.

The packages of ONNX Runtime on the public index are linked to TensorRT 10, so this needs libnvinfer.so.10; for
TensorRT 11, and in general, the backend `tensorrt` is the better choice. It runs only when it is asked for by name.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from pathlib import Path
from typing import Any

from lmdeploy.errors import DeviceError

TENSORRT = "TensorrtExecutionProvider"
LIBRARY = "nvinfer_10.dll" if os.name == "nt" else "libnvinfer.so.10"
LARGEST_BATCH = 32  # the runtime never gives more crops at once


def tensorrt_provider(ort: Any, source: Path | str | bytes, size: int) -> tuple[str, dict[str, str]]:
    """The provider and its options for a network on crops of `size` px; DeviceError where it cannot start.

    Engines and kernel timings stay in a folder of this user, this file and this version of ONNX Runtime: an engine is
    code, so one is never taken from a folder that others may write to.
    """
    if TENSORRT not in ort.get_available_providers():
        raise DeviceError(f"this ONNX Runtime has no {TENSORRT}: install 'landmark-deploy[gpu]' without [cpu]")
    try:
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise DeviceError(
            f"{TENSORRT} needs TensorRT 10 ({error}): pip install 'tensorrt-cu13>=10,<11', or ask for backend tensorrt"
        ) from error
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    return TENSORRT, _options(_folder(hashlib.sha256(content).hexdigest(), ort.__version__), size)


def _folder(digest: str, version: str) -> Path:
    from lmdeploy.backends.tensorrt.cache import EngineCache, default_folder

    return EngineCache(default_folder().with_name("onnxruntime-tensorrt") / f"{digest}-{version}").folder


def _options(folder: Path, size: int) -> dict[str, str]:
    def shapes(batch: int) -> str:
        return f"images:{batch}x{size}x{size}x3"

    return {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(folder),
        "trt_fp16_enable": "False",  # of a float32 file it would round decoding, too
        "trt_profile_min_shapes": shapes(1),
        "trt_profile_opt_shapes": shapes(1),
        "trt_profile_max_shapes": shapes(LARGEST_BATCH),
    }
