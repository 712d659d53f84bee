"""Our training step in the ways that training_speed compares."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from lightning_fabric import Fabric

from benchmarks.toy_faces import write_folder
from lmdeploy.boxes import boxes_for
from lmdeploy.bundle import ModelSpec
from lmdeploy.dataset import read_labelled
from lmdeploy.geometry import CropRule
from lmdeploy.schema import load_schema
from lmdeploy.types import F32, U8
from training.augment import config
from training.data import crops as crop_cache
from training.data.crops import Crops
from training.engine.batch import Drawer
from training.engine.devices import compiled
from training.engine.fit import Schedule, make_optimiser
from training.engine.train_set import Part, TrainSet
from training.methods import supervised
from training.models import build, heatmap, transformer

FACES = 64


@dataclass(frozen=True, slots=True)
class Way:
    """How our step runs."""

    name: str
    bf16: bool = True
    compiled: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """What is trained: cached crops of drawn faces, the spec and the network's config."""

    crops: Crops
    spec: ModelSpec
    network: heatmap.Config | transformer.Config

    def plain(self) -> tuple[U8, F32]:
        """The crops without their margin u8[N,S,S,3] and their points f32[N,K,2], crop px."""
        size = self.spec.crop.size
        start = (self.crops.images.shape[1] - size) // 2
        inside = np.ascontiguousarray(self.crops.images[:, start : start + size, start : start + size])
        return inside, (self.crops.points - start).astype(np.float32)


def faces(model: str, size: int, seed: int) -> Work:
    """FACES drawn faces as cached crops of side `size`, for `hm_r18` or `tf_r18`."""
    schema = load_schema("ibug68")
    rule = CropRule(kind="stretch", scale=1.1, size=size)
    network, codec = (heatmap.Config(), "stld") if model == "hm_r18" else (transformer.Config(), "coords")
    spec = ModelSpec(name=model, landmarks=schema, crop=rule, codec=codec, method="supervised")
    with tempfile.TemporaryDirectory() as folder:
        data = write_folder(Path(folder) / "faces", FACES, seed=seed)
        boxed = boxes_for(read_labelled(data, schema), "gt")
        samples = [replace(one, box=box) for one, box in zip(boxed.samples, boxed.boxes, strict=True)]
        kept = crop_cache.build(samples, schema.points, rule, Path(folder) / "cache", "faces")
        crops = Crops(np.array(kept.images), kept.points, kept.matrices, kept.names)
    return Work(crops, spec, network)


def our_step(work: Work, way: Way, batch: int, device: torch.device, drawn: list[float]) -> Callable[[], None]:
    """One training step of the package's own loop; the seconds of augmentation and targets go into `drawn`."""
    fabric = Fabric(accelerator=device.type, devices=1, precision="bf16-mixed" if way.bf16 else "32-true")
    plain = build(work.network, work.spec.landmarks.points)
    plain = plain.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = make_optimiser(plain, Schedule())
    network, optimiser = fabric.setup(plain, optimiser)
    if way.compiled:
        network = compiled(network, device)
    network.train()
    stride = work.network.unit(work.spec.crop.size)
    drawer = Drawer(TrainSet([Part(work.crops)]), work.spec, stride, config.STLD, device)
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        start = perf_counter()
        seen = drawer.draw(torch.randint(len(work.crops), (batch,), generator=generator), generator)
        if device.type == "cuda":
            torch.cuda.synchronize()
        drawn.append(perf_counter() - start)
        fabric.backward(supervised.step(network, seen)["loss"])
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step
