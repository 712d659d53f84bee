"""A sheet of a data set's crops with their points, to see at a glance whether labels, boxes and pairs are right.

Of two points that change places when the image is mirrored, the schema's first (left in the image) is orange and the
second green; the others are white. Thin lines are the schema's skeleton.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lmdeploy.atomic import write_file
from lmdeploy.dataset import Loaded, Sample, scan_labelled, scan_unlabelled
from lmdeploy.errors import DataError, InputError
from lmdeploy.geometry import CropRule, crop_image, crop_matrix, landmark_box, transform, whole_image_box
from lmdeploy.images import read_image
from lmdeploy.published import open_set
from lmdeploy.schema import LandmarkSchema, load_schema
from lmdeploy.types import U8, Array

TILE, CAPTION, GAP, COLUMNS = 224, 16, 4, 6  # px, px, px, tiles a row
SHIFT = 3  # OpenCV draws in 1/8 px
FIRST, SECOND, ALONE, LINE = (255, 140, 0), (60, 220, 90), (255, 255, 255), (90, 150, 210)  # RGB


@dataclass(frozen=True, slots=True)
class Sheet:
    """image: u8[H,W,3], RGB. shown: number of tiles. problems: one line for each image that cannot be read."""

    image: U8
    shown: int
    problems: tuple[str, ...]


def show_folder(folder: str | Path, schema: str, count: int) -> Sheet:
    """A sheet of a folder of one's own (images/ and landmarks.csv, or plain images), cropped as by default."""
    folder, landmarks = Path(folder), load_schema(schema)
    labelled = (folder / "landmarks.csv").is_file()
    loaded = scan_labelled(folder, landmarks) if labelled else scan_unlabelled(folder)
    return make_sheet(spread(_some(loaded), count), landmarks, CropRule())


def show_set(name: str, root: Path, split: str | None, count: int, schema: str) -> Sheet:
    """A sheet of a published set's split (default its first), cropped by the set's own rule.

    schema: for a set that has none of its own.
    """
    data = open_set(name)
    loaded = data.load(root, split or next(iter(data.splits)))
    return make_sheet(spread(_some(loaded), count), load_schema(data.schema or schema), data.rule)


def _some(loaded: Loaded) -> tuple[Sample, ...]:
    if not loaded.samples:
        raise DataError(f"{loaded.origin}: no good sample to show", loaded.problems)
    return loaded.samples


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """`count` of the samples, evenly over their order, first and last included."""
    at = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    return [samples[int(index)] for index in at]


def make_sheet(samples: Sequence[Sample], schema: LandmarkSchema | None, rule: CropRule) -> Sheet:
    """Draw the samples' crops row by row.

    Args:
        samples: their box is cropped, else the box of their points, else the whole image.
        schema: None draws the points without pairs and lines.
        rule: kind and scale of the crop; its size is the tile's.
    Errors: InputError when no sample can be shown.
    """
    tiles, problems = [], []
    for sample in samples:
        try:
            tiles.append(_tile(sample, schema, rule.model_copy(update={"size": TILE})))
        except InputError as error:
            problems.append(f"{sample.name}: {error}")
    if not tiles:
        raise InputError("\n  ".join(["there is nothing to show", *problems]))
    return Sheet(_grid(tiles), len(tiles), tuple(problems))


def write_sheet(path: Path, sheet: Sheet) -> None:
    """Write the picture as a PNG file; InputError for another kind's name."""
    if path.suffix.lower() != ".png":
        raise InputError(f"{path} is no name of a PNG file: choose one that ends in .png")
    import cv2  # loading OpenCV takes 0.1 s

    _, content = cv2.imencode(".png", np.ascontiguousarray(sheet.image[:, :, ::-1]))
    write_file(path, content.tobytes())


def _tile(sample: Sample, schema: LandmarkSchema | None, rule: CropRule) -> U8:
    """u8[TILE+CAPTION,TILE,3]: the crop, its points, and the sample's name."""
    import cv2

    if sample.points is not None and schema is not None and len(sample.points) != schema.points:
        raise InputError(f"{len(sample.points)} points, but schema {schema.name} has {schema.points}; give --schema")
    image = read_image(sample.path)
    box = sample.box or (landmark_box(sample.points) if sample.points is not None else None)
    matrix = crop_matrix(box or whole_image_box(*image.shape[:2]), rule)
    tile = np.zeros((TILE + CAPTION, TILE, 3), np.uint8)
    tile[:TILE] = crop_image(image, matrix, TILE)
    if sample.points is not None:
        _draw(tile[:TILE], transform(matrix, sample.points), schema)
    place = (2, TILE + CAPTION - 4)
    cv2.putText(tile, sample.name[-36:], place, cv2.FONT_HERSHEY_SIMPLEX, 0.34, ALONE, 1, cv2.LINE_AA)
    return tile


def _draw(tile: U8, points: Array, schema: LandmarkSchema | None) -> None:
    """Draw points f32[K,2], tile px, into u8[TILE,TILE,3] in place; NaN points are left out."""
    import cv2

    good = np.asarray(np.isfinite(points).all(axis=1))
    fixed = (np.clip(np.where(good[:, None], points, 0), -1000, 1000) * 2**SHIFT).round().astype(np.int32)
    lines = [fixed[list(line)] for line in (schema.skeleton if schema else ()) if good[list(line)].all()]
    canvas = np.ascontiguousarray(tile)
    cv2.polylines(canvas, lines, isClosed=False, color=LINE, thickness=1, lineType=cv2.LINE_AA, shift=SHIFT)
    colours = dict.fromkeys(range(len(points)), ALONE)
    for first, second in schema.flip_pairs if schema else ():
        colours[first], colours[second] = FIRST, SECOND
    for k in np.flatnonzero(good):
        x, y = fixed[k].tolist()
        cv2.circle(canvas, (x, y), round(1.8 * 2**SHIFT), colours[int(k)], -1, cv2.LINE_AA, SHIFT)
    tile[:] = canvas


def _grid(tiles: Sequence[U8]) -> U8:
    columns = min(COLUMNS, len(tiles))
    height, width = TILE + CAPTION + GAP, TILE + GAP
    sheet = np.full((math.ceil(len(tiles) / columns) * height - GAP, columns * width - GAP, 3), 32, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        y, x = row * height, column * width
        sheet[y : y + TILE + CAPTION, x : x + TILE] = tile
    return sheet
