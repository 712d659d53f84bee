"""COCO keypoints: pycocotools loads the file, and its evaluation gives the numbers that the equations give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lmdeploy.types import F32, Box, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.writers.base import About
from lmdeploy.writers.coco import CocoSink
from tests.tiny_bundle import BLOBS3

POINTS = np.array([[10.0, 12.0], [50.0, 14.5], [30.0, 52.25]], np.float32)
SIGMA = 0.05
NAN = np.float32(np.nan)


def face(points: F32, track: int = -1, score: float = 0.75) -> Landmarks:
    scores = np.full(len(points), score, np.float32)
    return Landmarks(points, points + np.float32(9), scores, scores, Box(1, 2, 5, 7), track=track, digest="d1")


def written(path: Path, frames: list[list[Landmarks]], time_ms: float | None = None) -> Path:
    sink = CocoSink(path, About(BLOBS3, "d0"))
    for index, faces in enumerate(frames):
        sink.write(Frame(np.zeros((60, 80, 3), np.uint8), index, time_ms, f"{index}.png"), faces)
    sink.close()
    sink.close()
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == []
    return path


def evaluated(truth: Path, found: Path) -> COCOeval:
    ground = COCO(str(truth))
    evaluation = COCOeval(ground, ground.loadRes(json.loads(found.read_text())["annotations"]), "keypoints")
    evaluation.params.kpt_oks_sigmas = np.full(3, SIGMA)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation


def test_pycocotools_loads_what_was_found(tmp_path: Path) -> None:
    unknown = POINTS.copy()
    unknown[1] = np.nan
    path = written(tmp_path / "deep" / "p.json", [[face(POINTS, 4)], [], [face(unknown), face(POINTS)]], 33.3333)
    coco = COCO(str(path))
    (category,) = coco.loadCats(coco.getCatIds())
    assert category["keypoints"] == ["red", "green", "blue"]
    assert category["skeleton"] == [[1, 2], [2, 3], [3, 1]]
    images = coco.loadImgs(coco.getImgIds())
    assert [(i["file_name"], i["width"], i["height"], i["frame"]) for i in images] == [
        (f"{n}.png", 80, 60, n) for n in range(3)
    ]
    assert images[0]["time_ms"] == 33.333
    assert [len(coco.getAnnIds(imgIds=[i["id"]])) for i in images] == [1, 0, 2]
    first, second, _ = coco.loadAnns(coco.getAnnIds())
    assert first["keypoints"] == [10, 12, 2, 50, 14.5, 2, 30, 52.25, 2]
    assert (first["num_keypoints"], first["score"], first["track_id"], first["digest"]) == (3, 0.75, 4, "d1")
    assert second["keypoints"][3:6] == [0, 0, 0]
    assert (second["num_keypoints"], "track_id" in second) == (2, False)
    assert first["bbox"] == [10.5, 12.5, 40, 40.25]
    assert first["area"] == 40 * 40.25
    assert second["bbox"] == [10.5, 12.5, 20, 40.25]


def test_boxes_and_keypoints_follow_coco_s_two_conventions(tmp_path: Path) -> None:
    pixels = np.zeros((60, 80), np.uint8, order="F")
    pixels[2:6, 3:9] = 1  # the thing covers these pixels whole, so its edges are half a pixel off their centres
    edges = np.array([[2.5, 1.5], [8.5, 5.5], [3.0, 2.0]], np.float32)
    found = json.loads(written(tmp_path / "p.json", [[face(edges)]]).read_text())["annotations"][0]
    encoded: Any = mask.encode(pixels)
    assert found["bbox"] == mask.toBbox(encoded).tolist()
    assert found["area"] == mask.area(encoded)
    x, y = found["keypoints"][6:8]  # a keypoint is a pixel's index
    assert pixels[int(y), int(x)] == 1
    assert pixels[int(y) - 1, int(x)] == 0
    assert pixels[int(y), int(x) - 1] == 0


def test_a_perfect_answer_scores_one_and_no_answer_zero(tmp_path: Path) -> None:
    truth = written(tmp_path / "truth.json", [[face(POINTS)], [face(POINTS + 3)], []])
    assert evaluated(truth, truth).stats[0] == 1.0
    none = written(tmp_path / "none.json", [[], [], [face(POINTS)]])  # a face where there is none
    assert evaluated(truth, none).stats[0] == 0.0


@pytest.mark.parametrize("hidden", [None, 1])
def test_oks_is_that_of_the_equation(tmp_path: Path, hidden: int | None) -> None:
    """OKS = mean over the known points of exp(-d^2 / (2 s^2 k^2)), s^2 the true area, k = 2 sigma."""
    known = POINTS.copy()
    if hidden is not None:
        known[hidden] = np.nan
    truth = written(tmp_path / "truth.json", [[face(known)], [face(known)]])
    area = 40 * 40.25 if hidden is None else 20 * 40.25
    far = np.sqrt(-2 * np.log(0.72) * area * (2 * SIGMA) ** 2)
    moved = POINTS + np.float32([far, 0])
    found = written(tmp_path / "found.json", [[face(moved)], [face(moved, score=0.5)]])
    evaluation = evaluated(truth, found)
    assert evaluation.ious[1, 1].item() == pytest.approx(0.72, abs=1e-3)
    assert evaluation.stats[0] == pytest.approx(0.5)  # right at the thresholds 0.5, 0.55, ..., 0.7 of ten


@pytest.mark.parametrize(
    ("points", "known"),
    [
        (np.array([[7, 8], [NAN, NAN], [NAN, NAN]], np.float32), 1),
        (np.array([[7, 8], [9, 8], [12, 8]], np.float32), 3),
        (np.full((3, 2), np.nan, np.float32), 0),
    ],
)
def test_points_without_area_take_the_box_that_was_cropped(tmp_path: Path, points: F32, known: int) -> None:
    path = written(tmp_path / "p.json", [[face(points)]])
    (found,) = COCO(str(path)).dataset["annotations"]
    assert (found["bbox"], found["area"], found["num_keypoints"]) == ([1.5, 2.5, 4, 5], 20, known)
    assert (found["score"] == 0.75) == (known > 0)


def test_no_frame_and_an_older_file(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("an older file")
    sink = CocoSink(tmp_path / "p.json", About(BLOBS3))
    assert not (tmp_path / "p.json").exists()  # what stands there is of this run or nothing
    sink.close()
    assert COCO(str(tmp_path / "p.json")).getImgIds() == []
