"""Head pose: known turns of a head come back, for every schema, with noise, mirrored, and with unknown cameras."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import lmdeploy
from lmdeploy import Box, InputError, Landmarks, head_pose, load_schema
from lmdeploy.face_points import HEAD_MM, LANDMARKS
from lmdeploy.pose import angles_deg, assumed_camera
from lmdeploy.types import HeadPose
from tests.oracles.pinhole import head_axes, photograph

HW = (480, 640)
CAMERA = assumed_camera(HW)
PLACE = np.array([30.0, -20.0, 600.0])
TURNS = list(itertools.product((-70, -25, 0, 40), (-30, 0, 20), (-45, 0, 10)))


def face_of(points: np.ndarray) -> Landmarks:
    ones = np.ones(len(points), np.float32)
    return Landmarks(points.astype(np.float32), points.astype(np.float32), ones, ones, Box(0, 0, 1, 1))


def seen(
    schema: str,
    turn: tuple[float, float, float],
    camera: np.ndarray = CAMERA,
    place: np.ndarray = PLACE,
    **head: float,
) -> np.ndarray:
    """f64[K,2], image px: the landmarks of a turned head; those that are no points of the head are not known."""
    points = np.full((load_schema(schema).points, 2), np.nan)
    known = LANDMARKS[schema]
    stretch = np.array([head.get("wide", 1.0), head.get("long", 1.0), head.get("deep", 1.0)])
    model = np.array([HEAD_MM[name] for name in known.values()]) * stretch
    points[list(known)] = photograph(model, head_axes(*turn), place, camera)
    return points


def pose_of(points: np.ndarray, schema: str = "ibug68", **given: object) -> HeadPose:
    return head_pose(face_of(points), HW, load_schema(schema), **given)  # type: ignore[arg-type]  # the camera


def angles(pose: HeadPose) -> np.ndarray:
    return np.array([pose.yaw_deg, pose.pitch_deg, pose.roll_deg])


@pytest.mark.parametrize("schema", sorted(LANDMARKS))
def test_known_turns_come_back(schema: str) -> None:
    for turn in TURNS:
        pose = pose_of(seen(schema, turn), schema)
        np.testing.assert_allclose(angles(pose), turn, atol=0.05, err_msg=f"{turn}")
        np.testing.assert_allclose(pose.rotation, head_axes(*turn), atol=1e-3)
        np.testing.assert_allclose(pose.translation_mm, PLACE, atol=1.0)
        assert pose.error_px < 0.01


def test_signs_by_hand() -> None:
    nose, chin, eye = 30, 8, 45
    straight, right, up, lean = (
        seen("ibug68", turn) for turn in ((0.0, 0.0, 0.0), (30.0, 0.0, 0.0), (0.0, 20.0, 0.0), (0.0, 0.0, 20.0))
    )
    assert right[nose, 0] > straight[nose, 0]  # the nose moved to the image's right
    assert up[nose, 1] < straight[nose, 1]
    assert lean[chin, 0] < straight[chin, 0]  # the chin swings left when the top leans right
    assert lean[eye, 1] > straight[eye, 1]
    found = [angles(pose_of(points)).round().tolist() for points in (right, up, lean)]
    assert found == [[30, 0, 0], [0, 20, 0], [0, 0, 20]]


@pytest.mark.parametrize("schema", sorted(LANDMARKS))
def test_mirrored_picture_flips_yaw_and_roll(schema: str) -> None:
    flip = list(load_schema(schema).flip_index)
    for turn in ((35.0, 10.0, -15.0), (-50.0, -20.0, 25.0)):
        points = seen(schema, turn)
        mirrored = (np.array([HW[1] - 1, 0]) + np.array([-1, 1]) * points)[flip]
        yaw, pitch, roll = turn
        np.testing.assert_allclose(angles(pose_of(mirrored, schema)), [-yaw, pitch, -roll], atol=0.05)


@pytest.mark.parametrize(("schema", "limit"), [("ibug68", 2.5), ("wflw98", 2.5), ("face5", 3.5)])
def test_noise_of_one_pixel_at_96_px_between_the_eyes(schema: str, limit: float) -> None:
    """One pixel is 1 % of the distance of the outer eye corners here; limits are for 95 of 100 photographs."""
    rng = np.random.default_rng(0)
    worst = []
    for _ in range(100):
        turn = (rng.uniform(-45, 45), rng.uniform(-25, 25), rng.uniform(-30, 30))
        points = seen(schema, turn) + rng.normal(0, 1, (load_schema(schema).points, 2))
        worst.append(np.abs(angles(pose_of(points, schema)) - turn).max())
    assert np.percentile(worst, 95) < limit


@pytest.mark.parametrize("focal", [0.7, 1.5, 3.0])
def test_unknown_focal_length_matters_little_in_the_middle(focal: float) -> None:
    camera = CAMERA.copy()
    camera[[0, 1], [0, 1]] *= focal
    place = np.array([0.0, 0.0, 600.0 * focal])
    for turn in ((30.0, 0.0, 0.0), (-40.0, 15.0, 10.0)):
        points = seen("ibug68", turn, camera, place)
        np.testing.assert_allclose(angles(pose_of(points)), turn, atol=2.0)
        np.testing.assert_allclose(angles(pose_of(points, camera=camera)), turn, atol=0.05)


@pytest.mark.parametrize("head", [{"wide": 1.1}, {"wide": 0.9}, {"long": 1.1}, {"deep": 1.2}, {"deep": 0.8}])
def test_heads_of_other_proportions_are_off_by_a_few_degrees(head: dict[str, float]) -> None:
    for turn in ((0.0, 0.0, 0.0), (30.0, 10.0, 0.0), (-30.0, -10.0, 15.0)):
        np.testing.assert_allclose(angles(pose_of(seen("ibug68", turn, **head))), turn, atol=5.0)


def test_axes_are_the_head_s_own() -> None:
    nasion = np.array(HEAD_MM["nasion"])
    ends = nasion + np.array([[0, 0, 0], [60, 0, 0], [0, 60, 0], [0, 0, -60]])
    turn = (25.0, 10.0, -5.0)
    pose = pose_of(seen("ibug68", turn))
    np.testing.assert_allclose(pose.axes, photograph(ends, head_axes(*turn), PLACE, CAMERA), atol=0.05)


def test_unknown_points_are_left_out() -> None:
    points = seen("ibug68", (20, 5, 5))
    points[[36, 48, 8, 33]] = np.nan
    np.testing.assert_allclose(angles(pose_of(points)), (20, 5, 5), atol=0.05)
    points[[39, 42, 45, 27, 30]] = np.nan
    with pytest.raises(InputError, match="needs 5 of the landmarks"):
        pose_of(points)


def test_what_has_no_pose_is_said() -> None:
    with pytest.raises(
        InputError, match="no head pose from landmarks of schema hand37: it is known for aflw19, cofw29"
    ):
        pose_of(np.zeros((37, 2)), "hand37")
    with pytest.raises(InputError, match="68 points but the face has 5"):
        pose_of(np.zeros((5, 2)))
    with pytest.raises(InputError, match="no head pose"):
        pose_of(np.full((68, 2), 7.0))
    with pytest.raises(InputError, match="3 x 3"):
        pose_of(seen("ibug68", (0, 0, 0)), camera=np.eye(2))


def test_angles_agree_with_the_definition_for_any_turn() -> None:
    for turn in itertools.product((-170, -80, 0, 100), (-89, -40, 0, 60), (-150, 0, 90)):
        np.testing.assert_allclose(angles_deg(head_axes(*turn)), turn, atol=1e-6)


def test_every_named_point_is_where_its_name_says() -> None:
    """Left and right names agree with the schemas' own mirror pairs, and with the landmarks' names."""
    for name, known in LANDMARKS.items():
        flip = load_schema(name).flip_index
        for index, point in known.items():
            side = point.replace("left", "?").replace("right", "left").replace("?", "right")
            assert known[flip[index]] == side
    assert lmdeploy.HeadPose is HeadPose
