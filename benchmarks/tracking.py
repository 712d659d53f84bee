"""How steady, how late and how sure of who is who the points of a stream are, on faces whose motion is known.

    python -m benchmarks.tracking [--quick] [--model BUNDLE] [--picture FILE]
    python -m benchmarks.tracking --record FILE --picture FILE

The portrait stands still, moves to and fro at a constant speed, and sways as a sine; two portraits pass each other.
Every picture has a camera's noise (3 grey levels). `raw` is before the One-Euro filter.
Figures: jitter and jitter_raw, of the still face, the root mean square of a point's deviation from its own mean, in
% of the face's size; lag_SPEED_ms, at 0.25, 0.5, 1 and 2 face sizes a second, what the face has moved on by divided
by its speed; lag_sine_HZ_ms, where truth and points, shifted against each other, correlate best; ids_mixed, faces
that took another's id as they passed, and ids_new, ids given beyond the two, over all passings; detections_per_1000
frames of one followed face, and _room with room for another.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import tracking_plot
from benchmarks.moving_portraits import SIZE, Portrait, Way, noisy, pair, picture, read_portrait
from benchmarks.record import print_figures, read_result, write_result
from lmdeploy.geometry import landmark_box
from lmdeploy.landmarker import Landmarker
from lmdeploy.types import F64, U8, Array, Landmarks
from lmdeploy.video.follow import Following, follow
from lmdeploy.video.frame import Frame
from lmdeploy.video.latency import Latencies
from lmdeploy.video.motion import size_of
from lmdeploy.video.smooth import Smoother
from lmdeploy.video.track import Tracker

RATE, NOISE, SEED = 30, 3.0, 0
SPEEDS = (0.25, 0.5, 1.0, 2.0)  # face sizes a second
SINES = (0.5, 2.0)  # Hz
SWAY = 0.25  # face sizes, the amplitude
LEG_S = 1.0  # of the way to, and of the way fro
SETTLED_S = 0.4  # after a turn
APART = 0.6  # face sizes between two faces from which it is plain who is who


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds of the still face and of each motion; how many passings."""

    still_s: float
    motion_s: float
    passings: int


QUICK, FULL = Plan(5.0, 4.0, 4), Plan(60.0, 20.0, 40)


def main() -> None:
    """Measure, print the figures, and in full mode write the record and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under 50 s on 2 cores; writes no record")
    parser.add_argument("--model", default="face68", help="a bundle")
    parser.add_argument("--picture", type=Path, help="a plot of what was measured")
    parser.add_argument("--record", type=Path, help="measure nothing: draw the picture of this record")
    given = parser.parse_args()
    if given.record:
        if not given.picture:
            parser.error("--record is drawn: give --picture FILE")
        tracking_plot.motions(read_result(given.record).details["tracks"], given.picture)
        return
    plan, rng = QUICK if given.quick else FULL, np.random.default_rng(SEED)
    with Landmarker.load(given.model) as landmarker:
        person = portrait_of(landmarker)
        figures, details, tracks = moving(landmarker, person, plan, rng)
        mixed, new, scenes = passing(landmarker, person, plan.passings, rng)
    drawn = {name: tracking_plot.shown(track) for name, track in tracks.items()}
    figures |= {"ids_mixed": float(mixed), "ids_new": float(new)}
    if not given.quick:
        write_result("tracking", figures, {**details, "passings": scenes, "tracks": drawn}, [SEED])
    if given.picture:
        tracking_plot.motions(drawn, given.picture)
    print_figures(figures)


def portrait_of(landmarker: Landmarker) -> Portrait:
    """The still portrait with the model's points on it, from the box that tracking would use."""
    image = read_portrait()
    (face,) = watch(landmarker, [image], Tracker())[0][0]
    box = landmark_box(face.points)
    return Portrait(image, face.points, size_of(box), box.center)


