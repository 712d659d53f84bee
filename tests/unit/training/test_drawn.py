"""Shapes and Blocks: what the classes are, where the landmarks lie, how even the classes are, that seeds repeat."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from lmdeploy.dataset import read_labelled
from lmdeploy.images import read_image
from lmdeploy.schema import load_schema
from training.data import blocks, shapes
from training.data.drawn import SIDE, fill, rotation, subset, write_folder

FIFTEEN = [  # the specification's
    "SSSS", "SSSL", "SSSR", "SSLS", "SSRS", "SSLR", "SSRL", "SLRS", "SRLS", "LSSR", "RSSL", "SLSL", "SRSR", "LSSL",
    "SLRL",
]  # fmt: skip


def occupied(figure: str, quarter_turns: int = 0) -> frozenset[tuple[int, int]]:
    """Cells of a figure moved to the upper left, walked by hand with complex numbers; y points down."""
    place, step = 0j, -1j
    places = [place, place + step]
    place += step
    for turn in figure:
        step *= {"S": 1, "L": -1j, "R": 1j}[turn]
        place += step
        places.append(place)
    places = [p * 1j**quarter_turns for p in places]
    left, top = min(round(p.real) for p in places), min(round(p.imag) for p in places)
    return frozenset((round(p.real) - left, round(p.imag) - top) for p in places)


def test_the_fifteen_figures_are_the_specification_s() -> None:
    assert list(blocks.FIGURES) == FIFTEEN
    for figure in FIFTEEN:
        walked = occupied(figure)
        cells = blocks.cells(figure)
        assert {tuple(row) for row in (cells - cells.min(axis=0)).round().astype(int).tolist()} == walked
        assert len(walked) == 6


def test_no_two_figures_are_alike_under_any_quarter_turn() -> None:
    seen = [{occupied(figure, n) for n in range(4)} for figure in FIFTEEN]
    for i, mine in enumerate(seen):
        assert all(not mine & other for other in seen[:i])


def test_figures_render_differently() -> None:
    pictures = [fill([part * 7 + [30, 45] for part in blocks.parts(figure)]) for figure in FIFTEEN]
    for i, picture in enumerate(pictures):
        assert all(np.abs(picture.astype(int) - other).sum() > 255 * 40 for other in pictures[:i])


def test_landmarks_are_the_parts_centroids() -> None:
    """Each part drawn alone, six times as large, and its centroid taken from the pixels."""
    random = np.random.default_rng(4)
    turn = rotation(1.1) * 7
    outlines = [part @ turn.T + random.uniform(25, 35, 2) for part in blocks.parts("SLRS")]
    for outline in outlines:
        canvas = np.zeros((60 * 16, 60 * 16), np.uint8)
        cv2.fillPoly(canvas, [np.round((outline + 0.5) * 16 - 0.5).astype(np.int32)], 255)
        y, x = np.nonzero(canvas)
        centroid = (np.array([x.mean(), y.mean()]) + 0.5) / 16 - 0.5
        assert np.linalg.norm(centroid - outline.mean(axis=0)) < 0.1


def test_the_whole_of_a_figure_lies_inside_and_around_its_landmarks() -> None:
    drawn = blocks.draw(60, seed=7)
    frame = np.concatenate([drawn.images[:, [0, -1]].max(axis=(1, 2))])
    light = drawn.images.astype(float).sum(axis=(1, 2)) / 255
    squares = np.linalg.norm(drawn.points[:, 2] - drawn.points[:, 1], axis=-1) ** 2  # a cell's area, px^2
    # five squares and half a one, each 0.81 of a cell
    np.testing.assert_allclose(light, squares * 5.5 * 0.81, rtol=0.03)
    assert frame.max() <= 255
    assert ((squares >= 5**2 - 0.1) & (squares <= 7.5**2 + 0.1)).all()
    value = [drawn.images[i][tuple(p.round().astype(int)[::-1])] for i in range(60) for p in drawn.points[i]]
    assert np.mean(np.array(value) > 200) > 0.99  # a landmark stands on white


def test_the_triangle_points_away_from_the_chain() -> None:
    head, first = blocks.parts("SSSS")[:2]
    tip = head[np.argmax(np.linalg.norm(head - first.mean(axis=0), axis=1))]
    np.testing.assert_allclose(tip, [0, 0.45])
    np.testing.assert_allclose(first.mean(axis=0), [0, -1])


def test_shapes_are_one_square_and_one_triangle_that_do_not_touch() -> None:
    drawn = shapes.draw(80, seed=2)
    for image, points, label in zip(drawn.images, drawn.points, drawn.classes, strict=True):
        count, _, stats, centres = cv2.connectedComponentsWithStats((image > 0).astype(np.uint8))
        assert count == 3
        near = np.linalg.norm(centres[1:, None] - points[None], axis=-1)
        assert near.min(axis=0).max() < 1.0  # a triangle's anti-aliased corners move it a little
        square = stats[1 + near[:, 0].argmin(), cv2.CC_STAT_AREA]
        assert square > 40
        away = np.linalg.norm(points + 0.5, axis=1)
        assert label == int(away[1] < away[0])
        assert abs(away[0] - away[1]) >= 0.5


@pytest.mark.parametrize("made", [blocks, shapes])
def test_the_seed_decides_everything(made: object) -> None:
    draw = made.draw  # type: ignore[attr-defined]  # both modules have it
    one, again, other = draw(20, 5), draw(20, 5), draw(20, 6)
    assert (one.images == again.images).all()
    assert (one.points == again.points).all()
    assert (one.classes == again.classes).all()
    assert (one.images != other.images).any()


def test_classes_and_labelled_subsets_are_balanced() -> None:
    classes = blocks.draw(320, 0).classes
    assert set(Counter(classes.tolist()).values()) == {21, 22}
    assert Counter(shapes.draw(40, 0).classes.tolist()) == {0: 20, 1: 20}
    few, more = subset(classes, 32, 3), subset(classes, 64, 3)
    assert set(Counter(classes[few].tolist()).values()) == {2, 3}
    assert set(few.tolist()) < set(more.tolist())
    assert set(few.tolist()) != set(subset(classes, 32, 4).tolist())
    assert len(subset(classes, 320, 1)) == 320


def test_a_folder_reads_back(tmp_path: Path) -> None:
    drawn = blocks.draw(6, 1)
    write_folder(tmp_path, drawn)
    samples = read_labelled(tmp_path, load_schema("blocks6"))
    assert (read_image(samples[3].path)[..., 0] == drawn.images[3]).all()
    np.testing.assert_allclose(np.stack([s.points for s in samples if s.points is not None]), drawn.points, atol=1e-3)
    assert samples[0].box is not None
    assert (samples[0].box.x0, samples[0].box.y1) == (-0.5, SIDE - 0.5)
