"""Faces by YuNet in ONNX Runtime, with a model file given by the user; none comes with the package.

OpenCV Zoo's face_detection_yunet_2023mar.onnx (says 640 x 640), its re-export of 2026 (any size) and files of the same
outputs are taken. The image is reduced to LONGER_SIDE, which bounds the cost whatever the camera delivers. OpenCV only
resizes and pads, so that any version of it will do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lmdeploy.backends.cores import default_threads
from lmdeploy.backends.ort import CPU, first_line, import_onnxruntime, load_errors, session_options
from lmdeploy.detect.base import bounded_size, pixel_block_to_box
from lmdeploy.detect.free_sides import with_free_sides
from lmdeploy.detect.yunet_heads import HEADS, candidates, sizes, suppress
from lmdeploy.errors import BundleError, InputError
from lmdeploy.onnx_file import inspect
from lmdeploy.types import F64, U8, Box

LONGER_SIDE = 480  # px
MULTIPLE = 32  # px; the network halves its input five times
TRIAL = (64, 96)  # px, height and width; not square, so that a file for squares alone shows
SCORE_THRESHOLD = 0.6
NMS_THRESHOLD = 0.3
TOP_K = 5000
GIVE = "give OpenCV Zoo's face_detection_yunet_2023mar.onnx or face_detection_yunet_2026may.onnx"


class YuNet:
    """Faces of any pose; holds the session, so use one object per thread.

    Args:
        model_path: YuNet's ONNX file.
        score_threshold: weaker faces are not reported, [0, 1].
        nms_threshold: of two faces that overlap by more (IoU) the weaker is not reported.
        top_k: candidates that are looked at.
        threads: of the network; default the physical cores, at most four. They sleep while they wait: a detector
            that runs now and then is not to slow down the network that runs on every frame.
    Errors: InputError for a file that is no YuNet, MissingExtraError without ONNX Runtime.
    """

    name = "yunet"

    def __init__(
        self,
        model_path: str | Path,
        *,
        score_threshold: float = SCORE_THRESHOLD,
        nms_threshold: float = NMS_THRESHOLD,
        top_k: int = TOP_K,
        threads: int | None = None,
    ) -> None:
        """Load the file and try it on a black picture."""
        self._score_threshold, self._nms_threshold, self._top_k = score_threshold, nms_threshold, top_k
        content = _checked(Path(model_path))
        options = session_options(threads or default_threads(), spin=False)
        try:
            self._session, self._fixed = _open(content, options)
        except load_errors() as error:
            raise InputError(
                f"{model_path} does not work as a YuNet face detector ({first_line(error)}); {GIVE}"
            ) from (error)

    def detect(self, image: U8) -> list[Box]:
        """Faces of image u8[H,W,3] RGB, image px, best first, score in [0, 1]."""
        import cv2

        full = (image.shape[0], image.shape[1])
        small = bounded_size(full, LONGER_SIDE) if self._fixed is None else _within(full, self._fixed)
        pixels = image if small == full else cv2.resize(image, small[::-1], interpolation=cv2.INTER_AREA)
        height, width = self._fixed or tuple(-(-side // MULTIPLE) * MULTIPLE for side in small)
        padded = np.zeros((1, 3, height, width), np.float32)
        padded[0, :, : small[0], : small[1]] = np.asarray(pixels)[..., ::-1].transpose(2, 0, 1)  # BGR
        return [pixel_block_to_box(row[:4], small, full, float(row[4])) for row in self._rows(padded)]

    def _rows(self, padded: Any) -> F64:
        heads = dict(zip(HEADS, self._session.run(HEADS, {"input": padded}), strict=True))
        found = candidates(heads, padded.shape[3], self._score_threshold)
        return suppress(found, self._nms_threshold, self._top_k)


class _NotYuNet(ValueError):
    """A network that runs, but says something else; one of load_errors(), which hold ValueError."""


def _checked(path: Path) -> bytes:
    """The file's bytes; InputError for what an engine should not be given."""
    if not path.is_file():
        raise InputError(f"{path}: no such YuNet model file; {GIVE}")
    try:
        inspect(path)
    except BundleError as error:
        raise InputError(f"{str(error).partition(';')[0]}; {GIVE}") from error
    return path.read_bytes()


def _open(content: bytes, options: Any) -> tuple[Any, tuple[int, int] | None]:
    """A session, and the one size (height, width) that it takes, or None."""
    try:
        session = _session(with_free_sides(content), options)
        _try(session, TRIAL)
    except load_errors():  # a size may be written into the graph itself
        session = _session(content, options)
        size = session.get_inputs()[0].shape[2:]
        if not all(isinstance(side, int) and side > 0 and side % MULTIPLE == 0 for side in size):
            raise
        _try(session, (size[0], size[1]))
        return session, (size[0], size[1])
    return session, None


def _session(content: bytes, options: Any) -> Any:
    session = import_onnxruntime().InferenceSession(content, options, providers=[CPU], enable_fallback=0)
    inputs, outputs = session.get_inputs(), {output.name for output in session.get_outputs()}
    missing = [head for head in HEADS if head not in outputs]
    if missing:
        raise _NotYuNet(f"it has no output {', '.join(missing)}")
    if [value.name for value in inputs] != ["input"] or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        raise _NotYuNet("its only input must be float32 'input' [1,3,H,W]")
    return session


def _try(session: Any, size: tuple[int, int]) -> None:
    answers = session.run(HEADS, {"input": np.zeros((1, 3, *size), np.float32)})
    wanted = sizes(*size)
    for head, answer in zip(HEADS, answers, strict=True):
        if answer.size != wanted[head] or answer.dtype != np.float32:
            raise _NotYuNet(f"'{head}' answers {answer.dtype} {list(answer.shape)} to a picture of {size}")


def _within(full: tuple[int, int], room: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of an image reduced into `room`; never enlarged."""
    factor = min(1.0, room[0] / full[0], room[1] / full[1])
    return min(room[0], max(1, round(full[0] * factor))), min(room[1], max(1, round(full[1] * factor)))
