"""RandAugment's colour operations and cutout, each against an independent computation."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from training.augment import config, photometric, pipeline, strong

STILL = strong.weak_of(config.Config(p_translate=0, p_flip=0))


def image(seed: int = 0, count: int = 2, size: int = 24) -> torch.Tensor:
    """Grey levels f32[count,3,size,size], whole numbers, low contrast."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(40, 180, (count, 3, size, size), generator=draw).float()


def at(m: float, count: int = 2) -> torch.Tensor:
    return torch.full((count, 1, 1, 1), m)


def test_equalisation_is_opencv_s() -> None:
    x = image()
    found = strong.equalise(x, at(0))
    for b in range(2):
        for c in range(3):
            wanted = cv2.equalizeHist(x[b, c].numpy().astype(np.uint8))
            assert np.abs(found[b, c].numpy() - wanted).max() <= 0.51  # grey levels; OpenCV rounds


def test_a_flat_channel_is_left_alone() -> None:
    x = torch.full((1, 3, 8, 8), 77.0)
    assert torch.equal(strong.equalise(x, at(0, 1)), x)
    assert torch.equal(strong.auto_contrast(x, at(0, 1)), x)


def test_auto_contrast_stretches_each_channel_of_each_sample() -> None:
    x = image()
    found = strong.auto_contrast(x, at(0)).numpy()
    for b in range(2):
        for c in range(3):
            values = x[b, c].numpy()
            wanted = (values - values.min()) / (values.max() - values.min()) * 255
            np.testing.assert_allclose(found[b, c], wanted, atol=1e-3)


@pytest.mark.parametrize(("m", "bits"), [(0.0, 8), (0.5, 6), (1.0, 4)])
def test_posterising_keeps_the_high_bits(m: float, bits: int) -> None:
    x = image()
    mask = 0xFF & ~((1 << (8 - bits)) - 1)
    np.testing.assert_array_equal(strong.posterise(x, at(m)).numpy(), x.numpy().astype(np.uint8) & mask)


def test_solarising_inverts_above_its_threshold() -> None:
    x = image()
    values = x.numpy()
    np.testing.assert_array_equal(strong.solarise(x, at(0.5)).numpy(), np.where(values >= 128, 255 - values, values))
    assert torch.equal(strong.solarise(x, at(0)), x)


@pytest.mark.parametrize(("m", "kept"), [(0.0, 0.95), (1.0, 0.05)])
def test_blends_keep_95_to_5_percent(m: float, kept: float) -> None:
    x = image()
    values = x.numpy()
    grey = np.einsum("bchw,c->bhw", values, photometric.LUMA)[:, None]
    mean = grey.mean(axis=(2, 3), keepdims=True)
    wanted = {"brightness": values * kept, "colour": grey + (values - grey) * kept, "contrast": None}
    wanted["contrast"] = mean + (values - mean) * kept
    for name, expected in wanted.items():
        np.testing.assert_allclose(strong.OPERATIONS[name](x, at(m)).numpy(), expected, atol=1e-2)


def test_sharpness_blends_with_a_slow_smoothing() -> None:
    x = image(size=8)
    values = x[0, 1].numpy()
    around = sum(values[3 + i, 4 + j] for i in (-1, 0, 1) for j in (-1, 0, 1)) + 4 * values[3, 4]
    wanted = around / 13 * 0.95 + values[3, 4] * 0.05
    assert float(strong.sharpness(x, at(1))[0, 1, 3, 4]) == pytest.approx(wanted, rel=1e-5)


def test_every_sample_gets_an_operation_and_a_strength_of_its_own() -> None:
    x = image(count=40)
    found = strong.one_operation(x, 0.8, torch.Generator().manual_seed(3))
    again = torch.Generator().manual_seed(3)
    which = torch.randint(9, (40,), generator=again)
    strength = torch.rand(40, 1, 1, 1, generator=again) * 0.8
    assert len(which.unique()) == len(strong.OPERATIONS) == 9
    for b in range(40):
        operation = list(strong.OPERATIONS.values())[int(which[b])]
        torch.testing.assert_close(found[b], operation(x[b : b + 1], strength[b : b + 1])[0].clamp(0, 255))


def test_cutout_greys_one_square_of_the_chosen_samples() -> None:
    x = image(count=60, size=32)
    found = strong.cutout(x, 0.5, 0.5, torch.Generator().manual_seed(1))
    sides = []
    for b in range(60):
        changed = (found[b] != x[b]).any(0)
        if not changed.any():
            continue
        rows, columns = torch.nonzero(changed, as_tuple=True)
        assert (found[b, :, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] == strong.GREY).all()
        sides.append(int(max(rows.max() - rows.min(), columns.max() - columns.min())) + 1)
    assert 15 <= len(sides) <= 45
    assert max(sides) <= 17
    assert max(sides) >= 10


def test_switched_off_it_draws_nothing_and_changes_nothing() -> None:
    draw = torch.Generator().manual_seed(0)
    before = draw.get_state()
    x = image()
    assert strong.change(x, config.Config(), draw) is x
    assert torch.equal(draw.get_state(), before)


def test_the_weak_view_is_flip_and_translation_alone() -> None:
    cfg = strong.weak_of(config.Config(translate=0.2, p_flip=0.3))
    matrices, flip = pipeline.draw_matrices(200, 96, 64, cfg, torch.Generator().manual_seed(0))
    linear = torch.stack([torch.where(flip, -1.0, 1.0), torch.zeros(200), torch.zeros(200), torch.ones(200)], dim=-1)
    torch.testing.assert_close(matrices[:, :, :2].reshape(-1, 4), linear)
    x = image()
    torch.testing.assert_close(photometric.change(x.clone(), cfg, torch.Generator()), x, atol=1e-3, rtol=0)


def test_strong_views_stay_in_range_and_depend_on_the_seed_alone() -> None:
    cfg = STILL.model_copy(update={"operations": 2, "p_cutout": 1.0})
    images = torch.randint(0, 256, (12, 48, 48, 3), dtype=torch.uint8)

    def view(seed: int) -> torch.Tensor:
        draw = torch.Generator().manual_seed(seed)
        return pipeline.augment(images, torch.zeros(12, 1, 2), 32, torch.tensor([0]), cfg, draw).images

    assert torch.equal(view(1), view(1))
    assert not torch.equal(view(1), view(2))
    assert view(1).min() >= 0
    assert view(1).max() <= 255
