"""Explicit quantise and dequantise nodes with symmetric steps: an ONNX file becomes an int8 one.

    x_q = clip(round(x / s) + z)      x ~ (x_q - z) s

Weights: signed 8 bit, one step an output channel. Activations of `u8s8` (x86 processors): unsigned 8 bit; z = 0 where
nothing is negative, else 128; every tensor between two convolutions, and the bias as int32, so that the runtime
computes in integers throughout. Activations of `s8s8` (TensorRT): signed, z = 0 everywhere, only on what convolutions
read, and the bias in float, as its rules want it.

On a processor without VNNI the runtime adds pairs of u8 x s8 products in 16 bits, where large ones saturate: check
such a machine with the bundle's reference crops.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from export.quantise.calibrate import Ranges
from export.quantise.places import eligible, inputs_only, throughout
from export.surgery.graph import Graph, Node
from lmdeploy.types import F32, Array

Scheme = Literal["u8s8", "s8s8"]
LEAST_STEP = np.float32(1e-30)  # a channel of zeros has a step too


@dataclass(frozen=True, slots=True)
class Step:
    """One tensor's step: names of the constants s and z, and s itself."""

    scale: str
    zero: str
    value: np.float32


def quantise(model: bytes, scheme: Scheme, ranges: Ranges, leave: Iterable[str] = ()) -> bytes:
    """An int8 model whose eligible convolutions compute with 8 bits, but for those named in `leave`.

    ranges: of the tensors of this model (places.measurable).
    """
    graph = Graph(model)
    chosen = [node for node in eligible(graph) if node.name not in set(leave)]
    places = (throughout if scheme == "u8s8" else inputs_only)(graph, chosen)
    steps = {name: _step(graph, name, ranges, scheme) for name in dict.fromkeys(places.values())}
    for node in chosen:
        _weights(graph, node, steps[places[node.input[0]]], scheme)
    for name, source in places.items():
        _activation(graph, name, steps[source])
    return graph.finish()


def channel_steps(weight: Array) -> F32:
    """f32[O] of weights f32[O,I,h,w]: 127 steps reach the largest of each output channel."""
    steps: F32 = np.maximum(np.abs(weight).max(axis=(1, 2, 3)) / 127, LEAST_STEP).astype(np.float32)
    return steps


def _step(graph: Graph, name: str, ranges: Ranges, scheme: Scheme) -> Step:
    unsigned = scheme == "u8s8" and not ranges.signed[name]
    levels = 255 if unsigned else 127
    value = np.float32(ranges.limit(name, levels) / levels)
    zero = np.array(0, np.int8) if scheme == "s8s8" else np.array(0 if unsigned else 128, np.uint8)
    return Step(graph.add_constant(np.array(value), f"{name}/step"), graph.add_constant(zero, f"{name}/zero"), value)


def _activation(graph: Graph, name: str, step: Step) -> None:
    """Everything that reads the tensor reads it rounded."""
    small, rounded = graph.fresh(f"{name}/8bit"), graph.fresh(f"{name}/rounded")
    for reader in graph.consumers(name):
        for i, source in enumerate(reader.input):
            if source == name:
                reader.input[i] = rounded
    to = graph.make("QuantizeLinear", [name, step.scale, step.zero], small)
    back = graph.make("DequantizeLinear", [small, step.scale, step.zero], rounded)
    graph.after(graph.producer(name), [to, back])


def _weights(graph: Graph, node: Node, step: Step, scheme: Scheme) -> None:
    weight = graph.constant(node.input[1])
    assert weight is not None, "eligible convolutions have constant weights"
    steps = channel_steps(weight)
    small = np.clip(np.round(weight / steps[:, None, None, None]), -127, 127).astype(np.int8)
    _as_integers(graph, node, 1, small, steps)
    bias = graph.constant(node.input[2]) if len(node.input) > 2 else None
    if scheme == "u8s8" and bias is not None:
        steps = np.maximum(steps * step.value, LEAST_STEP)
        limit = 2**31 - 128  # the largest int32 that fp32 holds
        _as_integers(graph, node, 2, np.clip(np.round(bias / steps), -limit, limit).astype(np.int32), steps)


def _as_integers(graph: Graph, node: Node, place: int, value: Array, steps: F32) -> None:
    """Give a node's constant input as integers with a step for each output channel."""
    name = node.input[place]
    constants = {"8bit" if place == 1 else "32bit": value, "steps": steps, "zeros": np.zeros(len(steps), value.dtype)}
    names = [graph.add_constant(content, f"{name}/{kind}") for kind, content in constants.items()]
    node.input[place] = graph.fresh(f"{name}/rounded")
    graph.before(node, [graph.make("DequantizeLinear", names, node.input[place], axis=0)])
