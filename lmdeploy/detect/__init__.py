"""Boxes for a frame: the whole image, Haar (OpenCV 4), YuNet (a model file given by the user), or a user's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lmdeploy.detect.base import BoxFinder, Detector
from lmdeploy.detect.custom import Custom
from lmdeploy.detect.haar import Haar
from lmdeploy.detect.whole_image import WholeImage
from lmdeploy.detect.yunet import YuNet
from lmdeploy.errors import InputError

__all__ = [
    "DETECTORS",
    "BoxFinder",
    "Custom",
    "Detector",
    "Haar",
    "WholeImage",
    "YuNet",
    "check_detector",
    "detector_opener",
    "open_detector",
]

DETECTORS: dict[str, Callable[[Path], Detector]] = {
    "haar": lambda _: Haar(),
    "whole_image": lambda _: WholeImage(),
    "yunet": YuNet,
}


def check_detector(name: str, model_path: str | Path | None = None) -> None:
    """Refuse an unknown name or a missing YuNet file with an InputError, without loading OpenCV."""
    if name not in DETECTORS:
        raise InputError(f"no detector {name!r}: choose one of {', '.join(sorted(DETECTORS))}")
    if name == "yunet" and model_path is None:
        raise InputError(
            "the yunet detector needs its model file: --yunet face_detection_yunet_2023mar.onnx, in Python yunet=PATH"
        )
    if name == "yunet" and not Path(str(model_path)).is_file():
        raise InputError(
            f"{model_path}: no such YuNet model file; give OpenCV Zoo's face_detection_yunet_2023mar.onnx"
        )


def open_detector(name: str, model_path: str | Path | None = None) -> Detector:
    """The detector of that name; `model_path` is YuNet's file. InputError says what is missing."""
    check_detector(name, model_path)
    return DETECTORS[name](Path(model_path or ""))


def detector_opener(detector: str | BoxFinder, model_path: str | Path | None = None) -> Callable[[], Detector]:
    """What opens a detector when it is first needed; what can be told to be wrong is told now, with an InputError."""
    if isinstance(detector, str):
        check_detector(detector, model_path)
        return lambda: open_detector(detector, model_path)
    custom = Custom(detector)
    return lambda: custom
