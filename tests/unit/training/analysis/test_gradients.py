"""Correlation of gradients under two sets of labels (methods spec 5.6)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from lmdeploy.bundle import ModelSpec
from lmdeploy.geometry import CropRule
from lmdeploy.schema import load_schema
from tests.oracles import analysis as oracle
from tests.unit.training.conftest import tiny_recipe
from training.analysis import gradients
from training.augment import config
from training.data.crops import Crops
from training.engine.batch import Drawer
from training.engine.train_set import Part, TrainSet
from training.losses.landmark_error import landmark_error
from training.models import Network, build, transformer

TF = transformer.Config(
    backbone_options={"channels": [8, 8, 8, 8], "stem_type": "deep", "stem_width": 8}, width=16, heads=2, layers=1,
    feed_forward=16,
)  # fmt: skip
NETWORKS = {"HM": (tiny_recipe("stld").network, "subpixel"), "TF": (TF, "coords")}


def crops(shift: float = 0.0, count: int = 10) -> Crops:
    """Noise images of 48 px (32 px crops); labels moved by `shift` px times a random direction."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (count, 48, 48, 3)).astype(np.uint8)
    points = draw.uniform(12, 36, (count, 68, 2)) + shift * draw.normal(size=(count, 68, 2))
    return Crops(images, points.astype(np.float32), np.zeros((count, 2, 3)), tuple(map(str, range(count))))


def drawer(kind: str, labels: Crops) -> Drawer:
    cfg, codec = NETWORKS[kind]
    spec = ModelSpec(name="t", landmarks=load_schema("ibug68"), crop=CropRule(size=32), codec=codec, method="none")
    return Drawer(TrainSet([Part(labels)]), spec, cfg.unit(32), config.STLD, torch.device("cpu"))


def network(kind: str) -> Network:
    torch.manual_seed(0)
    return build(NETWORKS[kind][0], 68)


@pytest.mark.parametrize("kind", ["HM", "TF"])
def test_the_same_labels_give_one_and_other_labels_less(kind: str) -> None:
    net = network(kind)
    same, again = gradients.replay(net, (drawer(kind, crops()), drawer(kind, crops())))
    assert torch.equal(same.gradient, again.gradient)
    assert gradients.pearson(same.gradient, again.gradient) == pytest.approx(1)
    mean = []
    for shift in (0.5, 3.0):
        gt, pseudo = gradients.replay(net, (drawer(kind, crops()), drawer(kind, crops(shift))))
        assert torch.equal(gt.gradient, same.gradient)
        mean.append(gradients.pearson(gt.gradient, pseudo.gradient))
    assert 1 > mean[0] > mean[1]


@pytest.mark.parametrize("kind", ["HM", "TF"])
def test_sign_flipped_targets_give_minus_one(kind: str) -> None:
    """2 out - target lies on the other side of the output, as far away."""
    torch.manual_seed(1)
    main: nn.Module = nn.Linear(7, 2) if kind == "TF" else nn.Conv2d(7, 5, 1)
    hidden = torch.randn(4, 5, 7) if kind == "TF" else torch.randn(4, 7, 6, 6)
    out = main(hidden).detach()
    target = torch.randn_like(out)
    seen = torch.rand(4, 5) < 0.7
    one, other = (gradients.last_layer(main, hidden, of, seen) for of in (target, 2 * out - target))
    assert gradients.pearson(one.gradient, other.gradient) == pytest.approx(-1)
    torch.testing.assert_close(one.loss, other.loss)


@pytest.mark.parametrize("kind", ["HM", "TF"])
def test_gradients_are_those_of_back_propagation_sample_by_sample(kind: str) -> None:
    net, of = network(kind), drawer(kind, crops())
    found, _ = gradients.replay(net, (of, of))
    rows = torch.arange(10)
    draw = torch.Generator().manual_seed(gradients.seed_of(gradients.SEED, "gradients", 0))
    batch = of.draw(rows, draw)
    net.eval()
    for i in (0, 7):
        net.zero_grad()
        main, _ = net(batch.x)
        error = landmark_error(main, batch.target, torch.ones(10))[i][batch.visible[i]].mean()
        error.backward()
        weight = net.main.weight
        assert isinstance(weight, torch.Tensor)
        assert weight.grad is not None
        torch.testing.assert_close(found.gradient[i], weight.grad.flatten(), rtol=1e-4, atol=1e-7)
        assert found.loss[i].item() == pytest.approx(error.item(), rel=1e-5)


def test_pearson_is_the_definition() -> None:
    draw = np.random.default_rng(3)
    a = draw.normal(size=(6, 4)) + 2
    b = 0.3 * a + draw.normal(size=(6, 4))
    wanted = oracle.pearson(a.ravel().tolist(), b.ravel().tolist())
    assert gradients.pearson(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(wanted)
    assert math.isnan(gradients.pearson(torch.ones(3), torch.rand(3)))


def test_groups_are_correlated_on_their_own() -> None:
    """Four samples: where the noise is low the gradients agree, where it is high they oppose each other."""
    a = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    b = a * torch.tensor([1.0, -1.0, 1.0, -1.0]).unsqueeze(1)
    curve = gradients.correlation(a, b, np.array([1.0, 8.0, 2.0, 9.0]), "run", groups=2)
    assert (curve.x, curve.y) == ((1.5, 8.5), (pytest.approx(1), pytest.approx(-1)))


def test_a_network_without_a_last_layer_of_its_own_is_named() -> None:
    with pytest.raises(gradients.MissingError, match="a Linear has no last layer"):
        gradients.replay(nn.Linear(1, 1), (drawer("HM", crops()), drawer("HM", crops())))  # type: ignore[arg-type]
