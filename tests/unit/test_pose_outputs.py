"""The pose on its way: from the pipeline into CSV, NDJSON, Parquet and pictures, read back by other readers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from lmdeploy.dataset import scan_labelled
from lmdeploy.detect import open_detector
from lmdeploy.geometry import crop_matrix, transform, whole_image_box
from lmdeploy.landmarker import Landmarker
from lmdeploy.pose import with_pose
from lmdeploy.results import to_pandas
from lmdeploy.schema import load_schema
from lmdeploy.types import Box, Landmarks
from lmdeploy.video.draw import AXES, draw_faces
from lmdeploy.video.follow import FollowOptions
from lmdeploy.video.frame import Frame
from lmdeploy.video.pipeline import run
from lmdeploy.writers.base import About
from lmdeploy.writers.choose import open_sinks, output_of
from lmdeploy.writers.pictures import write_image
from lmdeploy.writers.several import Writers
from tests.blob_video import Kept, Made
from tests.fake_model import constant, fake_model
from tests.unit.test_pose import face_of, seen

IBUG = load_schema("ibug68")
TURN = (30.0, -10.0, 5.0)
HW = (160, 160)
PICTURE = np.zeros((*HW, 3), np.uint8)


@pytest.fixture(scope="module")
def face() -> Landmarks:
    """A turned face in a picture of 160 x 160; points that are no part of the generic head lie in its middle."""
    camera = np.array([[160.0, 0, 79.5], [0, 160.0, 79.5], [0, 0, 1]])
    points = seen("ibug68", TURN, camera, np.array([0.0, -30.0, 300.0]))
    points[np.isnan(points)] = 80.0
    return face_of(points)


def write(folder: Path, faces: list[Landmarks], *, pose: bool = True) -> None:
    names = ("landmarks.csv", "p.ndjson", "p.parquet")
    sinks = open_sinks([output_of(str(folder / name)) for name in names], About(IBUG, "d", pose=pose))
    for sink in sinks:
        sink.write(Frame(PICTURE, 0, None, "a.png"), faces, None)
        sink.close()


def test_every_format_holds_the_same_angles(face: Landmarks, tmp_path: Path) -> None:
    write(tmp_path, [*with_pose([face], HW, IBUG), face])
    tables = [pd.read_csv(tmp_path / "landmarks.csv"), pq.read_table(tmp_path / "p.parquet").to_pandas()]
    for table in tables:
        np.testing.assert_allclose(table.loc[0, ["yaw", "pitch", "roll"]].astype(float), TURN, atol=0.1)
        assert table.loc[1, ["yaw", "pitch", "roll"]].isna().all()
    first, second = (json.loads(line) for line in (tmp_path / "p.ndjson").read_text().splitlines())
    found = first["pose"]
    np.testing.assert_allclose([found["yaw"], found["pitch"], found["roll"]], TURN, atol=0.1)
    np.testing.assert_allclose(found["translation_mm"], [0, -30, 300], atol=2)
    assert "pose" not in second


def test_pandas_table_equals_the_csv_file(face: Landmarks, tmp_path: Path) -> None:
    faces = [*with_pose([face], HW, IBUG), face]
    write(tmp_path, faces)
    table = to_pandas(faces, images=["a.png"])
    wanted = pd.read_csv(tmp_path / "landmarks.csv", dtype={"track": "Int64"})
    pd.testing.assert_frame_equal(table, wanted, check_dtype=False, atol=6e-3)
    assert "yaw" not in to_pandas([face]).columns


def test_csv_with_angles_is_still_read_as_labels(face: Landmarks, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    write_image(tmp_path / "images" / "a.png", PICTURE)
    write(tmp_path, with_pose([face], HW, IBUG))
    header = (tmp_path / "landmarks.csv").read_text().splitlines()[0].split(",")
    assert header[:9] == ["image", "frame", "time_ms", "track", "score", "yaw", "pitch", "roll", "x0"]
    loaded = scan_labelled(tmp_path, IBUG)
    assert loaded.problems == ()
    np.testing.assert_allclose(loaded.samples[0].points, face.points, atol=6e-4)


def test_nothing_changes_unless_asked_for(face: Landmarks, tmp_path: Path) -> None:
    write(tmp_path, [face], pose=False)
    assert (tmp_path / "landmarks.csv").read_text().startswith("image,frame,time_ms,track,score,x0,")
    assert "yaw" not in pq.read_table(tmp_path / "p.parquet").column_names
    assert "pose" not in (tmp_path / "p.ndjson").read_text()


@pytest.fixture
def landmarker(face: Landmarks) -> Landmarker:
    """It finds this face, whatever it sees."""
    model = fake_model(constant(face.points), "ibug68")
    to_crop = crop_matrix(whole_image_box(*HW), model.spec.crop)
    model.backend._answer = constant(transform(to_crop, face.points))  # type: ignore[attr-defined]  # FakeBackend's
    return Landmarker(model, lambda: open_detector("whole_image", None))


def check_turn(found: Landmarks) -> None:
    assert found.pose is not None
    assert (found.pose.yaw_deg, found.pose.pitch_deg) == pytest.approx(TURN[:2], abs=0.2)


@pytest.mark.parametrize("stream", [True, False])
def test_pipeline_fills_in_the_pose_of_the_points_it_gives(landmarker: Landmarker, stream: bool) -> None:
    source, kept = Made(2, stream=stream), Kept()
    run(source, lambda: landmarker, FollowOptions(pose=True, track=False).following(source), [kept])
    for (found,) in kept.faces:
        check_turn(found)


def test_stream_of_a_landmarker_has_poses_where_it_is_asked_for_them(landmarker: Landmarker, tmp_path: Path) -> None:
    with (
        landmarker.stream([Made(3), Made(2, stream=False)], pose=True) as stream,
        Writers(landmarker, tmp_path / "p.csv", pose=True) as writers,
    ):
        for one in stream:
            check_turn(one.faces[0])
            writers.write(one.frame, one.faces)
    np.testing.assert_allclose(pd.read_csv(tmp_path / "p.csv")[["yaw", "pitch"]], [TURN[:2]] * 5, atol=0.2)
    assert [face.pose for seen in landmarker.stream(Made(3)) for face in seen.faces] == [None] * 3


def test_axes_are_drawn_where_the_pose_says(face: Landmarks) -> None:
    (posed,) = with_pose([face], HW, IBUG)
    assert posed.pose is not None
    plain, drawn = (draw_faces(PICTURE.copy(), [one], IBUG) for one in (face, posed))
    for color, end in zip(AXES, posed.pose.axes[1:], strict=True):
        x, y = np.round(posed.pose.axes[0] + 0.8 * (end - posed.pose.axes[0])).astype(int)
        near = drawn[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).astype(int)
        assert np.abs(near - color).sum(axis=1).min() < 120  # other colours are 300 away
    assert (plain != drawn).any()


def test_points_that_are_no_head_keep_no_pose(face: Landmarks) -> None:
    nowhere = replace(face, points=np.full((68, 2), 5, np.float32), box=Box(0, 0, 1, 1))
    assert [one.pose is None for one in with_pose([nowhere, face], HW, IBUG)] == [True, False]
