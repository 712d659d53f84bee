"""A small TF whose biases are no zeros, on one map or on four joined ones, as the exporter writes it."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from export.to_onnx import to_onnx
from lmdeploy.bundle import ModelSpec
from lmdeploy.geometry import CropRule
from lmdeploy.schema import load_schema
from tests.unit.training.conftest import SMALL_RESNET
from training.models import transformer

LAYERS, SIZE = 2, 64
WIDTHS = (6, 10, 12, 20)  # at 16, 8, 4 and 2 cells a side: the last two are mixed late


class Pyramid(nn.Module):
    """Four maps of halving sizes, as HRNet's branches."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, WIDTHS[0], 4, stride=4)
        self.next = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(WIDTHS))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [torch.relu(self.first(x))]
        for layer in self.next:
            maps.append(torch.relu(layer(maps[-1])))
        return maps


def exported(*, joined: bool) -> bytes:
    """ONNX bytes of TF with two layers on 64-px crops, `joined` on the four maps."""
    torch.manual_seed(0)
    cfg = transformer.Config(backbone_options=SMALL_RESNET, width=16, heads=2, layers=LAYERS, feed_forward=32)
    network = transformer.Transformer(cfg, 6)
    if joined:
        network.backbone, network.parallel = Pyramid(), True
        network.project = nn.Conv2d(sum(WIDTHS), cfg.width, 1)
    for name, value in network.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(value, std=0.5)
    nn.init.normal_(network.start.weight, std=0.2)
    spec = ModelSpec(
        name="tiny", landmarks=load_schema("blocks6"), crop=CropRule(size=SIZE), codec="coords", method="none"
    )
    return to_onnx(network.eval(), spec)
