"""`lmdeploy demo`: the main job on a real portrait whose motion is known, so that the result can be judged.

The public-domain portrait of Grace Hopper that matplotlib installs is moved (pan, zoom, rotation, light) into a 720p
video; `predict_source` runs on that file as on any other; the truth is the model's own points on the still portrait,
moved. So the error says how steady the model is under motion, not how right it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin
from pathlib import Path
from typing import Any

import numpy as np

from lmdeploy.atomic import check_place
from lmdeploy.errors import InputError, MissingExtraError
from lmdeploy.geometry import compose, transform
from lmdeploy.images import read_image
from lmdeploy.landmarker import Landmarker
from lmdeploy.predict import PredictOptions, describe, predict_source
from lmdeploy.types import F32, F64, U8, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.video.pipeline import Summary
from lmdeploy.video.smooth import face_size
from lmdeploy.video.track import Tracker
from lmdeploy.writers.mp4 import Mp4Sink
from lmdeploy.writers.pictures import write_image

HEIGHT, WIDTH, RATE, SECONDS = 720, 1280, 30, 10
SHEET = (3, 4)  # rows, columns


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo measured; errors and jitter in per cent of the face's size (root of its box's area).

    error: mean distance to the moved points of the still portrait. jitter: root mean square of the change of that
    difference from one frame to the next; `raw` before smoothing. missed: frames without a face.
    """

    summary: Summary
    error: float
    error_raw: float
    jitter: float
    jitter_raw: float
    missed: int

    def text(self) -> str:
        """What is printed: speed, latency per stage, error and jitter."""
        return (
            f"{describe(self.summary)}\n"
            f"against the known motion, % of the face's size: error {self.error:.2f} (unsmoothed "
            f"{self.error_raw:.2f}), jitter {self.jitter:.3f} (unsmoothed {self.jitter_raw:.3f}), "
            f"{self.missed} frames without the face"
        )


class Collect:
    """A sink that keeps the faces of every frame, and some of the annotated pictures."""

    drawn = True

    def __init__(self, keep: Sequence[int]) -> None:
        """Keep the pictures of these frames."""
        self.faces: list[list[Landmarks]] = []
        self.pictures: list[U8] = []
        self._keep = set(keep)

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None:
        """Add one frame."""
        self.faces.append(list(faces))
        if picture is not None and frame.index in self._keep:
            self.pictures.append(picture.copy())

    def close(self) -> None:
        """Nothing is held open."""


def run_demo(out: Path, model: str = "face68", *, threads: int | None = None, seconds: float = SECONDS) -> DemoResult:
    """Make the video, run the model on it, and measure.

    Leaves in folder `out`: portrait.mp4 (the input), demo.mp4 (annotated), landmarks.csv, sheet.png.
    Errors: MissingExtraError without matplotlib, BundleError, InputError when the model finds no face in the portrait.
    """
    check_place(out / "portrait.mp4")
    portrait = read_image(portrait_path())
    frames = round(seconds * RATE)
    still = _still_points(portrait, model, threads)
    out.mkdir(parents=True, exist_ok=True)
    write_portrait_video(out / "portrait.mp4", seconds)
    options = PredictOptions(
        source=str(out / "portrait.mp4"),
        model=model,
        csv=out / "landmarks.csv",
        save=out / "demo.mp4",
        threads=threads,
    )
    collect = Collect(np.linspace(0, frames - 1, SHEET[0] * SHEET[1]).astype(int).tolist())
    summary = predict_source(options, lambda _: None, (collect,))
    write_image(out / "sheet.png", _sheet(collect.pictures))
    truth = [transform(motion(i / RATE, portrait.shape[:2]), still) for i in range(frames)]
    return measure(summary, collect.faces, truth)


def portrait_path() -> Path:
    """The portrait that matplotlib installs."""
    try:
        from matplotlib.cbook import get_sample_data
    except ImportError as error:
        raise MissingExtraError(
            "the demo's portrait comes with matplotlib: pip install 'landmark-deploy[plots]'"
        ) from error
    return Path(str(get_sample_data("grace_hopper.jpg", asfileobj=False)))


