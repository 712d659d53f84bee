"""A variant of a fixed batch size, in which no shape is computed at run time (CUDA graphs, one-shape engines)."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import shape_inference

from export.surgery import constants
from export.surgery.graph import Graph, attribute
from lmdeploy.errors import InputError


def fix_batch(model: bytes, batch: int) -> bytes:
    """The model for exactly `batch` crops: every dimension is a number, every shape a constant."""
    if batch < 1:
        raise InputError(f"a batch of {batch} crops: give at least 1")
    graph = Graph(model)
    for value in (*graph.model.graph.input, *graph.model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    while _known_shapes(graph) + constants.fold(graph):  # a constant shape makes further shapes known
        continue
    if graph.of_type("Shape"):
        raise InputError("the network's inner shapes depend on more than the batch: it has no fixed-batch variant")
    return graph.finish()


def _known_shapes(graph: Graph) -> int:
    """Replace Shape nodes of tensors whose dimensions are all numbers; how many."""
    asked = graph.of_type("Shape")
    if not asked:
        return 0
    inferred = onnx.ModelProto.FromString(graph.assemble())
    inferred = shape_inference.infer_shapes(inferred, data_prop=True)
    values = [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in values}
    done = 0
    for node in asked:
        shape = shapes.get(node.input[0], [0])
        if 0 not in shape:
            part = shape[attribute(node, "start", 0) : attribute(node, "end", len(shape))]
            graph.set_constant(node.output[0], np.array(part, np.int64))
            graph.replace(node, [])
            done += 1
    return done
