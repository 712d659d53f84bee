"""Rewrites of ONNX files that keep the numbers, so that every model gets them, a refreshed one too.

Each is a file of its own with a test that the numbers stay. Batch norms need none: the exporter folds them into the
convolutions beside them, which a test holds it to.
"""

from __future__ import annotations

from export.surgery import constants, transposed_conv
from export.surgery.graph import Graph


def operate(model: bytes) -> bytes:
    """The model with all rewrites that pay everywhere."""
    graph = Graph(model)
    constants.fold(graph)
    transposed_conv.rewrite(graph)
    return graph.finish()
