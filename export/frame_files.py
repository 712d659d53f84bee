"""The files of a bundle that take whole frames, each held against crops cut outside in the same precision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from export.parity import Parity, summarise
from export.precision import FILES as CROP_FILES
from export.precision import Built
from export.surgery.whole_frames import take_whole_frames
from lmdeploy.backends.frames import FILES, inputs_for, taps_for
from lmdeploy.backends.ort import CPU, OrtBackend, import_onnxruntime
from lmdeploy.boxes import Boxed
from lmdeploy.errors import GateRefusedError
from lmdeploy.geometry import CropRule, compose, crop_image, crop_matrix, invert, resize_matrix
from lmdeploy.images import read_image
from lmdeploy.types import F64, U8

ALL_FILES = CROP_FILES | {f"frame_{precision}": name for precision, name in FILES.items()}
"""Every network of a bundle, by the name under which its parity is recorded."""
Scene = tuple[U8, F64]
"""A frame u8[H,W,3] and one crop's matrix f64[2,3], frame px -> crop px."""
MOST = 64
ZOOMS = (0.7, 1.4, 2.5, 3.6)  # frame px per crop px: from the last two on the crop averages blocks of 2 and 3 px
SHIFT = (0.3, -0.6)  # of a crop in its frame, frame px


def with_whole_frames(built: dict[str, Built], scenes: list[Scene], size: int) -> dict[str, Built]:
    """A `frame_*` for each precision that has a whole-frame kind.

    Raises: GateRefusedError (exit code 3) where points are further off than that precision's tolerance.
    """
    made = {}
    for precision in [name for name in FILES if name in built]:
        model = take_whole_frames(built[precision].model)
        parity = compare_frames(built[precision].model, model, scenes, size, precision)
        made[f"frame_{precision}"] = Built(model, parity)
    refused = [one.parity.sentence() for one in made.values() if not one.parity.passed]
    if refused:
        raise GateRefusedError("export refused, no bundle was written: " + "; ".join(refused))
    return made


def compare_frames(plain: bytes, whole: bytes, scenes: list[Scene], size: int, precision: str) -> Parity:
    """Points of the whole-frame file against those of crops that geometry.crop_image cuts, on ONNX Runtime."""
    outside, session = OrtBackend(plain, None, "cpu"), _session(whole)
    distance, score = [], []
    for frame, matrix in scenes:
        wanted = outside.run(crop_image(frame, matrix, size)[None])
        taps = taps_for([matrix])
        assert taps is not None, "scenes are such as the graph takes"
        points, scores = session.run(["points", "score"], inputs_for(frame[None], [0], [matrix], taps))
        distance.append(np.linalg.norm(wanted.points - points, axis=-1))
        score.append(np.abs(wanted.score - scores).ravel())
    against = "crops cut outside the graph"
    return summarise(np.concatenate(distance), np.concatenate(score), f"frame_{precision}", against)


def real_scenes(boxed: Boxed, rule: CropRule) -> Iterator[Scene]:
    """Photographs with the crop of their box; those whose crop shrinks them more than the graph does are left out."""
    for sample, box in list(zip(boxed.samples, boxed.boxes, strict=True))[:MOST]:
        matrix = crop_matrix(box, rule)
        if taps_for([matrix]) is not None:
            yield read_image(sample.path), matrix


def generated_scenes(crops: U8) -> Iterator[Scene]:
    """Frames that hold crops u8[N,S,S,3], on which the network is sure, at several sizes up to the frame's edge."""
    import cv2

    for number, crop in enumerate(crops):
        side = round(len(crop) * ZOOMS[number % len(ZOOMS)])
        frame = np.asarray(cv2.resize(crop, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)
        moved = np.array([[1.0, 0.0, SHIFT[0]], [0.0, 1.0, SHIFT[1]]])
        yield frame, compose(invert(resize_matrix(crop.shape[:2], (side, side))), moved)


def _session(model: bytes) -> Any:
    ort = import_onnxruntime()
    return ort.InferenceSession(model, providers=[CPU])
