"""New nodes of a graph written down as expressions; asked for the same one twice, it is made once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from onnx import TensorProto

from export.surgery.graph import Graph, Node


class Nodes:
    """Nodes for a graph, in an order in which they can run; `made` is to be put into it.

    Every method gives the name of a tensor; those of this class begin with `prefix`.
    """

    def __init__(self, graph: Graph, prefix: str) -> None:
        """Nothing is in the graph yet but the constants."""
        self.made: list[Node] = []
        self._graph, self._prefix = graph, prefix
        self._known: dict[tuple[Any, ...], str] = {}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Output of an operator."""
        key = (kind, inputs, str(sorted(attributes.items())))
        if key not in self._known:
            output = self._graph.fresh(f"{self._prefix}_{kind.lower()}")
            self.made.append(self._graph.make(kind, inputs, output, **attributes))
            self._known[key] = output
        return self._known[key]

    def floats(self, name: str) -> str:
        """A tensor as float32."""
        return self.op("Cast", name, to=TensorProto.FLOAT)

    def number(self, value: float) -> str:
        """A float32 scalar."""
        return self.constant(value, np.float32)

    def numbers(self, values: ArrayLike) -> str:
        """A float32 constant."""
        return self.constant(values, np.float32)

    def whole(self, values: int | Sequence[int]) -> str:
        """An int64 constant: axes, shapes, places."""
        return self.constant(values, np.int64)

    def constant(self, values: ArrayLike, dtype: type[np.generic]) -> str:
        """A constant of that type."""
        value = np.asarray(values, dtype)
        key = ("constant", value.dtype.name, value.shape, value.tobytes())
        if key not in self._known:
            self._known[key] = self._graph.add_constant(value, f"{self._prefix}_constant")
        return self._known[key]
