"""Several outputs written side by side, for those who run their own loop over frames."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from lmdeploy.landmarker import Landmarker
from lmdeploy.types import Landmarks
from lmdeploy.video.draw import draw_faces
from lmdeploy.video.frame import Frame
from lmdeploy.writers.base import About
from lmdeploy.writers.choose import open_sinks, output_of


class Writers:
    """Files for results, their kinds told from their names, as for `lmdeploy predict -o`.

        with Writers(landmarker, "points.csv", "annotated.mp4") as writers:
            for seen in landmarker.stream("clip.mp4"):
                writers.write(seen.frame, seen.faces)

    `.csv` (a row a face), `.long.csv` (a row a landmark), `.ndjson`, `.json` (COCO keypoints), `.parquet`, `.mp4`, a
    folder/ (annotated pictures), `-` (NDJSON on standard output). They are written by one thread, and are whole when
    closed; what a killed process leaves is said in lmdeploy.writers.

    Args:
        landmarker: whose results are written: its schema names the points, its digest the model.
        names: at least one.
        rate: frames per second of an .mp4 whose frames have no time; 0 takes 30.
        pose: columns for yaw, pitch and roll in .csv and .parquet, for faces that have a pose.
        sources: the frames are of several sources: a column, or key, names each one's (Frame.source).
    Errors: InputError for a name without a kind, named twice, or a place that cannot be written; MissingExtraError.
    """

    def __init__(
        self,
        landmarker: Landmarker,
        *names: str | Path,
        rate: float = 0.0,
        pose: bool = False,
        sources: bool = False,
    ) -> None:
        """Open all of them, or none."""
        self._schema = landmarker.spec.landmarks
        about = About(self._schema, landmarker.model.digest, rate, pose, sources)
        self._sinks = open_sinks([output_of(str(name)) for name in names], about)
        self._drawn = any(sink.drawn for sink in self._sinks)

    def write(self, frame: Frame, faces: Sequence[Landmarks]) -> None:
        """Add one frame with its faces; of a still image Frame(image, 0, None, "photo.jpg") will do.

        InputError when the disk is full or the place is gone.
        """
        picture = draw_faces(frame.image.copy(), faces, self._schema) if self._drawn else None
        for sink in self._sinks:
            sink.write(frame, faces, picture)

    def close(self) -> None:
        """Finish all files, also where one of them fails; a second call does nothing."""
        with ExitStack() as closing:
            for sink in self._sinks:
                closing.callback(sink.close)

    def __enter__(self) -> Writers:
        """The writers themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()
