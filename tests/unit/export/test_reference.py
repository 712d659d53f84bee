"""Crops of reference.npz: a heatmap network is surer of them than of plain noise, and they never change."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from export import reference
from export.parity import generated_crops
from lmdeploy.bundle import ModelSpec
from lmdeploy.geometry import CropRule
from lmdeploy.schema import load_schema
from training.models.end_to_end import as_input

SPEC = ModelSpec(name="x", landmarks=load_schema("face5"), crop=CropRule(size=32), codec="subpixel", method="none")


def one_layer() -> Any:
    """Maps f32[B,5,32,32] of random 7x7 templates; a peak near 1 needs a picture that looks like them."""
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 5, 7, padding=3)
    torch.nn.init.normal_(layer.weight, std=0.03)
    return SimpleNamespace(predict=layer, layer=layer, cfg=SimpleNamespace(unit=lambda size: 1))


def peaks(network: Any, crops: np.ndarray) -> torch.Tensor:
    with torch.inference_mode():
        return network.predict(as_input(torch.tensor(crops))).amax(dim=(2, 3)).clamp(0, 1)


def test_peaks_are_higher_than_on_noise_the_same_each_time_and_weights_stay() -> None:
    network = one_layer()
    before = network.layer.weight.detach().clone()
    crops = reference.reference_crops(network, SPEC)
    assert (crops.shape, crops.dtype) == ((16, 32, 32, 3), np.uint8)
    noise, found = ((1 - peaks(network, c)).square().mean().item() for c in (generated_crops(32), crops))
    assert noise > 2 * reference.SURE, "the network is sure of noise: the test shows nothing"
    assert found <= 1.2 * reference.SURE  # rounded to whole grey levels after the last step
    np.testing.assert_array_equal(crops, reference.reference_crops(network, SPEC))
    torch.testing.assert_close(network.layer.weight, before, rtol=0, atol=0)


@pytest.mark.parametrize("score", [torch.ones(16, 5, requires_grad=True), torch.full((16, 5), 0.5)])
def test_plain_crops_stay_where_the_network_is_sure_or_its_score_knows_nothing(
    score: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "_score", lambda *_: score)
    np.testing.assert_array_equal(reference.reference_crops(one_layer(), SPEC), generated_crops(32))
