"""Checkpoints: one safetensors file with JSON of our own in its header, replaced atomically."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from lmdeploy.atomic import write_file
from lmdeploy.bundle import ModelSpec
from lmdeploy.errors import InputError
from training.models import NetworkConfig

KEY = "lmdeploy"
KIND = "lmdeploy-checkpoint"
VERSION = 1


class About(BaseModel):
    """The JSON in the header: what the weights are, and how far a stage has come."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = KIND
    version: int = VERSION
    spec: ModelSpec
    network: NetworkConfig
    epoch: int = 0  # epochs finished
    done: bool = True


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights by parameter name, optimiser state by `index/name`, and what they are."""

    weights: dict[str, Tensor]
    optimiser: dict[str, Tensor]
    about: About


def write(path: Path, network: nn.Module, about: About, optimiser: torch.optim.Optimizer | None = None) -> None:
    """Write network (and optimiser) state to `path`, all of it or nothing."""
    write_file(path, dump(network, about, optimiser))


def dump(network: nn.Module, about: About, optimiser: torch.optim.Optimizer | None = None) -> bytes:
    """Bytes of a checkpoint file."""
    tensors = {f"network/{k}": v.detach().contiguous().cpu() for k, v in network.state_dict().items()}
    if optimiser is not None:
        for index, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{index}/{k}": v.detach().contiguous().cpu() for k, v in state.items()}
    return save(tensors, {KEY: about.model_dump_json()})


def read(path: Path) -> Checkpoint:
    """Read a checkpoint; InputError when the file is none of ours, truncated or newer than this version."""
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    return parse(path.read_bytes(), str(path))


def parse(raw: bytes, origin: str) -> Checkpoint:
    """As `read`, from bytes."""
    try:
        size = int.from_bytes(raw[:8], "little")
        header: dict[str, Any] = json.loads(raw[8 : 8 + size])
        value = json.loads(header["__metadata__"][KEY])
        tensors = load(raw)
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(f"{origin}: not a checkpoint of lmdeploy, or truncated ({error})") from error
    if value.get("kind") != KIND or value.get("version", VERSION + 1) > VERSION:
        raise InputError(f"{origin}: checkpoint version {value.get('version')}: update lmdeploy to read it")
    try:
        about = About.model_validate(value)
    except ValidationError as error:
        raise InputError(f"{origin}: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}") from error
    pick = {p: {k[len(p) :]: v for k, v in tensors.items() if k.startswith(p)} for p in ("network/", "optimiser/")}
    return Checkpoint(pick["network/"], pick["optimiser/"], about)


def restore_optimiser(optimiser: torch.optim.Optimizer, saved: dict[str, Tensor]) -> None:
    """Put saved state back into a fresh optimiser of the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in saved.items():
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def find(ref: Path) -> Path:
    """The weights file of a run folder, a bundle folder or a file."""
    for candidate in (ref / "model.safetensors", ref / "weights.safetensors"):
        if candidate.is_file():
            return candidate
    if ref.is_dir():
        raise InputError(f"{ref}: neither a finished run (model.safetensors) nor a bundle with weights.safetensors")
    return ref
