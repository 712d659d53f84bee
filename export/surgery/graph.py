"""An ONNX graph whose edges are indexed, so that a rewrite is a few lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from lmdeploy.types import Array

Node = onnx.NodeProto


class Graph:
    """A model that is being rewritten; `finish` gives it back checked and without what nothing uses.

    `nodes` stay in an order in which they can run. Edges are looked up anew: graphs here have some hundred nodes.
    """

    def __init__(self, model: bytes | onnx.ModelProto) -> None:
        """Index a copy of the model."""
        self.model = onnx.ModelProto()
        if isinstance(model, bytes):
            self.model.ParseFromString(model)
        else:
            self.model.CopyFrom(model)
        graph = self.model.graph
        self.nodes: list[Node] = list(graph.node)
        self.initialisers = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = [value.name for value in graph.input]
        self.outputs = [value.name for value in graph.output]
        self._taken = {*self.initialisers, *self.inputs}
        self._taken |= {name for node in self.nodes for name in (*node.input, *node.output, node.name)}

    @property
    def opset(self) -> int:
        """Version of the default operator set."""
        return int(next(item.version for item in self.model.opset_import if item.domain == ""))

    def of_type(self, *kinds: str) -> list[Node]:
        """The nodes of these operators, in order."""
        return [node for node in self.nodes if node.op_type in kinds]

    def producer(self, name: str) -> Node | None:
        """The node that makes a tensor; None for an input or a constant."""
        return next((node for node in self.nodes if name in node.output), None)

    def consumers(self, name: str) -> list[Node]:
        """The nodes that read a tensor."""
        return [node for node in self.nodes if name in node.input]

    def only_consumer(self, name: str) -> Node | None:
        """The one node that reads a tensor which is no output; None where there is another number of them."""
        readers = self.consumers(name)
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def upwards(self, name: str, *kinds: str) -> list[Node] | None:
        """The nodes that make a tensor, each makes the first input of the one before; None if a kind differs."""
        found: list[Node] = []
        for kind in kinds:
            node = self.producer(name)
            if node is None or node.op_type != kind:
                return None
            found.append(node)
            name = node.input[0]
        return found

    def constant(self, name: str) -> Array | None:
        """Value of an initialiser, else None."""
        tensor = self.initialisers.get(name)
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor))

    def add_constant(self, value: Array, hint: str) -> str:
        """Name of a new initialiser."""
        name = self.fresh(hint)
        self.set_constant(name, value)
        return name

    def set_constant(self, name: str, value: Array) -> None:
        """Make a tensor that no node makes (any more) an initialiser."""
        self.initialisers[name] = numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)

    def fresh(self, hint: str) -> str:
        """A name that nothing has yet."""
        name, count = hint, 0
        while name in self._taken:
            count += 1
            name = f"{hint}_{count}"
        self._taken.add(name)
        return name

    def make(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> Node:
        """A node with one output and a name of its own; it is not in the graph yet."""
        return helper.make_node(kind, list(inputs), [output], name=self.fresh(f"{output}/{kind}"), **attributes)

    def replace(self, old: Node, new: Iterable[Node]) -> None:
        """Put nodes where another one was."""
        place = self._place(old)
        self.nodes[place : place + 1] = list(new)

    def after(self, node: Node | None, new: Iterable[Node]) -> None:
        """Put nodes behind another one, or first."""
        place = 0 if node is None else 1 + self._place(node)
        self.nodes[place:place] = list(new)

    def before(self, node: Node, new: Iterable[Node]) -> None:
        """Put nodes in front of another one."""
        place = self._place(node)
        self.nodes[place:place] = list(new)

    def finish(self) -> bytes:
        """The rewritten model's bytes; unused nodes and constants are gone and the checker has passed it."""
        raw = self.assemble()
        onnx.checker.check_model(self.model, full_check=True)
        return raw

    def assemble(self) -> bytes:
        """As `finish`, but unchecked: for a graph that stays in this process."""
        self.drop_unused()
        graph = self.model.graph
        nodes = [Node.FromString(node.SerializeToString()) for node in self.nodes]  # they may lie in the field below
        tensors = list(self.initialisers.values())
        weights = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in tensors]
        del graph.node[:], graph.initializer[:]
        graph.node.extend(nodes)
        graph.initializer.extend(weights)
        del graph.value_info[:]  # types and shapes of tensors that may be gone; runtimes infer them
        return bytes(self.model.SerializeToString())

    def drop_unused(self) -> None:
        """Take out nodes and constants that no output needs; counts of consumers are right afterwards."""
        needed = set(self.outputs)
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(name for name in node.input if name)
        self.nodes = kept[::-1]
        self.initialisers = {name: tensor for name, tensor in self.initialisers.items() if name in needed}

    def _place(self, node: Node) -> int:
        return next(i for i, other in enumerate(self.nodes) if other is node)


def attribute(node: Node, name: str, default: Any = None) -> Any:
    """Value of a node's attribute, or the default where it is not given."""
    found = next((item for item in node.attribute if item.name == name), None)
    return default if found is None else helper.get_attribute_value(found)


def reached(graph: Graph, sources: Iterable[Node]) -> set[str]:
    """Names of the nodes behind any of the sources."""
    tensors = {name for node in sources for name in node.output}
    found: set[str] = set()
    for node in graph.nodes:
        if tensors.intersection(node.input):
            found.add(node.name)
            tensors.update(node.output)
    return found


def reaching(graph: Graph, targets: Iterable[Node]) -> set[str]:
    """Names of the nodes before any of the targets."""
    tensors = {name for node in targets for name in node.input if name}
    found: set[str] = set()
    for node in reversed(graph.nodes):
        if tensors.intersection(node.output):
            found.add(node.name)
            tensors.update(name for name in node.input if name)
    return found
