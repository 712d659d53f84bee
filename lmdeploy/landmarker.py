"""Frame (+ boxes) -> landmarks: the one class most users need."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np

from lmdeploy.errors import BundleError, InputError
from lmdeploy.geometry import BoxMap, crop_image, crop_matrix, invert, scale_of
from lmdeploy.model import Model, Running, open_model
from lmdeploy.types import F32, F64, U8, Array, Box, Landmarks, Prediction

if TYPE_CHECKING:
    from pathlib import Path

    from lmdeploy.bundle import ModelSpec
    from lmdeploy.detect import Detector
    from lmdeploy.video.stream import Given, Stream

Color = Literal["rgb", "bgr"]
Observer = Callable[[str, float], None]
MAX_BATCH = 32  # crops a network sees at once: bounds memory, and larger batches are no faster on a CPU


class Landmarker:
    """A model and a face detector, from whole images to landmarks in image pixels.

        with Landmarker.load("face68") as landmarker:
            faces = landmarker.predict(rgb_image)

    Safe to share among threads: calls take turns. To run calls side by side load one Landmarker per thread.
    `observe`, when set, is called with ("crop" | "network" | "back_map" | "detect", milliseconds) after each stage.
    """

    def __init__(self, model: Model, open_detector: Callable[[], Detector]) -> None:
        """Join a model and a detector; `open_detector` is called when boxes are first needed.

        A detector that the bundle has no box map for (spec.detectors) has its boxes taken as landmark boxes.
        """
        self.model = model
        self.observe: Observer | None = None
        self._open_detector = open_detector
        self._detector: Detector | None = None
        self._crops = np.empty((1, model.spec.crop.size, model.spec.crop.size, 3), np.uint8)
        self._lock = threading.RLock()

    @classmethod
    def load(
        cls,
        bundle: str | Path = "face68",
        *,
        detector: str = "haar",
        yunet: str | Path | None = None,
        **running: Unpack[Running],
    ) -> Landmarker:
        """Open a bundle (folder, built-in name) or a checkpoint.

        Args:
            bundle: what lmdeploy.model.open_model takes.
            detector: haar, yunet or whole_image; used where `predict` is given no boxes.
            yunet: the YuNet ONNX file; needed by, and only by, detector yunet.
            running: threads, device, backend and schema, as in lmdeploy.model.open_model.
        """
        from lmdeploy.detect import check_detector, open_detector

        check_detector(detector, yunet)
        model = open_model(bundle, **running)
        return cls(model, lambda: open_detector(detector, yunet))

    @property
    def spec(self) -> ModelSpec:
        """What the network is: landmark schema, crop rule, training."""
        return self.model.spec

    def predict(self, image: U8, boxes: Sequence[Box] | None = None, *, color: Color = "rgb") -> list[Landmarks]:
        """Landmarks of every box of one image, all boxes in one batch.

        Args:
            image: u8[H,W,3] in the order that `color` names, or grey u8[H,W].
            boxes: landmark boxes, image px; None asks the detector.
            color: `rgb`, or `bgr` for what OpenCV reads.
        Returns: one Landmarks a box in the same order, points in image px; empty where no face is found.
        Errors: InputError for another dtype or shape, or a box without area.
        """
        return self.predict_batch([image], None if boxes is None else [boxes], color=color)[0]

    def predict_batch(
        self, images: Sequence[U8], boxes: Sequence[Sequence[Box]] | None = None, *, color: Color = "rgb"
    ) -> list[list[Landmarks]]:
        """As `predict` for many images, which may differ in size; at most 32 crops go through the network at once."""
        for image in images:
            _check_image(image, color)
        with self._lock:
            if boxes is None:
                boxes = [self._detect(image, color) for image in images]
            if len(boxes) != len(images):
                raise InputError(f"{len(images)} images but boxes for {len(boxes)}: give one list of boxes per image")
            pairs = [(image, box) for image, some in zip(images, boxes, strict=True) for box in some]
            found: list[Landmarks] = []
            for start in range(0, len(pairs), MAX_BATCH):
                found += self._run(pairs[start : start + MAX_BATCH], color)
        rest = iter(found)
        return [[next(rest) for _ in some] for some in boxes]

    def detect(self, image: U8, *, color: Color = "rgb") -> list[Box]:
        """Landmark boxes of the faces that the detector finds, image px, best score first."""
        _check_image(image, color)
        with self._lock:
            return self._detect(image, color)

    def stream(
        self,
        source: Given | Sequence[Given],
        *,
        max_faces: int = 1,
        detect_every: int = 30,
        smooth: bool = True,
        give_up_s: float | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> Stream:
        """Follow the faces of a camera, stream or video, or of several at once in shared batches.

            with landmarker.stream("rtsp://host/door") as stream:
                for seen in stream:
                    use(seen.frame, seen.faces, seen.age_ms)

        Args:
            source: what `lmdeploy predict` takes, an opened source, or a list of such.
            max_faces: followed in each source; detect_every: see Tracker.
            smooth: One-Euro filter; `points_raw` stand beside `points`.
            give_up_s: end a live source that was lost for so long; by default it is tried again for ever.
            warn: takes a sentence when a live source is lost and when it is back.
        Errors: InputError when a source cannot be opened.
        """
        from lmdeploy.video.follow import FollowOptions
        from lmdeploy.video.stream import Stream, open_sources

        whole_image = self._opened_detector().name == "whole_image"
        options = FollowOptions(max_faces=max_faces, detect_every=detect_every, smooth=smooth, track=not whole_image)
        return Stream(self, open_sources(source, give_up_s, warn), options.following)

    def close(self) -> None:
        """Free the session; a second call does nothing."""
        with self._lock:
            self.model.backend.close()

    def __enter__(self) -> Landmarker:
        """The landmarker itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _detect(self, image: U8, color: Color) -> list[Box]:
        start = perf_counter()
        detector = self._opened_detector()
        box_map = self.spec.detectors.get(detector.name, BoxMap())
        boxes = [box_map.apply(box) for box in detector.detect(_as_rgb(image, color))]
        self._tell("detect", start)
        return sorted(boxes, key=lambda box: -box.score)

    def _opened_detector(self) -> Detector:
        with self._lock:
            if self._detector is None:
                self._detector = self._open_detector()
            return self._detector

    def _run(self, pairs: Sequence[tuple[U8, Box]], color: Color) -> list[Landmarks]:
        start = perf_counter()
        matrices = [crop_matrix(box, self.spec.crop) for _, box in pairs]
        crops = self._cut(pairs, matrices, color)
        start = self._tell("crop", start)
        prediction = self.model.backend.run(crops)
        start = self._tell("network", start)
        if not np.isfinite(prediction.points).all():
            raise BundleError(
                f"{self.spec.name} gives no finite points for a crop; its weights are broken: export again"
            )
        found = self._back_map(prediction, matrices, [box for _, box in pairs])
        self._tell("back_map", start)
        return found

    def _cut(self, pairs: Sequence[tuple[U8, Box]], matrices: list[F64], color: Color) -> U8:
        """Crops u8[B,S,S,3] RGB in a buffer that the next call writes again."""
        size = self.spec.crop.size
        if len(self._crops) < len(pairs):
            self._crops = np.empty((len(pairs), size, size, 3), np.uint8)
        for slot, (image, _), matrix in zip(self._crops, pairs, matrices, strict=False):
            if image.ndim == 3 and color == "rgb":
                crop_image(image, matrix, size, slot)
            else:  # turning the crop is cheaper than turning the frame
                slot[...] = _as_rgb(crop_image(image, matrix, size), color)
        return self._crops[: len(pairs)]

    def _back_map(self, prediction: Prediction, matrices: list[F64], boxes: list[Box]) -> list[Landmarks]:
        """Crop px -> image px, for the whole batch at once."""
        back = np.stack([invert(matrix) for matrix in matrices])  # [B,2,3]
        points = (prediction.points @ back[:, :, :2].transpose(0, 2, 1) + back[:, None, :, 2]).astype(np.float32)
        scales = np.array([scale_of(matrix) for matrix in matrices], np.float32)
        spread = prediction.spread / scales[:, None]
        about: dict[str, Any] = {"digest": self.model.digest, "provider": self.model.backend.provider}
        rows: zip[tuple[F32, F32, F32, Box]] = zip(points, prediction.score, spread, boxes, strict=True)
        return [Landmarks(p, p, score, width, box, **about) for p, score, width, box in rows]

    def _tell(self, stage: str, start: float) -> float:
        now = perf_counter()
        if self.observe is not None:
            self.observe(stage, (now - start) * 1e3)
        return now


def _check_image(image: Array, color: str) -> None:
    if color not in ("rgb", "bgr"):
        raise InputError(f"color {color!r} is neither 'rgb' nor 'bgr'")
    if not isinstance(image, np.ndarray):
        raise InputError(f"image must be a NumPy array, got {type(image).__name__}; read files with lmdeploy.images")
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or image.size == 0:
        raise InputError(
            f"image must be uint8 [H,W,3] or grey [H,W], got {image.dtype} {list(image.shape)}: scale it to 0..255, "
            "convert it, and drop alpha"
        )


def _as_rgb(image: U8, color: Color) -> U8:
    """u8[H,W,3] RGB of a grey, RGB or BGR image; an RGB image is returned as it is."""
    if image.ndim == 3 and color == "rgb":
        return image
    import cv2

    code = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(image, code), np.uint8)
