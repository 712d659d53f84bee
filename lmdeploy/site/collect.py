"""Frames of a source -> the store: only what the champion sees well, what is new, and never the anchor.

Every kept object is committed on its own, so a kill loses at most the frame in hand, and the same call afterwards
ends in the same store as one that was never killed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from lmdeploy.errors import InputError
from lmdeploy.geometry import landmark_box
from lmdeploy.site import audit
from lmdeploy.site.config import SiteConfig, read_config
from lmdeploy.site.fingerprint import U64, fingerprint
from lmdeploy.site.guard import Predict, anchor_fingerprints, nearest
from lmdeploy.site.lock import writer
from lmdeploy.site.registry import champion, with_champion
from lmdeploy.site.store import FrameStore, StoredFrame, free_mb
from lmdeploy.types import F32, U8, Box, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.video.source import open_source

CONTEXT = 1.0  # of the box's longer side, kept around the box: enough for a crop that is turned and shifted
LEAST_PX = 16  # longer side of a landmark box worth keeping
QUALITY = 95  # of the stored JPEG


@dataclass
class Tally:
    """What became of the frames; objects are counted, but for `frames` and `empty` (frames without any)."""

    frames: int = 0
    empty: int = 0
    unsure: int = 0
    anchor: int = 0
    known: int = 0
    duplicate: int = 0
    kept: int = 0
    evicted: int = 0

    def sentence(self) -> str:
        """One line for people."""
        return (
            f"{self.frames} frames: {self.kept} kept, {self.known + self.duplicate} seen before, "
            f"{self.unsure} unsure, {self.anchor} of the anchor, {self.empty} without an object; "
            f"{self.evicted} older ones made room"
        )


def collect_source(
    site: Path,
    source: str,
    *,
    detector: str = "haar",
    yunet: Path | None = None,
    every: int = 1,
) -> tuple[Tally, list[str]]:
    """Collect from whatever `lmdeploy predict` reads, with the site's champion.

    Args:
        site: the site's folder.
        source: file, folder, glob, list, camera or stream.
        detector, yunet: as in Landmarker.load.
        every: take each N-th frame.
    Returns: what became of the frames, and one line for each part of the source that could not be read.
    Errors: InputError when collecting is switched off, another collector runs or the disk is full.
    """
    from lmdeploy.landmarker import Landmarker  # loads ONNX Runtime

    if read_config(site).collecting == "off":
        raise InputError(f"collecting is switched off; allow it with 'lmdeploy site collect {site} --on'")
    load = partial(Landmarker.load, detector=detector, yunet=yunet)
    with with_champion(site, load) as landmarker:
        frames = open_source(source)
        try:
            tally = collect_frames(site, islice(iter(frames), 0, None, every), landmarker.predict, source)
        finally:
            frames.close()
    return tally, list(frames.problems)


def collect_frames(site: Path, frames: Iterable[Frame], predict: Predict, source: str) -> Tally:
    """Store the objects that `predict` (the champion) finds in the frames; see Tally for what is left out."""
    config, tally, model = read_config(site), Tally(), champion(site).digest
    with writer(site, "collect"), FrameStore(site) as store:
        store.clean()
        anchor, pool = anchor_fingerprints(site, config, predict), store.fingerprints()
        try:
            for frame in frames:
                tally.frames += 1
                found = predict(frame.image)
                tally.empty += not found
                for landmarks in found:
                    verdict, mark, novelty = judge(frame.image, landmarks, config, anchor, pool)
                    if verdict == "kept":
                        jpeg, stored = cut(frame, landmarks, source, model, (mark, novelty))
                        verdict = _keep(store, jpeg, stored, config)
                        pool = np.append(pool, np.uint64(mark))
                        tally.evicted += store.evict(config.quota_mb * 1e6)
                    setattr(tally, verdict, getattr(tally, verdict) + 1)
        finally:
            audit.append(site, "collect", {"champion": model, **asdict(tally)})
    return tally


def judge(image: U8, landmarks: Landmarks, config: SiteConfig, anchor: U64, pool: U64) -> tuple[str, int, int]:
    """(field of Tally, fingerprint, novelty in bits) of one object, before anything is written."""
    points = landmarks.points_raw
    if not _usable(image, landmarks) or float(np.mean(landmarks.score)) < config.min_score:
        return "unsure", 0, 0
    mark = fingerprint(image, points)
    if nearest(mark, anchor) <= config.anchor_bits:
        return "anchor", mark, 0
    novelty = nearest(mark, pool)
    return ("duplicate" if novelty <= config.duplicate_bits else "kept"), mark, novelty


def cut(
    frame: Frame, landmarks: Landmarks, source: str, model: str, known: tuple[int, int]
) -> tuple[bytes, StoredFrame]:
    """The picture around one object as JPEG, and its row; known: (fingerprint, novelty)."""
    box = landmark_box(landmarks.points_raw)
    x0, y0, x1, y1 = _region(box, frame.image)
    jpeg = _jpeg(frame.image[y0:y1, x0:x1])
    moved: F32 = (landmarks.points_raw - np.array([x0, y0], np.float32)).astype(np.float32)
    stored = StoredFrame(
        sha256=hashlib.sha256(jpeg).hexdigest(),
        bytes=len(jpeg),
        source=source,
        frame=frame.index,
        time_ms=frame.time_ms,
        collected=datetime.now(UTC).isoformat(timespec="seconds"),
        model=model,
        score=float(np.mean(landmarks.score)),
        fingerprint=known[0],
        novelty=known[1],
        box=Box(box.x0 - x0, box.y0 - y0, box.x1 - x0, box.y1 - y0),
        points=moved,
    )
    return jpeg, stored


def _usable(image: U8, landmarks: Landmarks) -> bool:
    """Whether the points span something inside the image, at least LEAST_PX long."""
    points = landmarks.points_raw
    if not np.isfinite(points).all():
        return False
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    inside = 0 <= x0 + x1 < 2 * image.shape[1] and 0 <= y0 + y1 < 2 * image.shape[0]
    return bool(inside and min(x1 - x0, y1 - y0) > 0 and max(x1 - x0, y1 - y0) >= LEAST_PX)


def _keep(store: FrameStore, jpeg: bytes, stored: StoredFrame, config: SiteConfig) -> str:
    if free_mb(store.folder) < config.reserve_mb:
        raise InputError(
            f"less than {config.reserve_mb:.0f} MB free on the disk of {store.folder}: collecting pauses, serving "
            "goes on; free some space, or lower quota_mb in site.toml"
        )
    return "kept" if store.insert(jpeg, stored) else "known"


def _region(box: Box, image: U8) -> tuple[int, int, int, int]:
    """Whole pixels (x0, y0, x1, y1), ends not included, of the box and its context, within the image."""
    height, width = image.shape[:2]
    margin = CONTEXT * max(box.width, box.height)
    x0, y0 = max(int(box.x0 - margin), 0), max(int(box.y0 - margin), 0)
    x1, y1 = min(int(box.x1 + margin) + 2, width), min(int(box.y1 + margin) + 2, height)
    return x0, y0, x1, y1


def _jpeg(image: U8) -> bytes:
    import cv2

    done, code = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise InputError(f"a picture of {image.shape[1]}x{image.shape[0]} px cannot be encoded")
    return bytes(code.tobytes())