def moving(
    landmarker: Landmarker, person: Portrait, plan: Plan, rng: np.random.Generator
) -> tuple[dict[str, float], dict[str, Any], dict[str, F64]]:
    """Figures of one face, what stands behind them, and for each motion f64[N,4]: time, truth, raw, smooth."""
    ways: dict[str, Way] = {f"lag_{speed:g}".replace(".", "_"): to_and_fro(speed) for speed in SPEEDS}
    ways |= {f"lag_sine_{hz:g}".replace(".", "_"): sine(hz) for hz in SINES}
    still, asked = run(landmarker, person, lambda _: (0.0, 0.0), plan.still_s, rng)
    figures = {"jitter": jitter([f.points for f in still]), "jitter_raw": jitter([f.points_raw for f in still])}
    frames, detections, tracks, details = len(still), asked, {}, {}
    for name, way in ways.items():
        found, asked = run(landmarker, person, way, plan.motion_s, rng)
        frames, detections = frames + len(found), detections + asked
        tracks[name] = along(person, way, found)
        lag = phase_lag_s if "sine" in name else steady_lag_s
        figures[f"{name}_ms"], details[f"{name}_raw_ms"] = (1e3 * lag(tracks[name][:, (0, 1, i)]) for i in (3, 2))
    _, asked = run(landmarker, person, sine(0.5), plan.motion_s, rng, max_faces=2)
    figures["detections_per_1000"] = 1e3 * detections / frames
    figures["detections_per_1000_room"] = 1e3 * asked / (plan.motion_s * RATE)
    return figures, {**details, "frames": frames}, tracks


def run(
    landmarker: Landmarker, person: Portrait, way: Way, seconds: float, rng: np.random.Generator, max_faces: int = 1
) -> tuple[list[Landmarks], int]:
    """The one face of every picture, and how often the detector was asked."""
    images = (picture(person, way(index / RATE), NOISE, rng) for index in range(round(seconds * RATE)))
    seen, asked = watch(landmarker, images, Tracker(max_faces=max_faces))
    if any(len(faces) != 1 for faces in seen):
        raise RuntimeError("the face was lost: this model cannot be measured on the portrait")
    return [faces[0] for faces in seen], asked


def watch(landmarker: Landmarker, images: Iterable[U8], tracker: Tracker) -> tuple[list[list[Landmarks]], int]:
    """Faces of each picture of a stream, and how often the detector was asked."""
    following, latencies, seen = Following(tracker, Smoother()), Latencies(), []
    for index, image in enumerate(images):
        frame = Frame(image, index, 1e3 * index / RATE, str(index))
        seen += follow([frame], [following], landmarker, latencies)
    stages = latencies.summary()
    return seen, stages["detect"].calls if "detect" in stages else 0


def to_and_fro(speed: float) -> Way:
    """At a constant speed, face sizes a second; it turns every LEG_S."""
    return lambda t: (speed * (abs((t + LEG_S / 2) % (2 * LEG_S) - LEG_S) - LEG_S / 2), 0.0)


def sine(hz: float) -> Way:
    """Swaying."""
    return lambda t: (SWAY * float(np.sin(2 * np.pi * hz * t)), 0.0)


def jitter(points: Sequence[Array]) -> float:
    """Of f[K,2] in every picture: RMS distance of a point from its mean, % of the face's size; the first s is left."""
    settled = np.stack(points[RATE:]).astype(np.float64)
    return 100 * float(np.sqrt(((settled - settled.mean(axis=0)) ** 2).sum(axis=2).mean())) / SIZE


def along(person: Portrait, way: Way, found: Sequence[Landmarks]) -> F64:
    """f64[N,4]: time, s, and the mean x of the true, the raw and the smoothed points, in face sizes."""
    rows = [
        (index / RATE, *(np.mean(x[:, 0]) / SIZE for x in (person.truth(way(index / RATE)), f.points_raw, f.points)))
        for index, f in enumerate(found)
    ]
    return np.array(rows, np.float64)


