"""The drawn faces of the training tests, their single thread, and two small exported networks with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from export.to_onnx import to_onnx
from lmdeploy.bundle import ModelSpec
from lmdeploy.geometry import CropRule
from lmdeploy.schema import load_schema
from tests.unit.training.conftest import SMALL_RESNET, _one_thread, tiny_recipe, tiny_request, toy
from training import job
from training.models import Network, heatmap, transformer

__all__ = ["_one_thread", "toy"]


@pytest.fixture(scope="session")
def tiny_heatmap() -> bytes:
    """HM on 64 px crops, its batch norms moved off the identity, with laterals."""
    cfg = heatmap.Config(backbone_options=SMALL_RESNET, channels=8, lateral=True)
    return _exported(heatmap.Heatmap(cfg, 6), "subpixel")


@pytest.fixture(scope="session")
def tiny_transformer() -> bytes:
    """TF on 64 px crops with two decoder layers."""
    cfg = transformer.Config(backbone_options=SMALL_RESNET, width=16, heads=2, layers=2, feed_forward=32)
    return _exported(transformer.Transformer(cfg, 6), "coords")


@pytest.fixture(scope="session")
def run(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained until its maps have peaks: the place of a flat map's maximum is chance."""
    recipe = tiny_recipe("supervised", epochs=40)
    faster = recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update={"lr": 1e-2})})
    out = tmp_path_factory.mktemp("run")
    return job.run(tiny_request(toy, out, "supervised", recipe=faster), lambda _: None).parent


def _exported(network: Network, codec: str) -> bytes:
    draw = torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.2, generator=draw)
            module.running_var.uniform_(0.5, 2.0, generator=draw)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=draw)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, generator=draw)
    spec = ModelSpec(
        name="tiny", landmarks=load_schema("blocks6"), crop=CropRule(size=64), codec=codec, method="none"
    )  # fmt: skip
    return to_onnx(network.eval(), spec)
