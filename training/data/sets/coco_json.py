"""The records of a COCO keypoint file, each checked by itself so that a broken one is named and the others stay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from lmdeploy.errors import InputError

Id = int | str


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # the format has fields that are of no use here

    id: Id


class Image(_Record):
    """file_name: below the folder of the images. width, height: px, where stated."""

    file_name: str = Field(min_length=1)
    width: int | None = None
    height: int | None = None


class Category(_Record):
    """keypoints: their names; none for a category of boxes or masks."""

    name: str = ""
    keypoints: tuple[str, ...] = ()


class Object(_Record):
    """keypoints: x, y, v for each point of the category. bbox: x, y, width, height, px from the top left corner."""

    image_id: Id
    category_id: Id
    keypoints: tuple[FiniteFloat, ...] = ()
    bbox: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    iscrowd: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """The good records, by id where they are looked up, and a line for each broken one."""

    images: dict[Id, Image]
    categories: tuple[Category, ...]
    objects: tuple[Object, ...]
    problems: tuple[str, ...]


def read_content(path: Path) -> Content:
    """All records of a file; InputError when it is no COCO file at all."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a readable JSON file, copy it again ({error})") from error
    for part in ("images", "categories", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(part), list):
            raise InputError(f"{path}: no list {part!r} in it, so it is not a COCO keypoint file")
    images, of_images = _records(Image, content["images"], f"{path.name} images")
    categories, of_categories = _records(Category, content["categories"], f"{path.name} categories")
    objects, of_objects = _records(Object, content["annotations"], f"{path.name} annotations")
    problems = (*of_images, *of_categories, *of_objects)
    return Content({image.id: image for image in images}, tuple(categories), tuple(objects), problems)


R = TypeVar("R", bound=_Record)


def _records(kind: type[R], rows: Sequence[Any], where: str) -> tuple[list[R], list[str]]:
    good, problems, seen = [], [], set[Id]()
    for number, row in enumerate(rows):
        try:
            record = kind.model_validate(row)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            problems.append(f"{where}[{number}]: {place}: {first['msg']}")
            continue
        if record.id in seen:
            problems.append(f"{where}[{number}]: the id {record.id} comes twice")
            continue
        seen.add(record.id)
        good.append(record)
    return good, problems
