"""Rewrites of ONNX files that keep the numbers, so that every model gets them, a refreshed one too.

Each is a file of its own with a test that the numbers stay. What was measured and gains nothing is not done: batch
norms (the exporter folds them into the convolutions beside them, which a test holds it to). Constants are folded where
something else needs it: the weights of attention, in half precision and at a fixed batch size.
"""

from __future__ import annotations

from export.surgery import attention, direct_cells, late_resize, per_landmark, transposed_conv
from export.surgery.graph import Graph

REWRITES = (transposed_conv, attention, direct_cells, late_resize, per_landmark)  # in this order


def operate(model: bytes) -> bytes:
    """The model with all rewrites that pay everywhere; the same bytes where none applies."""
    graph = Graph(model)
    done = [one.rewrite(graph) for one in REWRITES]
    return graph.finish() if any(done) else model
