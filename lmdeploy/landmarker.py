"""Frame (+ boxes) -> landmarks: the one class most users need."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Unpack

from lmdeploy.crops import Crops, Observer, tell
from lmdeploy.geometry import BoxMap
from lmdeploy.given import Color, as_rgb, check_boxes, check_image, checked_options
from lmdeploy.model import Model, Running, open_model
from lmdeploy.types import U8, Box, Landmarks

if TYPE_CHECKING:
    from pathlib import Path

    from lmdeploy.bundle import ModelSpec
    from lmdeploy.detect import BoxFinder, Detector
    from lmdeploy.video.follow import StreamOptions
    from lmdeploy.video.stream import Given, Stream

MAX_BATCH = 32  # crops a network sees at once: bounds memory, and larger batches are no faster on a CPU


class Landmarker:
    """A model and a face detector, from whole images to landmarks in image pixels.

        with Landmarker.load("face68") as landmarker:
            faces = landmarker.predict(rgb_image)

    Safe to share among threads: calls take turns. To run calls side by side load one Landmarker per thread.
    `observe`, when set, is called with ("crop" | "network" | "back_map" | "detect", milliseconds) after each stage; a
    network that cuts the crops itself has no "crop".
    """

    def __init__(self, model: Model, open_detector: Callable[[], Detector]) -> None:
        """Join a model and a detector; Landmarker.load does both by name.

        Args:
            model: open; `close` closes it.
            open_detector: called when boxes are first needed. A detector that the bundle has no box map for
                (spec.detectors) has its boxes taken as landmark boxes.
        """
        self.model = model
        self.observe: Observer | None = None
        self._open_detector = open_detector
        self._detector: Detector | None = None
        self._crops = Crops()
        self._lock = threading.RLock()

    @classmethod
    def load(
        cls,
        bundle: str | Path = "face68",
        *,
        detector: str | BoxFinder = "haar",
        yunet: str | Path | None = None,
        **running: Unpack[Running],
    ) -> Landmarker:
        """Open a bundle (folder, built-in name) or a checkpoint.

        Args:
            bundle: what lmdeploy.model.open_model takes.
            detector: haar, yunet or whole_image, or an object of yours with `detect(image) -> list[Box]` (BoxFinder);
                used where `predict` is given no boxes, by one thread at a time.
            yunet: the YuNet ONNX file; needed by, and only by, detector yunet.
            running: threads, device, backend, precision and schema, as in lmdeploy.model.open_model.
        Errors: InputError for a detector that is none, and all of lmdeploy.model.open_model.
        """
        from lmdeploy.detect import detector_opener

        opener = detector_opener(detector, yunet)
        return cls(open_model(bundle, **running), opener)

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
        Errors: InputError for another dtype or shape, a box that is no Box or without area; BundleError for a network
        that gives no finite points.
        """
        return self.predict_batch([image], None if boxes is None else [boxes], color=color)[0]

    def predict_batch(
        self, images: Sequence[U8], boxes: Sequence[Sequence[Box]] | None = None, *, color: Color = "rgb"
    ) -> list[list[Landmarks]]:
        """As `predict` for many images, which may differ in size; at most 32 crops go through the network at once.

        Args:
            images: each u8[H,W,3] or u8[H,W]; all are held at once, so read a large folder in portions.
            boxes: one list of landmark boxes (image px) an image, empty for none; None asks the detector.
            color: of all images.
        Returns: one list an image, in order. Errors: as `predict`, before anything was run.
        """
        for image in images:
            check_image(image, color)
        with self._lock:
            if boxes is None:
                boxes = [self._detect(image, color) for image in images]
            check_boxes(boxes, len(images))
            pairs = [(image, box) for image, some in zip(images, boxes, strict=True) for box in some]
            found: list[Landmarks] = []
            for start in range(0, len(pairs), MAX_BATCH):
                found += self._crops.look(self.model, pairs[start : start + MAX_BATCH], color, self.observe)
        rest = iter(found)
        return [[next(rest) for _ in some] for some in boxes]

    def detect(self, image: U8, *, color: Color = "rgb") -> list[Box]:
        """Landmark boxes of the faces that the detector finds, image px, best score first.

        They are the detector's own boxes through the bundle's box map, and what `predict` takes as `boxes`.

        Args:
            image, color: as in `predict`, u8[H,W,3] or grey u8[H,W].
        Errors: InputError as in `predict`, or for a detector that cannot be opened.
        """
        check_image(image, color)
        with self._lock:
            return self._detect(image, color)

    def stream(
        self,
        source: Given | Sequence[Given] | Mapping[str, Given],
        *,
        give_up_s: float | None = None,
        warn: Callable[[str], None] | None = None,
        **following: Unpack[StreamOptions],
    ) -> Stream:
        """Follow the faces of a camera, stream or video, or of several at once in shared batches.

            with landmarker.stream("rtsp://host/door", max_faces=4) as stream:
                for seen in stream:
                    use(seen.frame, seen.faces, seen.age_ms)

        Args:
            source: what `lmdeploy predict` takes, an opened source, a list of such, or a dict of such by their names,
                which frames then have (Frame.source).
            give_up_s: end a live source that was lost for so long; by default it is tried again for ever.
            warn: takes a sentence when a live source is lost and when it is back.
            following: max_faces, detect_every, min_score, smooth and pose, as in lmdeploy.video.follow.StreamOptions.
        Errors: InputError for an option that makes no sense, pose where the landmarks are no face's, or a source that
        cannot be opened.
        """
        from lmdeploy.video.follow import stream_options
        from lmdeploy.video.stream import Stream, open_sources

        options = stream_options(self.spec.landmarks, self._opened_detector().name, following)
        with checked_options():
            names = tuple(source) if isinstance(source, Mapping) else ()
            return Stream(self, open_sources(source, give_up_s, warn), options.following, names)

    @contextmanager
    def observed(self, observe: Observer) -> Iterator[None]:
        """Meanwhile `observe` is told the stages instead, of this thread alone: others' calls wait until the end."""
        with self._lock:
            before, self.observe = self.observe, observe
            try:
                yield
            finally:
                self.observe = before

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
        boxes = [box_map.apply(box) for box in detector.detect(as_rgb(image, color))]
        tell(self.observe, "detect", start)
        return sorted(boxes, key=lambda box: -box.score)

    def _opened_detector(self) -> Detector:
        with self._lock:
            if self._detector is None:
                self._detector = self._open_detector()
            return self._detector
