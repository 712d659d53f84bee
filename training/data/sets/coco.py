"""Any file of COCO's keypoint format (Lin et al. 2014): categories with named keypoints, and one Sample an object.

A keypoint is x, y, v with v = 0 not annotated, 1 annotated but hidden, 2 visible; hidden ones count like visible ones.
Crowds and objects without an annotated keypoint are passed over: COCO itself has many. Keypoints are 0-based pixel
indices; a bbox [x, y, width, height] is measured from the image's top left corner, which lies at (-0.5, -0.5) here.
Objects that share a picture share an identity, because they are not independent.

`coco` gives all keypoints of the category in its order. `coco:SCHEMA`, SCHEMA a built-in name or a TOML file, gives
the schema's points: those of the same names where a category has them all, else all in order where there are as many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError
from lmdeploy.schema import LandmarkSchema, load_schema
from lmdeploy.types import F32, Box
from training.data.sets.base import DataSet, collect, need_file
from training.data.sets.coco_json import Category, Id, Image, Object, read_content
from training.data.sets.image_size import image_size
from training.data.sets.text import box_of

CORNER = 0.5  # px from the image's corner to the first pixel's centre
LAYOUT = """\
  annotations/person_keypoints_train2017.json, person_keypoints_val2017.json
  train2017/*.jpg, val2017/*.jpg       (or in images/)
or, as split `all`, a keypoint file of your own:
  annotations/NAME.json                the only .json file there (or in the folder itself)
  images/                              where file_name is looked up, else in the folder itself"""
Order = Mapping[Id, Sequence[int]]  # category -> index of each wanted point


def read(schema: LandmarkSchema | None, root: Path, split: str) -> Loaded:
    """Samples of a split in the order of the file's annotations; schema None: the category's own points."""
    path = _only_file(root) if split == "all" else root / "annotations" / f"person_keypoints_{split}.json"
    return read_file(need_file(path, LAYOUT), [root / split, root / "images" / split, root / "images", root], schema)


def read_file(path: Path, folders: Sequence[Path], schema: LandmarkSchema | None = None) -> Loaded:
    """Samples of one file, whose images are looked up in the folders in turn."""
    content = read_content(path)
    order = wanted_points(content.categories, schema, path)
    lengths = {category.id: 3 * len(category.keypoints) for category in content.categories}
    objects = [thing for thing in content.objects if not thing.iscrowd and _annotated(thing, order)]

    def make(thing: Object) -> Sample:
        where = f"{path.name} annotation {thing.id}"
        if len(thing.keypoints) != lengths[thing.category_id]:
            raise InputError(
                f"{where}: {len(thing.keypoints)} numbers, not the category's {lengths[thing.category_id]}"
            )
        points = _points(thing, order[thing.category_id], where)
        return _sample(thing, points, content.images, folders, where)

    loaded = collect(path, objects, make)
    return Loaded(path, loaded.samples, (*content.problems, *loaded.problems))


def wanted_points(categories: Sequence[Category], schema: LandmarkSchema | None, path: Path) -> Order:
    """Which keypoints of which categories are wanted.

    InputError where the schema fits no category, or none is given and the categories differ.
    """
    known = [category for category in categories if category.keypoints]
    if not known:
        raise InputError(f"{path}: no category has keypoints, so it is a COCO file of another kind")
    if schema is None:
        if len({category.keypoints for category in known}) > 1:
            names = ", ".join(category.name for category in known)
            raise InputError(f"{path}: the categories {names} have different keypoints; name a schema as coco:SCHEMA")
        return {category.id: range(len(category.keypoints)) for category in known}
    named = [category for category in known if set(schema.names) <= set(category.keypoints)]
    if named:
        return {c.id: [c.keypoints.index(name) for name in schema.names] for c in named}
    as_many = [category for category in known if len(category.keypoints) == schema.points]
    if not as_many:
        found = ", ".join(f"{category.name} {len(category.keypoints)}" for category in known)
        raise InputError(f"{path}: schema {schema.name} has {schema.points} points, the categories have {found}")
    return {category.id: range(schema.points) for category in as_many}


def _only_file(root: Path) -> Path:
    found = [file for folder in (root / "annotations", root) for file in sorted(folder.glob("*.json"))]
    if len(found) != 1:
        raise InputError(f"{root}: {len(found)} .json files instead of one. The data set is expected as\n{LAYOUT}")
    return found[0]


def _annotated(thing: Object, order: Order) -> bool:
    """Whether one of the wanted points is annotated; an object with too few numbers is kept, so that it is named."""
    flags, wanted = thing.keypoints[2::3], order.get(thing.category_id, ())
    return bool(thing.keypoints and wanted) and (max(wanted) >= len(flags) or any(flags[k] for k in wanted))


def _points(thing: Object, order: Sequence[int], where: str) -> F32:
    """f32[K,2], image px, NaN where not annotated."""
    rows = np.array(thing.keypoints, np.float64).reshape(-1, 3)
    if not np.isin(rows[:, 2], (0, 1, 2)).all():
        raise InputError(f"{where}: a visibility flag is none of 0, 1, 2")
    rows = rows[list(order)]
    return np.where(rows[:, 2:] > 0, rows[:, :2], np.nan).astype(np.float32)


def _sample(thing: Object, points: F32, images: Mapping[Id, Image], folders: Sequence[Path], where: str) -> Sample:
    if thing.image_id not in images:
        raise InputError(f"{where}: no image has the id {thing.image_id}")
    image = images[thing.image_id]
    path = next((folder / image.file_name for folder in folders if (folder / image.file_name).is_file()), None)
    if path is None:
        raise InputError(f"{where}: no such image {folders[0] / image.file_name}")
    stated, size = (image.height, image.width), image_size(path)
    if None not in stated and stated != size:
        raise InputError(f"{where}: {path} has height and width {size}, the file says {stated}; it is another image")
    name = PurePosixPath(image.file_name)
    return Sample(f"{name.with_suffix('')}_{thing.id}{name.suffix}", path, points, image.file_name, _box(thing, where))


def _box(thing: Object, where: str) -> Box | None:
    if thing.bbox is None:
        return None
    x, y, w, h = thing.bbox
    return box_of(np.array([x, y, x + w, y + h]) - CORNER, where)


def coco(schema: str = "") -> DataSet:
    """The set for a schema, a built-in name or a TOML file; "" takes every category's own points."""
    chosen = load_schema(schema) if schema else None
    return DataSet(
        name="coco",
        title="COCO keypoints",
        schema=schema or None,
        splits={"all": None, "train2017": None, "val2017": None},
        read=partial(read, chosen),
        crop="hrnet",
        normaliser=chosen.normaliser.name if chosen else "image size",
        layout=LAYOUT,
    )
