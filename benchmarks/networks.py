"""STLD's four networks at 256 px with random weights, for figures of speed, which do not depend on them.

Exporting an HRNet takes minutes, so exports are kept in a folder under a name that says what they were made from: the
network's options, the sources of network and exporter, and the version of torch. The files are as the exporter wrote
them; graph surgery takes a second and is done anew each time, so that it is always the present one.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

import export.cast_first
import export.to_onnx
import training.codec.subpixel
import training.models.backbone
import training.models.end_to_end
import training.models.heatmap
import training.models.transformer
from export.parity import generated_crops
from export.surgery import operate
from lmdeploy.bundle import Bundle, ModelSpec, write_bundle, write_synced
from lmdeploy.geometry import CropRule
from lmdeploy.schema import load_schema
from training.models import Network, NetworkConfig, build, heatmap, transformer
from training.models.end_to_end import as_input

SIZE = 256
SEED = 0
HRNET: dict[str, Any] = {"backbone": "hrnet_w18", "backbone_options": {"exchange": "bilinear"}}  # as in the release
NETWORKS: dict[str, NetworkConfig] = {
    "hm_r18": heatmap.Config(),
    "tf_r18": transformer.Config(),
    "hm_hrnet": heatmap.Config(**HRNET),
    "tf_hrnet": transformer.Config(**HRNET),
}
SOURCES = (
    export.to_onnx, export.cast_first, training.codec.subpixel, training.models.end_to_end, training.models.backbone,
    training.models.heatmap, training.models.transformer,
)  # fmt: skip
WARM_CROPS = 4


def spec_of(name: str, size: int = SIZE) -> ModelSpec:
    """What the runtime knows of a network: 68 landmarks on crops of `size` px."""
    return ModelSpec(
        name=f"{name.replace('_', '-')}-random",
        landmarks=load_schema("ibug68"),
        crop=CropRule(size=size),
        codec=NETWORKS[name].codecs[0],
        method="none",
    )


def network(name: str, size: int = SIZE) -> Network:
    """The network in eval mode, the same in every call.

    Its batch norms have the statistics of pictures. With those that a new network has, activations shrink from layer
    to layer until the processor computes with denormal numbers, which is many times slower.
    """
    torch.manual_seed(SEED)
    net = build(NETWORKS[name], load_schema("ibug68").points).eval()
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0  # take the statistics of this batch
        norm.train()
    with torch.no_grad():
        net(as_input(torch.from_numpy(generated_crops(size, WARM_CROPS))))
    return net.eval()


def exported(name: str, cache: Path, size: int = SIZE) -> bytes:
    """The network's ONNX file as the exporter wrote it; from `cache`, or made and put there."""
    path = cache / f"{name}-{size}-{_state(name)}.onnx"
    if not path.is_file():
        model = export.to_onnx.to_onnx(network(name, size), spec_of(name, size))
        cache.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}.part")
        write_synced(draft, model)
        draft.replace(path)
    return path.read_bytes()


def operated(name: str, cache: Path, size: int = SIZE) -> bytes:
    """The network's ONNX file after surgery, as `lmdeploy export` writes it."""
    return operate(exported(name, cache, size))


def make_bundle(name: str, cache: Path, path: Path, size: int = SIZE) -> Bundle:
    """A bundle at `path` with the file after surgery; it has no reference.npz, so `auto` stays with ONNX Runtime."""
    return write_bundle(path, spec_of(name, size), {"model.onnx": operated(name, cache, size)})


def _state(name: str) -> str:
    """Short digest of what decides on a network's exported file."""
    digest = hashlib.sha256(torch.__version__.encode() + NETWORKS[name].model_dump_json().encode())
    for module in SOURCES:
        assert module.__file__ is not None, "every source is a file"
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()[:12]
