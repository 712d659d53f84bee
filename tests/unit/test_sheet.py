"""The sheet: where a point is drawn, in which colour, what stands beside what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lmdeploy.dataset import Sample
from lmdeploy.errors import DataError, InputError
from lmdeploy.geometry import CropRule
from lmdeploy.images import read_image
from lmdeploy.schema import LandmarkSchema, Normaliser
from lmdeploy.sheet import CAPTION, GAP, SHIFT, TILE, make_sheet, show_folder, spread, write_sheet
from lmdeploy.types import Box
from tests.data_folder import random_points, write_labelled

WHOLE = CropRule(kind="stretch", scale=1.0, size=64)
PAIR = LandmarkSchema(
    name="pair",
    points=3,
    names=("left", "right", "middle"),
    flip_pairs=((0, 1),),
    normaliser=Normaliser(kind="image", name="image"),
)
POINTS = np.array([[9.5, 19.5], [29.5, 19.5], [19.5, 9.5]], np.float32)  # quarters of a 40 px box


@pytest.fixture
def black(tmp_path):
    path = tmp_path / "black.png"
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(path)
    return path


def sample(path, points=POINTS, name="black"):
    return Sample(name, path, points, box=Box(-0.5, -0.5, 39.5, 39.5))


def test_each_point_stands_where_the_crop_has_it_in_the_colour_of_its_side(black):
    """The box's 40 px are TILE px wide: a point at x stands at (x + 0.5) * TILE / 40 - 0.5."""
    image = make_sheet([sample(black)], PAIR, WHOLE).image
    assert image.shape == (TILE + CAPTION, TILE, 3)
    for (x, y), colour in zip(POINTS, [(255, 140, 0), (60, 220, 90), (255, 255, 255)], strict=True):
        at_x, at_y = (round((v + 0.5) * TILE / 40 - 0.5) for v in (x, y))
        assert tuple(image[at_y, at_x]) == colour
        near = image[at_y - 5 : at_y + 6, at_x - 5 : at_x + 6].astype(float).sum(axis=2)
        ys, xs = np.nonzero(near)
        weights = near[ys, xs]
        centre = np.array([np.average(xs, weights=weights), np.average(ys, weights=weights)]) - 5 + [at_x, at_y]
        wanted = [(v + 0.5) * TILE / 40 - 0.5 for v in (x, y)]
        np.testing.assert_allclose(centre, wanted, atol=1 / 2**SHIFT)
    assert image[:TILE].any(axis=2).sum() < 3 * 40  # nothing else is drawn


def test_lines_follow_the_skeleton_and_missing_points_are_left_out(black):
    lined = PAIR.model_copy(update={"skeleton": ((0, 1), (1, 2))})
    gone = POINTS.copy()
    gone[2] = np.nan
    image = make_sheet([sample(black, gone)], lined, WHOLE).image
    y = round(20 * TILE / 40 - 0.5)
    assert image[y, TILE // 2].any()  # halfway between the pair
    assert not image[: y - 8, :].any()


def test_without_box_the_points_own_is_cropped_else_the_whole_image(black):
    loose = Sample("loose", black, POINTS)
    image = make_sheet([loose], PAIR, CropRule(kind="stretch", scale=2.0, size=64)).image
    # the points span 20 x 10 px at (19.5, 14.5), so a crop of 40 x 20: point 0 is at a quarter and three quarters
    assert tuple(image[round(0.75 * TILE - 0.5), round(0.25 * TILE - 0.5)]) == (255, 140, 0)
    bare = make_sheet([Sample("bare", black)], PAIR, WHOLE)
    assert bare.shown == 1
    assert not bare.image[:TILE].any()


def test_seven_samples_make_two_rows_with_the_name_below(black):
    sheet = make_sheet([sample(black, name=f"n{n}") for n in range(7)], PAIR, WHOLE)
    assert sheet.image.shape == (2 * (TILE + CAPTION) + GAP, 6 * TILE + 5 * GAP, 3)
    assert sheet.image[TILE : TILE + CAPTION, :TILE].any()
    assert (sheet.image[-1, -1] == 32).all()  # no tile here


def test_broken_images_are_named_and_the_rest_is_shown(black, tmp_path):
    broken = Sample("gone", tmp_path / "gone.png", POINTS)
    sheet = make_sheet([broken, sample(black)], PAIR, WHOLE)
    assert sheet.shown == 1
    assert "gone.png: no such file" in sheet.problems[0]
    with pytest.raises(InputError, match=r"nothing to show(.|\n)*gone\.png"):
        make_sheet([broken], PAIR, WHOLE)


def test_points_of_another_schema_are_refused(black):
    with pytest.raises(InputError, match="2 points, but schema pair has 3; give --schema"):
        make_sheet([sample(black, POINTS[:2])], PAIR, WHOLE)


@pytest.mark.parametrize(("count", "wanted"), [(1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (50, list(range(10)))])
def test_samples_are_spread_over_the_whole_order(count, wanted):
    samples = [Sample(str(n), Path("x")) for n in range(10)]
    assert [int(s.name) for s in spread(samples, count)] == wanted


def test_a_folder_of_one_s_own_is_shown_and_written(tmp_path):
    folder = write_labelled(tmp_path / "set", random_points(5))
    sheet = show_folder(folder, "ibug68", 3)
    assert (sheet.shown, sheet.problems) == (3, ())
    write_sheet(tmp_path / "sheet.png", sheet)
    np.testing.assert_array_equal(read_image(tmp_path / "sheet.png"), sheet.image)
    with pytest.raises(InputError, match=r"ends in \.png"):
        write_sheet(tmp_path / "sheet.pdf", sheet)
    assert not (tmp_path / "sheet.pdf").exists()
    assert show_folder(folder / "images", "ibug68", 9).shown == 5
    for image in (folder / "images").iterdir():
        image.unlink()
    with pytest.raises(DataError, match="no good sample to show"):
        show_folder(folder, "ibug68", 3)
