"""Where 8-bit tensors lie in a graph, once it is said which convolutions compute with them.

`Steps` below: name of a tensor to quantise -> name of the tensor whose step it has. That is itself, but for operators
that only move values: there both sides have one step, so that a runtime moves bytes.
"""

from __future__ import annotations

from export.surgery.graph import Graph, Node, attribute, reached, reaching
from lmdeploy.types import Array

MOVING = ("DepthToSpace", "Slice", "MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten")

Steps = dict[str, str]


def eligible(graph: Graph) -> list[Node]:
    """Two-dimensional convolutions with constant weights, but the first and the last ones.

    The first sees the image and the last ones (heads of maps, the projection before a decoder) make what is decoded:
    they are a small part of the work and most of the loss.
    """
    found = graph.of_type("Conv")
    inner = reached(graph, found) & reaching(graph, found)
    return [node for node in found if node.name in inner and _is_planar(graph.constant(node.input[1]))]


def inputs_only(graph: Graph, convolutions: list[Node]) -> Steps:
    """What the convolutions read."""
    return {node.input[0]: node.input[0] for node in convolutions}


def throughout(graph: Graph, convolutions: list[Node]) -> Steps:
    """What the convolutions read and write, and whatever lies between two of them.

    A sum that only float operators read stays float: it costs little, and is often what a head sees.
    """
    chosen = {node.name for node in convolutions}
    wanted, before = _wanted(graph, convolutions), reaching(graph, graph.of_type("Conv"))
    step: Steps = {}
    for node in graph.nodes:
        end = end_of(graph, node)
        if node.name in chosen:
            step.setdefault(node.input[0], node.input[0])
            step[end] = end
        elif node.op_type == "Add" and end in wanted and all(name in step for name in node.input):
            step[end] = end
        elif node.op_type == "Concat" and node.name in before and all(name in step for name in node.input):
            step[end] = end  # one step for all parts
            step |= {name: end for name in node.input if graph.only_consumer(name)}
        elif _moves(node) and node.input[0] in step:
            step[node.output[0]] = step[node.input[0]]
    for node in graph.of_type("MaxPool"):  # of 8-bit values is cheaper, and the same
        if node.output[0] in step and node.input[0] not in step:
            step[node.input[0]] = step[node.output[0]] = node.input[0]
    return step


def measurable(graph: Graph) -> list[str]:
    """Every tensor whose range some choice of convolutions needs."""
    names = [name for node in graph.of_type("Conv", "MaxPool") for name in (node.input[0], end_of(graph, node))]
    before = reaching(graph, graph.of_type("Conv"))
    names += [end_of(graph, node) for node in graph.of_type("Add", "Concat") if node.name in before]
    return list(dict.fromkeys(names))


def end_of(graph: Graph, node: Node) -> str:
    """The node's output, or that of the Relu which alone reads it: both are one operator to a runtime."""
    reader = graph.only_consumer(node.output[0])
    return str((reader if reader is not None and reader.op_type == "Relu" else node).output[0])


def _is_planar(weight: Array | None) -> bool:
    return weight is not None and weight.ndim == 4


def _moves(node: Node) -> bool:
    return node.op_type in MOVING or (node.op_type == "Resize" and attribute(node, "mode") == b"nearest")


def _wanted(graph: Graph, convolutions: list[Node]) -> set[str]:
    """What an 8-bit operator would read, directly or behind sums and moves."""
    wanted = {node.input[0] for node in convolutions}
    for node in reversed(graph.nodes):
        if (node.op_type == "Add" and end_of(graph, node) in wanted) or (_moves(node) and node.output[0] in wanted):
            wanted.update(node.input)
    return wanted
