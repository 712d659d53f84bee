"""What every engine checks of the graph that it loads, of the crops that it is given and of its threads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from lmdeploy.backends.cores import default_threads
from lmdeploy.errors import BundleError, InputError
from lmdeploy.types import U8

REQUIRED = ("points", "score", "spread")


def check_graph(inputs: Iterable[Any], outputs: Iterable[Any], origin: str) -> tuple[int, int, list[str]]:
    """(crop size, number of points, names of the outputs to fetch) of an exported graph; BundleError otherwise.

    Args:
        inputs: one object per tensor with `name`, `type` in ONNX Runtime's words (tensor(uint8)) and `shape`, a list
            of numbers, and of names for sizes that are open.
        outputs: likewise.
        origin: what the message calls the file.
    """
    sources, found = {i.name: i for i in inputs}, {o.name: o for o in outputs}
    again = "export the model with 'lmdeploy export'"
    if list(sources) != ["images"] or sources["images"].type != "tensor(uint8)":
        raise BundleError(f"{origin}: the only input must be uint8 'images', found {sorted(sources)}; {again}")
    missing = [name for name in REQUIRED if name not in found]
    if missing:
        raise BundleError(f"{origin}: no output {', '.join(missing)} (found {sorted(found)}); {again}")
    shape = sources["images"].shape
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3 or not isinstance(shape[1], int):
        raise BundleError(f"{origin}: 'images' must be [B,S,S,3] with a fixed S, found {shape}; {again}")
    names = [*REQUIRED, *(["nnm"] if "nnm" in found else [])]
    problem = _wrong_output({n: found[n] for n in names})
    if problem:
        raise BundleError(f"{origin}: {problem}; {again}")
    return int(shape[1]), int(found["points"].shape[1]), names


def check_crops(crops: U8, size: int) -> None:
    """InputError unless crops are u8[B,size,size,3]."""
    if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
        raise InputError(f"crops must be uint8 [B,{size},{size},3], got {crops.dtype} {list(crops.shape)}")


def thread_count(asked: int | None) -> int:
    """Threads of one network: what was asked for, at least 1, or the default of this machine."""
    if asked is not None and asked < 1:
        raise InputError(f"threads must be at least 1, got {asked}")
    return asked or default_threads()


def _wrong_output(outputs: dict[str, Any]) -> str:
    """What is wrong with the outputs: points must be f32 [B,K,2], the rest f32 [B,K], all of one fixed K."""
    shape = outputs["points"].shape
    if len(shape) != 3 or not isinstance(shape[1], int):
        return f"'points' must be [B,K,2] with a fixed K, found {shape}"
    for name, output in outputs.items():
        wanted = [shape[1], 2] if name == "points" else [shape[1]]
        if output.type != "tensor(float)" or output.shape[1:] != wanted:
            return f"'{name}' must be float32 ['B', {', '.join(map(str, wanted))}], found {output.type} {output.shape}"
    return ""
