"""Augmentation: image and points move together, and both agree with lmdeploy.geometry."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lmdeploy import geometry as np_geometry
from lmdeploy.schema import load_schema
from training.augment import config, geometry, photometric, pipeline

STILL = config.Config(
    p_translate=0, p_scale=0, p_rotate=0, p_flip=0, p_occlude=0, p_blur=0, p_grey=0,
    brightness=0, contrast=0, saturation=0, noise=0,
)  # fmt: skip


def blob(x: float, y: float, size: int, sigma: float = 3.0) -> torch.Tensor:
    """A bright Gaussian u8[1,size,size,3]."""
    axis = torch.arange(size).float()
    value = torch.exp(-((axis - y)[:, None] ** 2 + (axis - x) ** 2) / (2 * sigma**2)) * 255
    return value.round().to(torch.uint8)[None, ..., None].expand(1, size, size, 3)


def centroid(image: torch.Tensor) -> tuple[float, float]:
    """Centre of mass of f32[3,H,W], px."""
    mass, axis = image[0], torch.arange(image.shape[-1]).float()
    return float((mass.sum(0) * axis).sum() / mass.sum()), float((mass.sum(1) * axis).sum() / mass.sum())


@pytest.mark.parametrize("seed", range(8))
def test_a_warped_blob_lies_where_its_warped_point_says(seed: int) -> None:
    cfg = STILL.model_copy(update={"p_translate": 1, "p_scale": 1, "p_rotate": 1, "p_flip": 0.5})
    draw = torch.Generator().manual_seed(seed)
    points = torch.tensor([[[52.3, 44.6], [44.0, 50.0]]])
    x, moved, *_ = pipeline.augment(blob(52.3, 44.6, 96), points, 64, torch.tensor([0, 1]), cfg, draw)
    assert centroid(x[0]) == pytest.approx(moved[0, 0].tolist(), abs=0.05)


def test_the_torch_twin_equals_numpy_geometry() -> None:
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(5, 2, 3)) + np.eye(2, 3)
    points = rng.uniform(0, 100, (5, 7, 2)).astype(np.float32)
    twin = geometry.transform(torch.tensor(matrices, dtype=torch.float32), torch.tensor(points)).numpy()
    back = geometry.invert(torch.tensor(matrices, dtype=torch.float32)).numpy()
    for i in range(5):
        np.testing.assert_allclose(twin[i], np_geometry.transform(matrices[i], points[i]), rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(back[i], np_geometry.invert(matrices[i]), rtol=1e-3, atol=1e-3)


def test_warp_equals_opencv_up_to_its_coordinate_rounding() -> None:
    rng = np.random.default_rng(1)
    image = rng.uniform(0, 255, (12, 12, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    matrix = np.array([[0.9, -0.2, 5.3], [0.2, 0.9, -7.1]])
    wanted = np_geometry.crop_image(image, matrix, 64).astype(np.float32)
    x = torch.tensor(image).permute(2, 0, 1)[None].float()
    found = geometry.warp(x, torch.tensor(matrix, dtype=torch.float32)[None], 64)[0].permute(1, 2, 0).numpy()
    assert np.abs(found - wanted)[2:-2, 2:-2].mean() < 0.6  # grey levels; measured 0.3, OpenCV quantises to 1/32 px


def test_without_changes_the_augmented_view_is_the_plain_crop() -> None:
    images = torch.randint(0, 256, (2, 96, 96, 3), dtype=torch.uint8)
    points = torch.rand(2, 4, 2) * 60 + 16
    x, moved, *_ = pipeline.augment(images, points, 64, torch.arange(4), STILL, torch.Generator())
    plain, plain_points = pipeline.centre_view(images, points, 64)
    torch.testing.assert_close(x.permute(0, 2, 3, 1), plain.float(), atol=2e-2, rtol=0)
    torch.testing.assert_close(moved, plain_points, atol=1e-4, rtol=0)


def test_flipping_mirrors_image_and_points_and_swaps_the_pairs() -> None:
    schema = load_schema("ibug68")
    cfg = STILL.model_copy(update={"p_flip": 1})
    images = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    points = torch.rand(1, 68, 2) * 64
    index = torch.tensor(schema.flip_index)
    x, moved, *_ = pipeline.augment(images, points, 64, index, cfg, torch.Generator())
    torch.testing.assert_close(x[0].permute(1, 2, 0), images[0].flip(1).float(), atol=2e-2, rtol=0)
    assert moved[0, 36].tolist() == pytest.approx([63 - float(points[0, 45, 0]), float(points[0, 45, 1])], abs=1e-3)
    back = torch.stack([63 - moved[..., 0], moved[..., 1]], -1)[:, index]
    torch.testing.assert_close(back, points, atol=1e-3, rtol=0)


def test_the_same_generator_state_gives_the_same_batch_and_another_a_different_one() -> None:
    images = torch.randint(0, 256, (4, 96, 96, 3), dtype=torch.uint8)
    points = torch.rand(4, 3, 2) * 96

    def run(seed: int) -> torch.Tensor:
        draw = torch.Generator().manual_seed(seed)
        return pipeline.augment(images, points, 64, torch.arange(3), config.Config(), draw)[0]

    assert torch.equal(run(3), run(3))
    assert not torch.equal(run(3), run(4))


def test_missing_points_stay_missing() -> None:
    points = torch.full((1, 2, 2), torch.nan)
    points[0, 0] = 30
    _, moved, *_ = pipeline.augment(
        torch.zeros(1, 96, 96, 3, dtype=torch.uint8), points, 64, torch.arange(2), config.Config(), torch.Generator()
    )
    assert torch.isfinite(moved[0, 0]).all()
    assert torch.isnan(moved[0, 1]).all()


def test_photometric_changes_stay_in_range_and_leave_the_geometry() -> None:
    x = blob(30, 34, 64).permute(0, 3, 1, 2).float()
    out = x.clone()
    photometric.blur_(out, 1.0, 2.0, torch.Generator().manual_seed(0))
    assert centroid(out[0]) == pytest.approx(centroid(x[0]), abs=0.02)
    strong = config.Config(brightness=1.0, contrast=1.0, saturation=1.0, noise=80)
    changed = photometric.change(x.repeat(6, 1, 1, 1), strong, torch.Generator().manual_seed(1))
    assert changed.min() >= 0
    assert changed.max() <= 255


def test_blur_equals_a_slow_convolution() -> None:
    x = torch.rand(1, 3, 9, 9) * 255
    draw = torch.Generator().manual_seed(5)
    out = x.clone()
    photometric.blur_(out, 1.0, 1.0, draw)
    radius = float(torch.rand(1, generator=torch.Generator().manual_seed(5)) * 1.0)
    weights = np.exp(-(np.arange(-3, 4) ** 2) / (2 * radius**2))
    weights /= weights.sum()
    padded = np.pad(x[0, 0].numpy(), 3, mode="edge")
    wanted = sum(weights[i] * weights[j] * padded[4 + i, 4 + j] for i in range(7) for j in range(7))
    assert float(out[0, 0, 4, 4]) == pytest.approx(wanted, rel=1e-4)


def test_occlusion_covers_one_rectangle_of_one_colour() -> None:
    x = torch.full((8, 3, 64, 64), 100.0)
    out = x.clone()
    photometric.occlude_(out, 1.0, 0.4, torch.Generator().manual_seed(0))
    changed = (out != x).any(1)
    for i in range(8):
        rows, columns = torch.nonzero(changed[i], as_tuple=True)
        if len(rows) == 0:
            continue
        inside = out[i, :, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (inside == inside[:, :1, :1]).all()
        assert max(inside.shape[1:]) <= 0.4 * 64 + 1


def test_colour_equals_saturation_then_contrast_then_brightness_one_sample_at_a_time() -> None:
    x = torch.rand(6, 3, 8, 8) * 255
    cfg = STILL.model_copy(update={"p_grey": 0.4, "brightness": 0.2, "contrast": 0.5, "saturation": 0.5})
    draw = torch.Generator().manual_seed(3)
    found = photometric.colour(x.clone(), cfg, torch.Generator().manual_seed(3))
    grey = torch.rand(6, generator=draw) < 0.4
    assert 0 < grey.sum() < 6
    saturation, contrast, brightness = (torch.rand(6, generator=draw) * 2 - 1 for _ in range(3))
    for i in range(6):
        light = sum(weight * x[i, c] for c, weight in enumerate(photometric.LUMA))
        factor = 0.0 if grey[i] else float((0.5 * saturation[i]).exp())
        tinted = light + (x[i] - light) * factor
        wanted = light.mean() + (tinted - light.mean()) * float((0.5 * contrast[i]).exp())
        torch.testing.assert_close(found[i], wanted + brightness[i] * 0.2 * 255, atol=1e-3, rtol=0)


def test_greyscale_alone_takes_the_grey_level_and_leaves_the_others() -> None:
    x = torch.rand(16, 3, 8, 8) * 255
    cfg = STILL.model_copy(update={"p_grey": 0.5})
    found = photometric.colour(x.clone(), cfg, torch.Generator().manual_seed(0))
    grey = torch.rand(16, generator=torch.Generator().manual_seed(0)) < 0.5
    assert 0 < grey.sum() < 16
    wanted = photometric.luma(x).expand(-1, 3, -1, -1)
    torch.testing.assert_close(found, torch.where(grey.view(-1, 1, 1, 1), wanted, x))


def test_greyscale_makes_all_channels_equal() -> None:
    cfg = STILL.model_copy(update={"p_grey": 1.0})
    out = photometric.colour(torch.rand(2, 3, 8, 8) * 255, cfg, torch.Generator())
    torch.testing.assert_close(out[:, 0], out[:, 2], atol=1e-2, rtol=0)


def test_another_box_is_stretched_over_the_whole_crop() -> None:
    plain = torch.eye(2, 3)[None]
    moved = torch.tensor([[[8.0, -4.0], [-8.0, 12.0]]])  # of a crop of 32 px: edges 8..24 across, -4..44 down
    matrix = geometry.stretch(plain, moved, 32)
    edges = torch.tensor([[[7.5, -4.5], [23.5, 43.5]]])  # half a px outside the first and last pixel's centres
    torch.testing.assert_close(geometry.transform(matrix, edges), torch.tensor([[[-0.5, -0.5], [31.5, 31.5]]]))
    torch.testing.assert_close(geometry.stretch(plain, torch.zeros(1, 2, 2), 32), plain)


@pytest.mark.parametrize("cfg", [{"shear": 0.1}, {"corners": 0.15}])
def test_shear_and_box_corners_move_image_and_points_together(cfg: dict[str, float]) -> None:
    index = torch.tensor([0])
    for seed in range(4):
        draw = torch.Generator().manual_seed(seed)
        points = torch.tensor([[[50.3, 44.6]]])
        x, moved, matrix, _ = pipeline.augment(
            blob(50.3, 44.6, 96), points, 64, index, STILL.model_copy(update=cfg), draw
        )
        assert centroid(x[0]) == pytest.approx(moved[0, 0].tolist(), abs=0.08)
        linear = matrix[0, :, :2]
        assert not torch.allclose(linear, torch.eye(2), atol=1e-3)
        assert (float(linear[0, 1]) != 0) == ("shear" in cfg)
        assert linear[1, 0] == 0


def test_shear_and_corners_that_are_off_draw_nothing() -> None:
    states = []
    for cfg in (STILL, STILL.model_copy(update={"shear": 0.1})):
        draw = torch.Generator().manual_seed(0)
        pipeline.draw_matrices(2, 96, 64, cfg, draw)
        states.append(draw.get_state())
    assert not torch.equal(*states)
    assert config.Config().shear == config.Config().corners == 0
