"""COCO keypoints: one JSON file that pycocotools and what is built on it read.

Where COCO's conventions are not ours (types.Box, design's pixel centres):

- keypoints are pixel indices in COCO (integers from 0 to W - 1), so an integer is a pixel's centre, as with us: x and
  y are written as they are, only not rounded to integers;
- boxes and areas are measured in COCO from the image's top left corner, continuously from 0 to W: they are written as
  (x0 + 1/2, y0 + 1/2, width, height).

`v` is 2 for every point that is known and 0 (with x = y = 0) for one that is not: a network does not say whether a
point was hidden. `bbox` is the tight box of the known points and `area` its area, for there is no segmentation; where
they span no area it is the box that was cropped. Beside COCO's keys annotations have `score` (mean over the known
points), `track_id` on streams and `digest` (of the bundle); images have `frame` and `time_ms`. An image's id is its
frame + 1; images without a face are there, too. Of several sources images have `source` (Frame.source) as well and are
counted from 1, for two may have one name and one frame.

As detections: COCO(truth).loadRes(json["annotations"]). Killed: nothing at the file's name; `recover` makes the file,
up to the last frame.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lmdeploy.geometry import landmark_box
from lmdeploy.schema import LandmarkSchema
from lmdeploy.types import U8, Box, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.writers import spool
from lmdeploy.writers.base import About, unwritable
from lmdeploy.writers.lines import LineFile

CATEGORY = 1
HEAD, FRAMES = "head.json", "frames.txt"
SPLIT = "\t"  # between an image and its annotations in a line of the spool; JSON never holds a bare tab


class CocoSink:
    """COCO keypoints of every frame; see the module for the conventions and for what a kill leaves."""

    drawn = False

    def __init__(self, path: Path, about: About) -> None:
        """Begin the hidden folder; InputError when it cannot be written."""
        self._path, self._next, self._closed = path, 1, False
        self._sources, self._images = about.sources, 0
        folder = spool.start(path)
        try:
            (folder / HEAD).write_text(_dump(_head(about)), encoding="utf-8")
        except OSError as error:
            raise unwritable(path, error) from error
        self._lines = LineFile(folder / FRAMES)

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None = None) -> None:
        """Add an image and its faces."""
        self._images += 1
        image = self._images if self._sources else frame.index + 1
        found = [annotation(image, face, self._next + number) for number, face in enumerate(faces)]
        self._next += len(found)
        self._lines.write(f"{_dump(_image(frame, image))}{SPLIT}{','.join(map(_dump, found))}\n")

    def close(self) -> None:
        """Make the file; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._lines.close()
            spool.finish(self._path, assemble)


def annotation(image: int, face: Landmarks, number: int) -> dict[str, Any]:
    """One face, of the image with the id `image`, as a COCO annotation with the id `number`."""
    known = np.asarray(np.isfinite(face.points).all(axis=1))
    points = np.round(np.where(known[:, None], face.points, 0.0).astype(np.float64), 3).tolist()
    box = _box(face)
    found: dict[str, Any] = {
        "id": number,
        "image_id": image,
        "category_id": CATEGORY,
        "iscrowd": 0,
        "bbox": [round(v, 3) for v in (box.x0 + 0.5, box.y0 + 0.5, box.width, box.height)],
        "area": round(box.width * box.height, 3),
        "num_keypoints": int(known.sum()),
        "keypoints": [v for (x, y), seen in zip(points, known.tolist(), strict=True) for v in (x, y, 2 * seen)],
        "score": round(float(np.nan_to_num(face.score[known]).mean()), 4) if known.any() else 0.0,
        "digest": face.digest,
    }
    if face.track >= 0:
        found["track_id"] = face.track
    return found


def assemble(folder: Path, draft: Path) -> None:
    """The file from its parts, without holding more than a frame in memory."""
    head = (folder / HEAD).read_text(encoding="utf-8")
    with draft.open("w", encoding="utf-8", newline="\n") as out:
        out.write(head[:-1])
        for column, name in enumerate(("images", "annotations")):
            out.write(f',\n"{name}":[')
            separator = "\n"
            for cells in _spooled(folder / FRAMES):
                if cells[column]:
                    out.write(f"{separator}{cells[column]}")
                    separator = ",\n"
            out.write("\n]")
        out.write("}\n")


def _spooled(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            if line.endswith("\n"):  # a kill can cut the last one
                yield line[:-1].split(SPLIT)


def _head(about: About) -> dict[str, Any]:
    from lmdeploy import __version__

    schema = about.schema
    category = {
        "id": CATEGORY,
        "name": schema.name,
        "supercategory": "landmarks",
        "keypoints": list(schema.names),
        "skeleton": _skeleton(schema),
    }
    return {
        "info": {"description": f"{schema.name} landmarks by lmdeploy {__version__}", "bundle": about.digest},
        "licenses": [],
        "categories": [category],
    }


def _skeleton(schema: LandmarkSchema) -> list[list[int]]:
    """Pairs of joined points; COCO counts them from 1."""
    return [[a + 1, b + 1] for line in schema.skeleton for a, b in pairwise(line)]


def _image(frame: Frame, number: int) -> dict[str, Any]:
    height, width = frame.image.shape[:2]
    about = {"id": number, "width": width, "height": height, "file_name": frame.name, "frame": frame.index}
    about |= {"source": frame.source} if frame.source else {}
    return about if frame.time_ms is None else {**about, "time_ms": round(frame.time_ms, 3)}


def _box(face: Landmarks) -> Box:
    if np.isfinite(face.points).all(axis=1).any():
        tight = landmark_box(face.points)
        if tight.width * tight.height > 0:
            return tight
    return face.box


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
