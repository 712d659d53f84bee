"""A folder of one's own in the layout of lmdeploy.dataset, read like a published set.

The landmark schema is the built-in one with as many points as landmarks.csv has columns for; where that is not one's
own, read the folder with lmdeploy.dataset and a schema file instead.
"""

from __future__ import annotations

from pathlib import Path

from lmdeploy.csv_table import read_table
from lmdeploy.dataset import Loaded, scan_labelled, scan_unlabelled
from lmdeploy.errors import InputError
from lmdeploy.schema import BUILT_IN, LandmarkSchema, load_schema
from training.data.sets.base import DataSet

LAYOUT = """\
  images/          the files
  landmarks.csv    image,x0,y0,x1,y1,...   (without it the images are unlabelled)
  boxes.csv        image,x0,y0,x1,y1       optional"""


def read(root: Path, split: str) -> Loaded:
    """All samples of the folder; `split` is always `all`."""
    if not (root / "landmarks.csv").is_file():
        return scan_unlabelled(root)
    return scan_labelled(root, schema_of(root))


def schema_of(root: Path) -> LandmarkSchema:
    """The built-in schema with the number of points of the folder's landmarks.csv."""
    header = set(read_table(root / "landmarks.csv", []).header)
    count = next(k for k in range(len(header) + 1) if f"x{k}" not in header)
    fitting = [name for name in BUILT_IN if load_schema(name).points == count]
    if len(fitting) != 1:
        raise InputError(f"{root}: {count} points fit no built-in schema; give --schema with a TOML file")
    return load_schema(fitting[0])


POINTS_CSV = DataSet(
    name="points_csv",
    title="a folder in this package's own layout",
    schema=None,
    splits={"all": None},
    read=read,
    crop="package",
    normaliser="inter-ocular",
    layout=LAYOUT,
)
