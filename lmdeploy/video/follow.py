"""Frames -> faces with track ids, times and smoothed points; the frames of several sources in shared batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TypedDict

from pydantic import BaseModel, ConfigDict, Field

from lmdeploy.given import checked_options
from lmdeploy.landmarker import Landmarker
from lmdeploy.pose import check_head_pose, with_pose
from lmdeploy.schema import LandmarkSchema
from lmdeploy.types import Landmarks
from lmdeploy.video.frame import Frame, Source
from lmdeploy.video.latency import Latencies
from lmdeploy.video.lockstep import Allow, Steps, together, whole
from lmdeploy.video.smooth import OneEuroConfig, Smoother
from lmdeploy.video.track import MIN_SCORE, Tracker


class StreamOptions(TypedDict, total=False):
    """How Landmarker.stream follows faces: its keyword arguments, which mean what those of `lmdeploy predict` mean.

    max_faces: followed in each source, 1 by default. detect_every: frames from one look of the detector for further
    faces to the next, 30 by default; 0 looks only when no face is followed. min_score: mean score, 0 to 1, under which
    a face counts as lost, 0.4 by default. smooth: One-Euro filter (True), or how hard (lmdeploy.OneEuroConfig);
    `points_raw` stand beside `points`. pose: fill in `Landmarks.pose` from the (smoothed) points; False by default.
    """

    max_faces: int
    detect_every: int
    min_score: float
    smooth: bool | OneEuroConfig
    pose: bool


class FollowOptions(BaseModel):
    """How faces are followed.

    max_faces: None keeps all faces of a still image, one of a stream. detect_every, min_score: see Tracker. smooth:
    streams, One-Euro with these parameters, or the default ones. track: False looks at every frame for itself: the
    object fills the frame by definition. pose: fill in Landmarks.pose; the landmarks must be a face's
    (pose.check_head_pose).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_faces: int | None = Field(default=None, ge=1)
    detect_every: int = Field(default=30, ge=0)
    min_score: float = Field(default=MIN_SCORE, ge=0, le=1)
    smooth: bool | OneEuroConfig = True
    track: bool = True
    pose: bool = False

    def following(self, source: Source) -> Following:
        """The state of one source."""
        if not source.stream:
            return Following(max_faces=self.max_faces, pose=self.pose)
        config = OneEuroConfig() if self.smooth is True else self.smooth or None
        smoother = None if config is None else Smoother(config)
        if not self.track:
            return Following(smoother=smoother, pose=self.pose)
        faces = self.max_faces or 1
        tracker = Tracker(max_faces=faces, detect_every=self.detect_every, min_score=self.min_score)
        return Following(tracker, smoother, pose=self.pose)


def stream_options(schema: LandmarkSchema, detector: str, given: StreamOptions) -> FollowOptions:
    """What Landmarker.stream was given, checked; InputError says what is wrong.

    Args:
        schema: of the landmarks, which a pose needs to be a face's.
        detector: name of the detector; where it is whole_image every frame is looked at for itself.
        given: as the caller gave it.
    """
    with checked_options():
        options = FollowOptions(**({"max_faces": 1} | given), track=detector != "whole_image")
    if options.pose:
        check_head_pose(schema)
    return options


@dataclass(frozen=True, slots=True)
class Following:
    """What turns frames of one source into faces; tracker and smoother are None for still images.

    max_faces: how many faces of a still image are kept, best first; None keeps all. pose: whether heads' poses are
    found, from the smoothed points.
    """

    tracker: Tracker | None = None
    smoother: Smoother | None = None
    max_faces: int | None = None
    pose: bool = False

    def steps(self, frame: Frame) -> Steps:
        """Look at one frame, for lockstep.together."""
        if self.tracker is None:
            return whole(self.max_faces)
        time_s = None if frame.time_ms is None else frame.time_ms / 1e3
        return self.tracker.steps(frame.image, frame.part, time_s)


def follow(
    frames: Sequence[Frame],
    followings: Sequence[Following],
    landmarker: Landmarker,
    latencies: Latencies,
    allow: Allow = lambda wanting: wanting,
) -> list[list[Landmarks]]:
    """Faces of each frame.

    Args:
        frames: one of each source.
        followings: of the same sources, in the same order.
        landmarker: one for all, so that the network sees all faces in one batch.
        latencies: takes the milliseconds of each stage.
        allow: who may use the detector now.
    """
    steps = [following.steps(frame) for frame, following in zip(frames, followings, strict=True)]
    with landmarker.observed(latencies.add):
        found = together(landmarker, steps, [frame.image for frame in frames], allow)
    done = []
    for frame, some, following in zip(frames, found, followings, strict=True):
        faces = _in_time(frame, some, following, latencies)
        if following.pose:
            height, width = frame.image.shape[:2]
            faces = with_pose(faces, (height, width), landmarker.spec.landmarks)
        done.append(faces)
    return done


def _in_time(frame: Frame, found: list[Landmarks], following: Following, latencies: Latencies) -> list[Landmarks]:
    faces = [replace(face, frame=frame.index, time_ms=frame.time_ms) for face in found]
    if following.smoother is None:
        return faces
    start = perf_counter()
    faces = following.smoother.update(faces)
    latencies.add("smooth", (perf_counter() - start) * 1e3)
    return faces
