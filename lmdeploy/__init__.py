"""Landmark detectors: one file, real-time inference, refreshed on site behind a gate."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmdeploy.bundle import Bundle, read_bundle
    from lmdeploy.errors import BundleError, DataError, DeviceError, GateRefusedError, InputError, LmdeployError
    from lmdeploy.landmarker import Landmarker
    from lmdeploy.results import to_numpy, to_pandas
    from lmdeploy.schema import LandmarkSchema, load_schema
    from lmdeploy.types import Box, Landmarks

__version__ = "0.1.0"

# Names are loaded on first use, so that `import lmdeploy` costs neither OpenCV nor ONNX Runtime.
_HOME = {
    "Box": "types",
    "Bundle": "bundle",
    "BundleError": "errors",
    "DataError": "errors",
    "DeviceError": "errors",
    "GateRefusedError": "errors",
    "InputError": "errors",
    "LandmarkSchema": "schema",
    "Landmarker": "landmarker",
    "Landmarks": "types",
    "LmdeployError": "errors",
    "load_schema": "schema",
    "read_bundle": "bundle",
    "to_numpy": "results",
    "to_pandas": "results",
}

__all__ = [
    "Box",
    "Bundle",
    "BundleError",
    "DataError",
    "DeviceError",
    "GateRefusedError",
    "InputError",
    "LandmarkSchema",
    "Landmarker",
    "Landmarks",
    "LmdeployError",
    "load_schema",
    "read_bundle",
    "to_numpy",
    "to_pandas",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'lmdeploy' has no attribute {name!r}")
    return getattr(import_module(f"lmdeploy.{_HOME[name]}"), name)
