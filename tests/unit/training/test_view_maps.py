"""Label maps move with their image: rendered blobs and Gaussians, in views drawn as for training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lmdeploy.bundle import ModelSpec
from lmdeploy.geometry import CropRule
from lmdeploy.schema import LandmarkSchema, Normaliser
from tests.oracles import heatmaps as oracle
from training.augment.config import Config
from training.data.crops import Crops
from training.engine.batch import Batch, Drawer
from training.engine.streams import rows_of
from training.engine.train_set import Part, TrainSet

SIZE, START, CELLS, STRIDE, COUNT = 64, 16, 16, 4, 12
SCHEMA = LandmarkSchema(
    name="three", points=3, names=("left", "right", "middle"), flip_pairs=((0, 1),),
    normaliser=Normaliser(kind="distance", name="eyes", a=(0,), b=(1,)),
)  # fmt: skip
STILL = Config(
    p_translate=0, p_scale=0, p_rotate=0, p_flip=0, p_occlude=0, p_blur=0, p_grey=0, brightness=0, contrast=0,
    saturation=0, noise=0,
)  # fmt: skip
CHANGES = {
    "still": {}, "mirrored": {"p_flip": 1.0}, "turned": {"p_rotate": 1.0, "rotate": 30.0},
    "resized": {"p_scale": 1.0, "scale": 0.1}, "moved": {"p_translate": 1.0, "translate": 0.1},
    "all": {"p_flip": 0.5, "p_rotate": 1.0, "rotate": 30.0, "p_scale": 1.0, "scale": 0.1, "p_translate": 1.0,
            "shear": 0.0, "corners": 0.0},
}  # fmt: skip


def made(sigma: float) -> Part:
    """Black cached crops of 96 px with a red, a green and a blue blob, and the Gaussians of these, sigma in cells."""
    draw = np.random.default_rng(5)
    points = (draw.random((COUNT, 3, 2)) * 20 + 22).astype(np.float32)  # plain crop px
    rows, columns = np.mgrid[: SIZE + 2 * START, : SIZE + 2 * START] - START
    images = np.zeros((COUNT, SIZE + 2 * START, SIZE + 2 * START, 3))
    for n, k in np.ndindex(COUNT, 3):
        x, y = points[n, k]
        images[n, ..., k] = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18)
    maps = [[oracle.subpixel_map(*points[n, k], sigma, CELLS, STRIDE) for k in range(3)] for n in range(COUNT)]
    crops = Crops(images.round().astype(np.uint8), points + START, np.zeros((COUNT, 2, 3)), ("",) * COUNT)
    return Part(crops, pseudo=True, maps=np.array(maps, np.float16))


def drawn(parts: list[Part], cfg: Config) -> Batch:
    spec = ModelSpec(name="t", landmarks=SCHEMA, crop=CropRule(size=SIZE), codec="ts3", method="t")
    data = TrainSet(parts)
    drawer = Drawer(data, spec, STRIDE, cfg, torch.device("cpu"))
    return drawer.draw(torch.arange(len(data)), torch.Generator().manual_seed(3))


def middle(light: np.ndarray) -> np.ndarray:
    """Centre of mass (x, y) of an array, in its own px or cells."""
    rows, columns = np.mgrid[: light.shape[0], : light.shape[1]]
    return np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()


# of peak 1; measured 0.021, 0.021 and 0.133; between bilinear cells it would be 0.060, 0.156 and 0.346
@pytest.mark.parametrize(("sigma", "tolerance"), [(2.0, 0.03), (1.2, 0.03), (0.75, 0.15)])
@pytest.mark.parametrize("change", CHANGES)
def test_the_moved_map_is_the_gaussian_drawn_at_the_carried_point(change: str, sigma: float, tolerance: float) -> None:
    part = made(sigma)
    batch = drawn([part], STILL.model_copy(update=CHANGES[change]))
    assert batch.maps is not None
    for n in range(COUNT):
        matrix = batch.matrix[n].double().numpy()
        zoom = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
        for k in range(3):
            twin = {0: 1, 1: 0}.get(k, k) if bool(batch.flip[n]) else k
            x, y = matrix[:, :2] @ part.crops.points[n, twin] + matrix[:, 2]
            wanted = oracle.subpixel_map(x, y, sigma * zoom, CELLS, STRIDE)
            found = batch.maps[n, k].numpy()
            seen = oracle.subpixel_map(x, y, 1.0, CELLS, STRIDE) > 1e-3  # what lies beyond the crop is 0 by rule
            assert np.abs(found - wanted)[seen].max() < tolerance


@pytest.mark.parametrize("change", CHANGES)
def test_map_and_image_agree(change: str) -> None:
    batch = drawn([made(1.2)], STILL.model_copy(update=CHANGES[change]))
    assert batch.maps is not None
    light = (batch.x - batch.x.amin(dim=(-2, -1), keepdim=True)).numpy()
    for n in range(COUNT):
        for k in range(3):
            colour = {0: 1, 1: 0}.get(k, k) if bool(batch.flip[n]) else k  # a mirrored face's left eye is the red one
            in_image = middle(light[n, colour])
            in_map = (middle(batch.maps[n, k].clamp(min=0).numpy()) + 0.5) * STRIDE - 0.5
            assert np.abs(in_image - in_map).max() < 0.3  # px of 4 px cells; measured 0.20


def test_a_view_that_changes_nothing_shows_the_maps_as_they_are() -> None:
    part = made(1.2)
    batch = drawn([part], STILL)
    assert batch.maps is not None
    assert part.maps is not None
    np.testing.assert_allclose(batch.maps.numpy(), part.maps.astype(np.float32), atol=2e-5)


def test_maps_after_the_landmarks_are_mirrored_but_keep_their_place() -> None:
    part = made(1.2)
    assert part.maps is not None
    more = np.concatenate([part.maps, part.maps[:, :2]], axis=1)
    batch = drawn([Part(part.crops, pseudo=True, maps=more)], STILL.model_copy(update={"p_flip": 1.0}))
    assert batch.maps is not None
    np.testing.assert_allclose(batch.maps[:, 3:].numpy(), part.maps[:, :2, :, ::-1].astype(np.float32), atol=2e-5)
    np.testing.assert_allclose(batch.maps[:, [1, 0, 2]].numpy(), part.maps[..., ::-1].astype(np.float32), atol=2e-5)


def test_what_the_plain_crop_does_not_show_is_zero() -> None:
    part = made(1.2)
    ones = np.ones((COUNT, 3, CELLS, CELLS), np.float16)
    batch = drawn([Part(part.crops, maps=ones)], STILL.model_copy(update={"p_translate": 1.0, "translate": 0.2}))
    assert batch.maps is not None
    for n in range(COUNT):
        shift = batch.matrix[n, :, 2].numpy() + START  # plain crop px -> px of the view, without turn or zoom
        cells = np.arange(CELLS) * STRIDE + 1.5
        inside = [(cells - s > 1.5 * STRIDE) & (cells - s < SIZE - 1 - 1.5 * STRIDE) for s in shift]
        outside = [(cells - s < -2 * STRIDE) | (cells - s > SIZE + 2 * STRIDE) for s in shift]
        found = batch.maps[n, 0].numpy()
        np.testing.assert_allclose(found[np.ix_(inside[1], inside[0])], 1, atol=1e-5)
        assert (found[outside[1]] == 0).all()
        assert (found[:, outside[0]] == 0).all()
        assert outside[0].any() == (abs(shift[0]) > 2 * STRIDE + 1.5)


def test_maps_go_with_their_rows_and_parts() -> None:
    part = made(1.2)
    assert part.maps is not None
    rows = (7, 2, 5)
    chosen = Part(part.crops, pseudo=True, rows=rows, maps=part.maps[list(rows)], oversample=5)
    batch = drawn([Part(part.crops, rows=(1, 3)), chosen], STILL)
    assert batch.maps is not None
    assert (batch.maps[:2] == 0).all()
    wanted = part.maps[[7, 2, 5, 7, 2]].astype(np.float32)
    np.testing.assert_allclose(batch.maps[2:].numpy(), wanted, atol=2e-5)
    some = rows_of(batch, slice(2, None))
    assert some.maps is not None
    assert torch.equal(some.maps, batch.maps[2:])
    assert drawn([Part(part.crops)], STILL).maps is None


def test_another_view_moves_the_maps_anew() -> None:
    batch = drawn([made(1.2)], STILL)
    mirrored = batch.view(STILL.model_copy(update={"p_flip": 1.0}))
    assert batch.maps is not None
    assert mirrored.maps is not None
    torch.testing.assert_close(mirrored.maps, batch.maps[:, [1, 0, 2]].flip(-1), atol=2e-5, rtol=0)
