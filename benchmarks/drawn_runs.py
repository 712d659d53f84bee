"""Trains one network on drawn figures (Blocks or Shapes) and finds its landmarks on others."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lmdeploy.bundle import ModelSpec
from lmdeploy.dataset import Sample, read_labelled
from lmdeploy.geometry import CropRule
from lmdeploy.schema import load_schema
from lmdeploy.types import F32
from training.data import crops as crop_cache
from training.data.crops import Crops
from training.data.decode import StillDecodingError
from training.data.drawn import Drawn, write_folder
from training.engine.devices import open_fabric
from training.engine.predictor import predict_crops
from training.engine.trainer import Settings, Trainer
from training.methods import METHODS
from training.models import Network
from training.recipe import Recipe

WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Run:
    """Recipe, landmark schema, and where and how it is run."""

    recipe: Recipe
    schema: str
    out: Path
    seed: int
    device: str = "cpu"
    precision: str = "bf16"


def folder_of(root: Path, name: str, drawn: Drawn) -> Path:
    """The data folder root/name; a folder that is complete is not drawn again."""
    folder = root / name
    return folder if (folder / "landmarks.csv").is_file() else write_folder(folder, drawn)


def samples_of(folder: Path, schema: str) -> list[Sample]:
    """All samples, cropped as a whole."""
    return read_labelled(folder, load_schema(schema))


def crops_of(samples: list[Sample], schema: str, rule: CropRule, cache: Path, name: str) -> Crops:
    """The samples' crops, decoded once for all cells; a cell that comes while another decodes them waits."""
    while True:
        try:
            return crop_cache.build(samples, load_schema(schema).points, rule, cache, name)
        except StillDecodingError:
            time.sleep(WAIT_S)


def train(run: Run, labelled: Crops, unlabelled: Crops | None) -> tuple[Network, Trainer]:
    """The network that the recipe's method makes of the crops; an interrupted run goes on where it was."""
    made = run.recipe
    spec = ModelSpec(
        name=made.name, landmarks=load_schema(run.schema), crop=made.crop, codec=made.codec, method=made.method
    )
    settings = Settings(spec, made.network, made.schedule, made.augment, run.seed)
    fabric = open_fabric(run.device, run.precision, None)
    trainer = Trainer(settings, run.out, fabric, None, lambda *_: None)
    method: Any = METHODS[made.method]
    return method.train(made.method_config(), trainer, labelled, unlabelled), trainer


def find(network: Network, trainer: Trainer, crops: Crops) -> F32:
    """Landmarks f32[N,K,2] of plain crops, image px (the crop is the whole image), network in fp32."""
    found = predict_crops(network, trainer.settings.spec, crops, torch.device(trainer.fabric.device))
    return crops.points_frame(found.points)
