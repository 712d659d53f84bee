"""300-W: AFW, HELEN, LFPW and IBUG with the 68 points of iBUG (Sagonas et al. 2013).

Sample names are those of STLD's released lists: `<folder>_<image>`, folder with _ for /. The given box is
`bb_ground_truth` of the official bounding-box files where the copy has them, else none, and policies then take the
landmarks' own. Coordinates of .pts and .mat are 1-based; 1 is subtracted.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError
from lmdeploy.types import Box
from training.data.sets.base import DataSet, collect, need_folder
from training.data.sets.mat import read_mat
from training.data.sets.pts import FIRST_PIXEL, read_pts
from training.data.sets.text import box_of

IMAGES = (".jpg", ".png", ".jpeg")
LAYOUT = """\
  afw/                    337 images (.jpg, lfpw .png), each with a .pts of the same name
  helen/trainset/       2,000
  helen/testset/          330
  lfpw/trainset/          811
  lfpw/testset/           224
  ibug/                   135
  bounding_boxes_*.mat   optional, here or in Bounding Boxes/"""

_COMMON = ("helen/testset", "lfpw/testset")
FOLDERS = {
    "train": ("afw", "helen/trainset", "lfpw/trainset"),
    "common": _COMMON,
    "challenging": ("ibug",),
    "full": (*_COMMON, "ibug"),
}


def read(root: Path, split: str) -> Loaded:
    """Samples of a split, folder by folder, by name."""
    parts = [_read_folder(root, folder) for folder in FOLDERS[split]]
    samples = tuple(sample for part in parts for sample in part.samples)
    return Loaded(root, samples, tuple(line for part in parts for line in part.problems))


def read_boxes(root: Path, folder: str, kind: str = "bb_ground_truth") -> dict[str, Box] | None:
    """Boxes by image name from the official file of a folder, image px; None where the copy has no such file.

    kind: bb_ground_truth or bb_detector.
    """
    name = f"bounding_boxes_{folder.replace('/', '_')}.mat"
    places = (root, root / "Bounding Boxes", root / "Bounding_Boxes")
    path = next((place / name for place in places if (place / name).is_file()), None)
    if path is None:
        return None
    boxes = {}
    for cell in read_mat(path, ["bounding_boxes"])["bounding_boxes"].ravel():
        try:
            row = cell[0, 0]
            image, edges = str(row["imgName"][0]), np.asarray(row[kind], np.float64).ravel()
        except (IndexError, KeyError, ValueError, TypeError) as error:
            raise InputError(f"{path}: a cell is not a structure with imgName and {kind} ({error})") from error
        boxes[image] = box_of(edges - FIRST_PIXEL, f"{path.name} ({image})")
    return boxes


def _read_folder(root: Path, folder: str) -> Loaded:
    place = need_folder(root / folder, LAYOUT)
    try:
        boxes = read_boxes(root, folder)
    except InputError as error:
        return Loaded(place, (), (str(error),))
    files = list(place.iterdir())
    labels = sorted(file for file in files if file.suffix.lower() == ".pts")
    images = {file.stem: file for file in files if file.suffix.lower() in IMAGES}
    loaded = collect(place, labels, lambda label: _sample(folder, label, images, boxes))
    bare = sorted(set(images) - {label.stem for label in labels})
    return Loaded(place, loaded.samples, (*loaded.problems, *(f"{images[stem]}: no .pts beside it" for stem in bare)))


def _sample(folder: str, label: Path, images: dict[str, Path], boxes: dict[str, Box] | None) -> Sample:
    image = images.get(label.stem)
    if image is None:
        raise InputError(f"{label}: no image ({', '.join(IMAGES)}) beside it")
    if boxes is not None and image.name not in boxes:
        raise InputError(f"{image}: no row in bounding_boxes_{folder.replace('/', '_')}.mat")
    name = f"{folder.replace('/', '_')}_{image.name}"
    return Sample(name, image, read_pts(label, 68), box=None if boxes is None else boxes[image.name])


W300 = DataSet(
    name="300w",
    title="300-W",
    schema="ibug68",
    splits={"train": 3148, "common": 554, "challenging": 135, "full": 689},
    read=read,
    crop="stld_300w",
    normaliser="inter-ocular",
    layout=LAYOUT,
    remarks={"train": "AFW 337 + HELEN 2,000 + LFPW 811", "common": "HELEN 330 + LFPW 224", "challenging": "IBUG"},
)
