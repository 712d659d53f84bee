"""A checkpoint as a model of the runtime, and batched prediction over cached crops."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from lmdeploy.bundle import ModelSpec
from lmdeploy.errors import DeviceError
from lmdeploy.model import Model
from lmdeploy.types import F32, U8, Prediction
from training.data.crops import Crops
from training.engine import checkpoint
from training.models import Network, build
from training.models.end_to_end import EndToEnd

BATCH = 64


class TorchBackend:
    """Runs a network in PyTorch, fp32, eval mode."""

    def __init__(self, network: Network, codec: str, device: torch.device) -> None:
        """Share the network's weights: later training changes this backend's answers too."""
        self.provider = f"torch-{device.type}"
        self._device = device
        self._graph = EndToEnd(network, codec)

    def run(self, crops: U8) -> Prediction:
        """Landmarks of crops u8[B,S,S,3] RGB, in crop px."""
        was_training = self._graph.network.training
        self._graph.eval()
        with torch.inference_mode():
            out = self._graph(torch.tensor(crops, device=self._device))
        self._graph.train(was_training)
        points, score, spread, nnm = (tensor.cpu().numpy() for tensor in out)
        return Prediction(points, score, spread, nnm)

    def close(self) -> None:
        """Nothing to free before the garbage collector does."""


def predict_crops(network: Network, spec: ModelSpec, crops: Crops, device: torch.device) -> Prediction:
    """Landmarks of the plain crops; points come in cache px, as Crops.points."""
    backend = TorchBackend(network, spec.codec, device)
    size = spec.crop.size
    start = (crops.images.shape[1] - size) // 2
    inside = crops.images[:, start : start + size, start : start + size]
    found = [backend.run(inside[i : i + BATCH]) for i in range(0, len(crops), BATCH)]

    def join(name: str) -> F32:
        return np.concatenate([getattr(part, name) for part in found])

    return Prediction(join("points") + np.float32(start), join("score"), join("spread"), join("nnm"))


def load_network(about: checkpoint.About) -> Network:
    """An untrained network of the checkpoint's architecture; its weights follow from load_state_dict."""
    return build(about.network.model_copy(update={"pretrained": False}), about.spec.landmarks.points)


def network_of(saved: checkpoint.Checkpoint) -> Network:
    """The checkpoint's network with its weights; RuntimeError where they are not of that architecture."""
    network = load_network(saved.about)
    network.load_state_dict(saved.weights)
    return network


def open_checkpoint(path: str | Path, *, threads: int | None = None, device: str = "auto") -> Model:
    """A checkpoint as `lmdeploy evaluate` opens it (entry point of the group lmdeploy.predictors)."""
    file = checkpoint.find(Path(path))
    saved = checkpoint.read(file)
    network = network_of(saved)
    if threads:
        torch.set_num_threads(threads)
    where = pick_device(device)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Model(saved.about.spec, TorchBackend(network.to(where), saved.about.spec.codec, where), digest)


def pick_device(name: str) -> torch.device:
    """`cpu`, `cuda`, or with `auto` the GPU where there is one; never another than the one asked for."""
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError("--device cuda: PyTorch sees no CUDA device; use --device cpu, or install a CUDA build")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")
