"""Weights that a user brings: read once from a .pth without running any code in it, kept as safetensors.

A file of weights is a plain dictionary name -> tensor with JSON of our own in the header. Names are those of the
network it came from, without what training wrappers put in front; `load_into` matches them with a backbone's.
"""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from lmdeploy.atomic import write_file
from lmdeploy.errors import InputError

KEY = "lmdeploy"
KIND = "lmdeploy-weights"
VERSION = 1
NESTS = ("state_dict", "model_state", "model", "network", "net", "teacher", "student", "ema")
PREFIXES = ("module.", "model.", "network.", "net.", "backbone.", "encoder.")
CONVERT = "convert it with 'lmdeploy data convert-weights IN.pth OUT.safetensors'"
log = logging.getLogger(__name__)


class Fit(NamedTuple):
    """How a file met a network: names that matched, that the file lacks, that the network has not, of other shape."""

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    other_shape: tuple[str, ...]

    def sentence(self) -> str:
        """One line for people."""
        return (
            f"{len(self.matched)} weights matched, {len(self.missing)} missing, {len(self.unexpected)} unexpected, "
            f"{len(self.other_shape)} of another shape"
        )


def convert(source: Path, out: Path) -> int:
    """Read a .pth, .pt or .pkl state dict without running code in it; write safetensors; the number of tensors.

    Raises:
        InputError: no such file, a file that needs its own code to be read, or no tensors in it.
    """
    raw = _read_torch(source)
    tensors, stripped = plain_names(_tensors_of(raw, source))
    about = {
        "kind": KIND, "version": VERSION, "source": source.name, "stripped": list(stripped),
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(), "tensors": len(tensors),
    }  # fmt: skip
    # clone: tensors that share memory in the source become tensors of their own
    content = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    write_file(out, save(content, {KEY: json.dumps(about, sort_keys=True)}))
    return len(tensors)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by plain name from any safetensors file."""
    if not path.is_file():
        raise InputError(f"{path}: no such file of weights")
    try:
        tensors = load(path.read_bytes())
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path}: not a safetensors file; {CONVERT}") from error
    return plain_names(tensors)[0]


def load_into(net: nn.Module, path: str | Path, title: str) -> Fit:
    """Load what fits by name and shape into `net`, and say how much that was.

    Raises:
        InputError: nothing fits.
    """
    given = {_key(name): value for name, value in read_weights(Path(path)).items()}
    own = net.state_dict()
    named = {name: given[_key(name)] for name in own if _key(name) in given}
    fitting = {name: value for name, value in named.items() if value.shape == own[name].shape}
    known = {_key(name) for name in own}
    found = Fit(
        tuple(fitting), tuple(own.keys() - named.keys()), tuple(given.keys() - known),
        tuple(named.keys() - fitting.keys()),
    )  # fmt: skip
    if not fitting:
        raise InputError(f"{path}: no weight fits {title} ({found.sentence()}): is it of another network?")
    net.load_state_dict(fitting, strict=False)
    level = logging.INFO if 2 * len(fitting) >= len(own) else logging.WARNING
    log.log(level, "%s from %s: %s", title, path, found.sentence())
    return found


def plain_names(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors without what wrappers put before their names, and what that was.

    `backbone.` goes wherever it stands (heads of the same file keep their names), the others only where all have it.
    """
    names, stripped = dict(tensors), []
    while prefix := next((p for p in PREFIXES if _is_wrapper(p, names)), None):
        names = {name.removeprefix(prefix): value for name, value in names.items()}
        stripped.append(prefix)
    return names, tuple(stripped)


def _is_wrapper(prefix: str, names: Mapping[str, Tensor]) -> bool:
    having = [name.startswith(prefix) for name in names]
    if not any(having) or len({name.removeprefix(prefix) for name in names}) < len(names):
        return False
    return all(having) or prefix == "backbone."


def _key(name: str) -> str:
    """Equal for what timm's extractors rename: they make a.0 to a_0, or put `model.` in front."""
    return name.removeprefix("model.").replace(".", "_")


def _read_torch(source: Path) -> Any:
    if not source.is_file():
        raise InputError(f"{source}: no such file")
    try:
        with warnings.catch_warnings():
            # it doubts every pickle protocol but its own; what it cannot read it refuses anyway
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            return torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{source}: holds more than tensors, and reading it would run code from the file: save its state_dict "
            "alone where it was trained, and convert that"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise InputError(f"{source}: not a PyTorch file, or truncated; copy it again") from error


def _tensors_of(value: Any, source: Path) -> dict[str, Tensor]:
    """The state dict in a loaded file: the file itself, or what lies under a name that trainers use for it."""
    while isinstance(value, Mapping):
        inner = next((value[name] for name in NESTS if isinstance(value.get(name), Mapping)), None)
        if inner is None:
            break
        value = inner
    tensors = {k: v for k, v in value.items() if isinstance(v, Tensor)} if isinstance(value, Mapping) else {}
    if not tensors:
        raise InputError(f"{source}: no named tensors in it; save the network's state_dict and convert that")
    return tensors
