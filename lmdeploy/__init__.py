"""Landmark detectors: one file, real-time inference, refreshed on site behind a gate."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmdeploy.bundle import Bundle, read_bundle
    from lmdeploy.detect import open_detector
    from lmdeploy.detect.base import BoxFinder
    from lmdeploy.errors import (
        BundleError,
        DataError,
        DeviceError,
        GateRefusedError,
        InputError,
        LmdeployError,
        MissingExtraError,
    )
    from lmdeploy.evaluate import Evaluation, evaluate_folder
    from lmdeploy.images import read_image
    from lmdeploy.landmarker import Landmarker
    from lmdeploy.model import open_model
    from lmdeploy.pose import head_pose
    from lmdeploy.results import to_numpy, to_pandas
    from lmdeploy.schema import LandmarkSchema, load_schema
    from lmdeploy.show.live import Show
    from lmdeploy.types import Box, HeadPose, Landmarks
    from lmdeploy.video.champion import Champion
    from lmdeploy.video.draw import draw_faces
    from lmdeploy.video.frame import Frame
    from lmdeploy.video.smooth import OneEuroConfig
    from lmdeploy.video.stream import Seen, Stream
    from lmdeploy.writers.pictures import write_image
    from lmdeploy.writers.several import Writers

__version__ = "0.1.0"

# Names are loaded on first use, so that `import lmdeploy` costs neither OpenCV nor ONNX Runtime.
_HOME = {
    "Box": "types",
    "BoxFinder": "detect.base",
    "Bundle": "bundle",
    "BundleError": "errors",
    "Champion": "video.champion",
    "DataError": "errors",
    "DeviceError": "errors",
    "Evaluation": "evaluate",
    "Frame": "video.frame",
    "GateRefusedError": "errors",
    "HeadPose": "types",
    "InputError": "errors",
    "LandmarkSchema": "schema",
    "Landmarker": "landmarker",
    "Landmarks": "types",
    "LmdeployError": "errors",
    "MissingExtraError": "errors",
    "OneEuroConfig": "video.smooth",
    "Seen": "video.stream",
    "Show": "show.live",
    "Stream": "video.stream",
    "Writers": "writers.several",
    "draw_faces": "video.draw",
    "evaluate_folder": "evaluate",
    "head_pose": "pose",
    "load_schema": "schema",
    "open_detector": "detect",
    "open_model": "model",
    "read_bundle": "bundle",
    "read_image": "images",
    "to_numpy": "results",
    "to_pandas": "results",
    "write_image": "writers.pictures",
}

__all__ = [
    "Box",
    "BoxFinder",
    "Bundle",
    "BundleError",
    "Champion",
    "DataError",
    "DeviceError",
    "Evaluation",
    "Frame",
    "GateRefusedError",
    "HeadPose",
    "InputError",
    "LandmarkSchema",
    "Landmarker",
    "Landmarks",
    "LmdeployError",
    "MissingExtraError",
    "OneEuroConfig",
    "Seen",
    "Show",
    "Stream",
    "Writers",
    "draw_faces",
    "evaluate_folder",
    "head_pose",
    "load_schema",
    "open_detector",
    "open_model",
    "read_bundle",
    "read_image",
    "to_numpy",
    "to_pandas",
    "write_image",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'lmdeploy' has no attribute {name!r}")
    return getattr(import_module(f"lmdeploy.{_HOME[name]}"), name)
