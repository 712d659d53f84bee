"""HM: sizes and parameter counts of the spec, heads, refusals."""

from __future__ import annotations

import pytest
import torch

from lmdeploy.errors import InputError
from training.models import count_parameters
from training.models.heatmap import Config, Heatmap

LIGHT = Config(
    backbone_options={"channels": [48, 64, 96, 128], "stem_type": "deep", "stem_width": 16}, channels=64, lateral=True
)


def test_hm_r18_has_the_published_number_of_parameters() -> None:
    assert count_parameters(Heatmap(Config(), 68)) == 15_407_304


def test_the_default_model_stays_under_its_budget() -> None:
    assert count_parameters(Heatmap(LIGHT, 68)) <= 1_400_000


@pytest.mark.parametrize("cfg", [Config(), LIGHT])
def test_maps_have_a_quarter_of_the_crop_and_predict_is_the_main_head(cfg: Config) -> None:
    network = Heatmap(cfg, 5).eval()
    x = torch.randn(2, 3, 96, 96)
    main, aux = network(x)
    assert main.shape == aux.shape == (2, 5, 24, 24)
    torch.testing.assert_close(network.predict(x), main)
    with torch.no_grad():
        network.aux.weight.add_(1.0)
    torch.testing.assert_close(network.predict(x), main)


def test_main_head_starts_small_and_the_auxiliary_one_at_the_framework_default() -> None:
    network = Heatmap(Config(channels=64), 5)
    assert network.main.weight.std() < 0.002
    assert network.aux.weight.std() > 0.01


@pytest.mark.parametrize(
    ("cfg", "word"),
    [
        (Config(backbone="resnet81"), "not in timm"),
        (Config(backbone_options={"chanels": [1]}), "gives no feature maps"),
        (Config(stride=3), "not a multiple of 3"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_sentence(cfg: Config, word: str) -> None:
    with pytest.raises(InputError, match=word):
        Heatmap(cfg, 5)


def test_another_timm_backbone_works_by_name() -> None:
    main, _ = Heatmap(Config(backbone="mobilenetv3_small_050", channels=32), 5)(torch.randn(2, 3, 64, 64))
    assert main.shape == (2, 5, 16, 16)
