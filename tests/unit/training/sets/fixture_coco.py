"""A COCO keypoint file: persons with five points, a category without points, crowds, and two images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.odd_images import smooth_picture, write_jpeg

NAMES = ["nose", "left_eye", "right_eye", "left_ear", "right_ear"]
IMAGES = {785: "000000000785.jpg", 872: "000000000872.jpg"}
SIZE = (100, 120)  # height, width


def content() -> dict[str, Any]:
    """Four objects with points in two images, and two that are passed over."""
    first = [50, 40, 2, 60, 30, 2, 40, 30, 1, 0, 0, 0, 0, 0, 0]
    second = [20, 21, 2, 22, 23, 2, 24, 25, 2, 26, 27, 2, 28.5, 29.5, 1]
    nothing = [0] * 15
    objects = [
        {"id": 1, "image_id": 785, "category_id": 1, "keypoints": first, "bbox": [30, 20, 40, 50], "iscrowd": 0},
        {"id": 2, "image_id": 785, "category_id": 1, "keypoints": second, "bbox": [0, 0, 120, 100], "iscrowd": 0},
        {"id": 3, "image_id": 872, "category_id": 1, "keypoints": nothing, "bbox": [1, 1, 9, 9], "num_keypoints": 0},
        {"id": 4, "image_id": 872, "category_id": 1, "keypoints": first, "bbox": [1, 1, 9, 9], "iscrowd": 1},
        {"id": 5, "image_id": 872, "category_id": 2, "bbox": [1, 1, 9, 9]},
        {"id": 6, "image_id": 872, "category_id": 1, "keypoints": second},
        {"id": 7, "image_id": 872, "category_id": 1, "keypoints": first, "bbox": [30.5, 20.5, 40, 50]},
    ]
    return {
        "images": [
            {"id": key, "file_name": name, "width": SIZE[1], "height": SIZE[0]} for key, name in IMAGES.items()
        ],
        "annotations": objects,
        "categories": [
            {"id": 1, "name": "person", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3]]},
            {"id": 2, "name": "dog"},
        ],
    }


def write_coco(root: Path, split: str = "val2017", **changed: Any) -> Path:
    """changed: parts of the file instead of the right ones."""
    for number, name in enumerate(IMAGES.values()):
        write_jpeg(root / split / name, smooth_picture(*SIZE, seed=number))
    (root / "annotations").mkdir(exist_ok=True)
    text = json.dumps({**content(), **changed})
    (root / "annotations" / f"person_keypoints_{split}.json").write_text(text, encoding="utf-8")
    return root
