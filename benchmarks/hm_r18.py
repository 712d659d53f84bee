"""HM with ResNet-18 at 256 px, the paper's network, with random weights: its speed does not depend on them."""

from __future__ import annotations

from pathlib import Path

from lmdeploy.bundle import Bundle, ModelSpec, write_bundle
from lmdeploy.geometry import CropRule
from lmdeploy.schema import load_schema

SIZE = 256


def make_hm_r18(path: Path, size: int = SIZE) -> Bundle:
    """Export the network to a bundle at `path`, in some 10 s; needs the extras train and export."""
    import torch

    from export.to_onnx import to_onnx
    from training.models.heatmap import Config, Heatmap

    spec = ModelSpec(
        name="hm-r18-random",
        landmarks=load_schema("ibug68"),
        crop=CropRule(size=size),
        codec="subpixel",
        method="none",
    )
    torch.manual_seed(0)
    network = Heatmap(Config(), spec.landmarks.points)
    return write_bundle(path, spec, {"model.onnx": to_onnx(network, spec)})
