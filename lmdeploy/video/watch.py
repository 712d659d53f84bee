"""Frames of several sources -> their faces: each source has its own tracks, all share the network's batches."""

from __future__ import annotations

from collections.abc import Sequence

from lmdeploy.landmarker import Landmarker
from lmdeploy.types import Landmarks
from lmdeploy.video.follow import Following, follow
from lmdeploy.video.frame import Frame
from lmdeploy.video.latency import Latencies


class Watch:
    """The state of all sources of a run.

    Of live sources without a face one a step may ask the detector, in turn, so that looking for a face in many of
    them does not hold up those that have one.

    Args:
        followings: tracking and smoothing of each source.
    """

    def __init__(self, followings: Sequence[Following]) -> None:
        """Nobody is followed yet."""
        self._followings = followings
        self._turns = list(range(len(followings)))  # whoever detected last stands last

    def __call__(
        self, step: Sequence[tuple[int, Frame]], landmarker: Landmarker, latencies: Latencies
    ) -> list[list[Landmarks]]:
        """Faces of each frame of a step, which has at most one frame of each source, with the source's place."""
        places, frames = [place for place, _ in step], [frame for _, frame in step]
        followings = [self._followings[place] for place in places]
        limited = {place for place, frame in step if frame.at is not None and self._followings[place].tracker}

        def allow(wanting: Sequence[int]) -> list[int]:
            """All files, and of the live sources the one whose last turn is longest ago."""
            live = [index for index in wanting if places[index] in limited]
            first = min(live, key=lambda index: self._turns.index(places[index]), default=None)
            if first is not None:
                self._turns.append(self._turns.pop(self._turns.index(places[first])))
            return [index for index in wanting if index not in live or index == first]

        return follow(frames, followings, landmarker, latencies, allow)
