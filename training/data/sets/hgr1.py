"""HGR1: hands in Polish and American sign language with 25 points each (Kawulok et al. 2014), split as SMT does.

Images are named <gesture>_<P or A>_hgr1_id<subject>_<number>.jpg, and each has an XML file of the same name with 25
elements <FeaturePoint x="" y=""/>; 27 gestures of 12 subjects. Subjects 1-8 train, 11-12 validate, 9-10 test (SMT,
4.3), and the subject is the identity. The files do not say their base; coordinates are taken as 0-based [R].
No box is given: the whole image is used.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError
from lmdeploy.types import F32
from training.data.sets.base import DataSet, collect, need_folder
from training.data.sets.image_size import image_size
from training.data.sets.text import numbers

POINTS = 25
SUBJECTS = {"train": range(1, 9), "valid": range(11, 13), "test": range(9, 11)}
NAME = re.compile(r"(?P<gesture>[^_]+_[^_]+)_hgr1_id(?P<subject>\d\d)_\d+")
LAYOUT = """\
  original_images/1_P_hgr1_id01_1.jpg    (or hgr1_images/original_images)
  feature_points/1_P_hgr1_id01_1.xml     (or hgr1_feature_pts/feature_points)"""


def read(root: Path, split: str) -> Loaded:
    """Samples of a split by name."""
    images = _folder(root, "original_images", "hgr1_images")
    labels = {file.stem: file for file in _folder(root, "feature_points", "hgr1_feature_pts").glob("*.xml")}
    pictures = {file.stem: file for file in images.iterdir() if file.suffix.lower() in (".jpg", ".jpeg")}
    problems, names = [], []
    for name in sorted({*labels, *pictures}):
        found = NAME.fullmatch(name)
        if found is None:
            problems.append(f"{name}: the name is not <gesture>_<P or A>_hgr1_id<subject>_<number>")
        elif int(found["subject"]) in SUBJECTS[split]:
            names.append(name)
    loaded = collect(images, names, lambda name: _sample(name, pictures, labels))
    return Loaded(images, loaded.samples, (*problems, *loaded.problems))


def gesture(sample: Sample) -> str:
    """One of the 27 gestures, such as 1_P: sign and alphabet (P Polish, A American)."""
    found = NAME.match(sample.name)
    return found["gesture"] if found else ""


def read_points(path: Path) -> tuple[F32, tuple[int, int] | None]:
    """Points f32[25,2], image px, in the file's order, and (height, width) of the image where the file states them."""
    try:
        tree = ElementTree.parse(path)
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(f"{path}: not a readable XML file, copy it again ({error})") from error
    cells = [element.get(axis, "") for element in tree.iter("FeaturePoint") for axis in "xy"]
    if len(cells) != 2 * POINTS:
        raise InputError(f"{path}: {len(cells) // 2} elements FeaturePoint instead of {POINTS}")
    points = numbers(cells, str(path)).reshape(POINTS, 2).astype(np.float32)
    about = next(tree.iter("IMAGE"), None)
    stated = [about.get(side, "") for side in ("HEIGHT", "WIDTH")] if about is not None else []
    return points, (int(stated[0]), int(stated[1])) if stated and all(s.isdigit() for s in stated) else None


def _folder(root: Path, name: str, outer: str) -> Path:
    inner = root / outer / name
    return inner if inner.is_dir() else need_folder(root / name, LAYOUT)


def _sample(name: str, pictures: dict[str, Path], labels: dict[str, Path]) -> Sample:
    if name not in pictures:
        raise InputError(f"{labels[name]}: no image {name}.jpg")
    if name not in labels:
        raise InputError(f"{pictures[name]}: no feature_points/{name}.xml")
    points, stated = read_points(labels[name])
    size = image_size(pictures[name])
    if stated not in (None, size):
        raise InputError(f"{labels[name]}: for an image of height and width {stated}, but {pictures[name]} has {size}")
    return Sample(pictures[name].name, pictures[name], points, name.split("_")[3])


HGR1 = DataSet(
    name="hgr1",
    title="HGR1 (25 points of a hand)",
    schema="hgr25",
    splits={"train": 573, "valid": 163, "test": 162},
    read=read,
    crop="whole_64",
    normaliser="wrist width",
    layout=LAYOUT,
    remarks={"train": "subjects 1-8", "valid": "subjects 11-12", "test": "subjects 9-10"},
)
