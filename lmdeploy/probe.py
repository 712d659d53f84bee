"""A tiny graph with a known answer, and one try of it on one engine, in a process of its own.

`python -m lmdeploy.probe ENGINE` prints one JSON object; doctor starts it once an engine, since a broken driver or a
library that does not fit may end the process that loads it.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmdeploy.errors import LmdeployError

if TYPE_CHECKING:
    from lmdeploy.backends.base import Engine

SIDE = 16
COLOUR = (64, 128, 32)
"""The crop's one colour; the graph answers points (red, green), score blue / 255, spread blue."""
TOLERANCE = 0.5  # grey levels; bf16 is exact here
LIBRARIES = re.compile(
    r"/(onnxruntime_pybind|lib(onnxruntime|openvino|tbb|nvinfer|nvonnxparser|cuda|cudart|cudnn|cublas|cufft|curand))[^/]*$"
)

_PACKED = (
    "eNrFk82OlEAQx+nmq6fiZphezY5ZNS7rwXDaj4vZg05YTyReRk/egCldItAdmtmviz6J2YfxIfZttGFgNBDPW6QSqupHV6X6D4OznwxegpMV"
    "8VdU3P6Si7j2rfNY1cEEaC3m5I5QeA2bCifX/uRTFZdKCoXBDCyJVbEwFuaCLOgdcWEXyLWGs0pp+EafJMpLeATkhpNb31pivoY9ILfgKExF"
    "ueJWEUvVYcfQRuDIPE71NFaBcenDElfrFD/o92AK7BuiXGWFmhvNYM+ghcCsxBV3UpGLdeW7S1QXsUQ4hC4FND3SftI4d6TIylr59sc8SxEO"
    "/oEa4LSFrCRfY4/oLk0IpiiRO0pWGK/+dtmHLgX21UVWI7dVKir0zffZJbdlJRIM7ikzN49Hws16ol/UGNmPd8bD2tuB/y/3QDbeT/Cm3Sth"
    "RG+2U1X0akyO4+AFo54bdmqLvP46zP7kQ31bbthIK5r/7owMIa4bu6HWV8SMYe4kYnSYO43Y9tv9doBGVZE3bBBMG6W0goosw/h+/vlg+5vu"
    "wRNG+QxMTkKgzOvcTJ5DJ26+CzNG+E6PEO00mcNGmnwKO7o62VaTp72GR6XQAsN7/AdZ5p4p"
)


def probe_model() -> bytes:
    """The graph as ONNX bytes; tests build the same with the onnx package."""
    return zlib.decompress(base64.b64decode(_PACKED))


def _onnxruntime(**how: Any) -> Engine:
    from lmdeploy.backends.ort import OrtBackend

    return OrtBackend(probe_model(), 1, **how)


def _openvino(precision: Any) -> Engine:
    from lmdeploy.backends.openvino import OpenVINOBackend

    return OpenVINOBackend(probe_model(), 1, precision)


def _tensorrt() -> Engine:
    from lmdeploy.backends.tensorrt import TensorRTBackend

    return TensorRTBackend(probe_model(), show=False)


ENGINES: dict[str, Callable[[], Engine]] = {
    "ONNX Runtime CPU": lambda: _onnxruntime(device="cpu"),
    "OpenVINO CPU bf16": lambda: _openvino("bf16"),
    "OpenVINO CPU fp32": lambda: _openvino("fp32"),
    "ONNX Runtime CUDA": lambda: _onnxruntime(device="cuda"),
    "TensorRT": _tensorrt,
    "ONNX Runtime TensorRT": lambda: _onnxruntime(device="cuda", tensorrt=True),
}


def probe(name: str) -> dict[str, Any]:
    """What came of trying the graph on an engine: `provider` that ran, `problem` (empty: it works), `libraries`."""
    provider, problem = "", ""
    try:
        engine = ENGINES[name]()
        provider, problem = engine.provider, _wrong(engine)
        engine.close()
    except LmdeployError as error:
        problem = str(error)
    return {"provider": provider, "problem": problem, "libraries": loaded_libraries()}


def loaded_libraries(maps: Path = Path("/proc/self/maps")) -> list[str]:
    """Paths of the engines' shared libraries in this process; empty where the system does not tell."""
    try:
        lines = maps.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return sorted({line[line.index("/") :] for line in lines if "/" in line and LIBRARIES.search(line)})


def _wrong(engine: Engine) -> str:
    """What is wrong with the answers to one crop and to three."""
    for count in (1, 3):
        found = engine.run(np.full((count, SIDE, SIDE, 3), COLOUR, np.uint8))
        far = np.abs(found.points - np.array(COLOUR[:2])).max()
        if found.points.shape != (count, 1, 2) or not far <= TOLERANCE:
            return f"it runs, but gives {found.points.ravel().tolist()} instead of {COLOUR[:2]} for {count} crops"
    return ""


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe(sys.argv[1])) + "\n")