def steady_lag_s(track: F64) -> float:
    """Of f64[N,3] (time, truth, seen): how far `seen` is behind while the truth moves steadily, over its speed."""
    time, truth, seen = track.T
    speed = np.diff(truth, prepend=np.nan) * RATE
    turned = np.flatnonzero(np.abs(np.diff(speed)) > 1e-3 * np.nanmax(np.abs(speed))) + 1
    last = np.array([max([0, *(int(t) for t in turned if t <= i)]) for i in range(len(time))])
    steady = (time - time[last] > SETTLED_S) & ~np.isin(np.arange(len(time)), turned)
    behind = ((truth - seen) * np.sign(speed))[steady]
    # A model that stands a little beside the truth does so on both ways; the mean of the two is free of it.
    forth = speed[steady] > 0
    sides = [behind[side].mean() for side in (forth, ~forth) if side.any()]
    return float(np.mean(sides) / np.nanmedian(np.abs(speed)))


def phase_lag_s(track: F64) -> float:
    """Of f64[N,3] (time, truth, seen): the shift at which they correlate best, between frames by a parabola."""
    _, truth, seen = (column[RATE:] - column[RATE:].mean() for column in track.T)
    shifts = range(-3, RATE // 2)
    n = len(truth) - len(shifts)
    first = max(shifts)
    match = [float(np.corrcoef(truth[first - s : first - s + n], seen[first : first + n])[0, 1]) for s in shifts]
    best = min(max(int(np.argmax(match)), 1), len(match) - 2)
    a, b, c = match[best - 1 : best + 2]
    return (shifts[best] + 0.5 * (a - c) / (a - 2 * b + c)) / RATE


def passing(
    landmarker: Landmarker, person: Portrait, count: int, rng: np.random.Generator
) -> tuple[int, int, list[dict[str, float]]]:
    """Two people pass each other `count` times: faces that took another's id, ids beyond the two, and each scene."""
    people, scenes = (person, person.mirrored()), []
    for index in range(count):
        speed, share, height = rng.uniform(0.8, 2.5), rng.uniform(0.0, 1.0), rng.uniform(-0.3, 0.3)
        half = min(1.6 / speed, 2.4 / (speed * max(share, 1 - share)))  # s until they meet
        times = np.arange(round(2 * half * RATE)) / RATE - half
        ways = [((speed * share * t, 0.0), (-speed * (1 - share) * t, height)) for t in times]
        shown = [w[::-1] if index % 2 else w for w in ways]
        images = (noisy(pair(people, (a, b)), NOISE, rng) for a, b in shown)
        seen, _ = watch(landmarker, images, Tracker(max_faces=2, detect_every=5))
        scenes.append({"speed": speed, "share": share, "height": height, **judged(seen, shown)})
    return sum(int(s["mixed"]) for s in scenes), sum(int(s["new"]) for s in scenes), scenes


def judged(seen: Sequence[Sequence[Landmarks]], places: Sequence[Sequence[tuple[float, float]]]) -> dict[str, float]:
    """mixed: ids that were on both faces; new: ids beyond two; together: share of the frames with both faces.

    A frame counts where the faces are APART.
    """
    who: dict[int, set[int]] = {}
    both = plain = 0
    for faces, true in zip(seen, places, strict=True):
        middles = np.array(true) * SIZE
        if np.linalg.norm(middles[0] - middles[1]) < APART * SIZE:
            continue
        plain, both = plain + 1, both + (len(faces) == 2)
        for face in faces:
            at = np.array(landmark_box(face.points).center) - [320, 180]
            who.setdefault(face.track, set()).add(int(np.linalg.norm(middles - at, axis=1).argmin()))
    mixed = sum(len(faces) > 1 for faces in who.values())
    return {"mixed": mixed, "new": max(len(who) - 2, 0), "together": both / max(plain, 1)}


if __name__ == "__main__":
    main()
