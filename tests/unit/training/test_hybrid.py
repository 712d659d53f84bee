"""The hybrid network and its 1-D heatmaps."""

from __future__ import annotations

import math

import pytest
import torch

from lmdeploy.errors import InputError
from training.codec import profile, subpixel
from training.models.end_to_end import EndToEnd
from training.models.hybrid import Config, Hybrid, Raw

SMALL = {"channels": [8, 8, 8, 8], "stem_type": "deep", "stem_width": 8}
TINY = Config(backbone_options=SMALL, channels=8, profile_channels=8, reach=3)


def test_profiles_equal_the_equation() -> None:
    found = profile.encode(torch.tensor([[[3.25, 40.0]]]), 2.0, 32)
    assert found.shape == (1, 1, 2, 32)
    for axis, centre in enumerate((3.25, 40.0)):
        for i in range(32):
            assert found[0, 0, axis, i].item() == pytest.approx(math.exp(-((i - centre) ** 2) / 8), abs=1e-6)


@pytest.mark.parametrize(("sigma", "reach"), [(2.0, 2), (3.0, 3), (4.0, 3)])
def test_clean_profiles_give_the_points_back(sigma: float, reach: int) -> None:
    points = torch.rand(3, 7, 2) * 32 - 0.5  # from edge to edge of a crop of 32 px
    found, peak = profile.decode(profile.encode(points, sigma, 32), reach)
    torch.testing.assert_close(found, points, atol=2e-3, rtol=0)
    assert peak.min() > 0.95


def test_a_flat_profile_gives_a_number_inside_the_crop() -> None:
    found, peak = profile.decode(torch.zeros(1, 2, 2, 16), 3)
    assert ((found >= 0) & (found < 16)).all()
    assert peak.max() == 0


def test_shapes_and_the_frames_of_both_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Hybrid(TINY, 5).eval()
    x = torch.randn(2, 3, 64, 64)
    raw = network.raw(x)
    assert raw.maps.shape == (2, 5, 16, 16)
    assert raw.profiles.shape == (2, 5, 2, 64)
    points = torch.rand(2, 5, 2) * 60 + 2
    clean = Raw(subpixel.encode(points, torch.full((2,), 1.5), 16, 4), profile.encode(points, 3.0, 64))
    monkeypatch.setattr(network, "raw", lambda _: clean)
    for answer in network(x):
        torch.testing.assert_close(answer, (points + 0.5) / 64, atol=1e-4, rtol=0)
    found, score, spread, _ = EndToEnd(network, "coords")(torch.zeros(2, 64, 64, 3, dtype=torch.uint8))
    torch.testing.assert_close(found, points, atol=5e-3, rtol=0)
    assert spread.max() < 0.01
    assert score.min() > 0.99
    apart = clean._replace(profiles=profile.encode(points + 1, 3.0, 64))
    monkeypatch.setattr(network, "raw", lambda _: apart)
    network.cfg = TINY.model_copy(update={"share": 0.25})
    main, aux = network(x)
    torch.testing.assert_close((main - aux) * 64, torch.full_like(main, 0.25), atol=5e-3, rtol=0)


def test_columns_decide_x_and_rows_decide_y() -> None:
    """Turning the feature over its diagonal and swapping the branches swaps the profiles."""
    network = Hybrid(TINY, 2).eval()
    for weight in (network.along_x[-1].weight, network.along_y[-1].weight):
        torch.nn.init.normal_(weight)  # type: ignore[arg-type]
    feature = torch.randn(1, 8, 8, 8)
    network.backbone = torch.nn.Identity()
    network.blocks = torch.nn.Sequential()
    before = network.raw([feature]).profiles  # type: ignore[arg-type]
    network.along_x, network.along_y = network.along_y, network.along_x
    after = network.raw([feature.transpose(2, 3)]).profiles  # type: ignore[arg-type]
    torch.testing.assert_close(after, before.flip(2))
    assert (before[:, :, 0] - before[:, :, 1]).abs().max() > 1e-3


def test_every_head_is_trained() -> None:
    network = Hybrid(TINY, 2)
    raw = network.raw(torch.randn(2, 3, 32, 32))
    (raw.maps.square().mean() + (raw.profiles - 1).square().mean()).backward()
    silent = [name for name, weight in network.named_parameters() if weight.grad is None]
    assert silent == []


def test_an_unreachable_stride_is_named() -> None:
    with pytest.raises(InputError, match="stride 32"):
        Hybrid(TINY.model_copy(update={"stride": 3}), 2)
