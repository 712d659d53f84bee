"""The options of `lmdeploy export` that say how a Triton server runs the models: one per field of Serving."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from export.triton.config import Serving

ONE = click.IntRange(1)
OPTIONS = (
    click.option("--triton-version", type=ONE, help="Version to write; needed where DIR has the model, else 1."),
    click.option(
        "--triton-device",
        type=click.Choice(["auto", "cpu", "gpu"]),
        default="auto",
        show_default=True,
        help="Where the server runs it; no TensorRT model for cpu.",
    ),
    click.option("--triton-instances", type=ONE, default=1, show_default=True, help="Copies, on each GPU if on GPUs."),
    click.option("--triton-max-batch", type=ONE, default=32, show_default=True, help="Most crops in a batch."),
    click.option(
        "--triton-delay-us",
        type=click.IntRange(0),
        default=2000,
        show_default=True,
        help="Longest wait for others to share a batch, microseconds.",
    ),
    click.option("--triton-python", is_flag=True, help="NAME_python, too: ONNX Runtime in the server's Python."),
)


def serving_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all of them."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def take_serving(given: dict[str, Any]) -> Serving:
    """The Serving that was asked for; its values leave `given`."""
    from export.triton.config import Serving

    return Serving(**{field: given.pop(f"triton_{field}") for field in Serving.model_fields})