def write_portrait_video(path: Path, seconds: float) -> None:
    """The moved portrait as a 720p H.264 file of that length; after ten seconds the motion repeats."""
    portrait, frames = read_image(portrait_path()), round(seconds * RATE)
    sink = Mp4Sink(path, RATE)
    try:
        for index in range(frames):
            image = moved(portrait, index / RATE)
            sink.write(Frame(image, index, 1000.0 * index / RATE, ""), (), image)
    finally:
        sink.close()


def motion(time_s: float, image_hw: tuple[int, ...]) -> F64:
    """Affine f64[2,3] from portrait px to frame px: sways, a zoom, a slow roll and a fast one, ten seconds long."""
    t = time_s / SECONDS
    height, width = image_hw[:2]
    zoom = HEIGHT / height * (1.45 + 0.4 * sin(2 * pi * t - 0.5))
    angle = 0.22 * sin(4 * pi * t) + 0.04 * sin(14 * pi * t)
    x = WIDTH / 2 + 230 * sin(4 * pi * t + 0.4)
    y = HEIGHT / 2 + 60 * sin(6 * pi * t)
    to_middle = np.array([[1.0, 0.0, -(width - 1) / 2], [0.0, 1.0, -0.36 * height]])  # the face, not the chest
    c, s = zoom * cos(angle), zoom * sin(angle)
    return compose(np.array([[c, -s, x], [s, c, y]]), to_middle)


def moved(portrait: U8, time_s: float) -> U8:
    """Frame u8[720,1280,3] of the video: the portrait under `motion`, on a plain wall, in a changing light."""
    import cv2

    t = time_s / SECONDS
    matrix = motion(time_s, portrait.shape[:2])
    frame = cv2.warpAffine(portrait, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderValue=(96, 104, 112))
    gain, bias = 1.0 + 0.25 * sin(6 * pi * t), 12 * sin(10 * pi * t)
    return np.asarray(cv2.addWeighted(frame, gain, frame, 0.0, bias), np.uint8)


def measure(summary: Summary, faces: Sequence[Sequence[Landmarks]], truth: Sequence[F32]) -> DemoResult:
    """Error and jitter of the first face of each frame against the true points f32[K,2] of each frame, frame px."""
    pairs = [(some[0], points) for some, points in zip(faces, truth, strict=False) if some]
    if not pairs:
        raise InputError("the model found no face in the demo's video: it is broken or made for other objects")
    figures = {}
    for name in ("points", "points_raw"):
        rest = np.stack([(getattr(face, name) - points) / face_size(points) for face, points in pairs])  # [N,K,2]
        figures[name] = (
            100 * float(np.linalg.norm(rest, axis=2).mean()),
            100 * float(np.sqrt((np.diff(rest, axis=0) ** 2).sum(axis=2).mean())) if len(rest) > 1 else 0.0,
        )
    (error, jitter), (error_raw, jitter_raw) = figures["points"], figures["points_raw"]
    return DemoResult(summary, error, error_raw, jitter, jitter_raw, len(truth) - len(pairs))


def _still_points(portrait: U8, model: str, threads: int | None) -> F32:
    """The model's points on the still portrait, px, from the box that tracking would use."""
    with Landmarker.load(model, threads=threads) as landmarker:
        found = Tracker().update(landmarker, portrait)
    if not found:
        raise InputError(f"{model} finds no face in the demo's portrait: it is broken or made for other objects")
    return found[0].points


def _sheet(pictures: Sequence[U8]) -> U8:
    """Annotated pictures side by side, at half size."""
    import cv2

    small: list[Any] = [cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for p in pictures]
    small += [np.zeros_like(small[0])] * (SHEET[0] * SHEET[1] - len(small))
    rows = [np.hstack(small[i : i + SHEET[1]]) for i in range(0, len(small), SHEET[1])]
    return np.asarray(np.vstack(rows), np.uint8)
