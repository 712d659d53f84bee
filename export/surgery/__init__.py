"""Rewrites of ONNX files that keep the numbers, so that every model gets them, a refreshed one too.

Each is a file of its own with a test that the numbers stay. What was measured and gains nothing is not done: batch
norms (the exporter folds them into the convolutions beside them, which a test holds it to). Constants are folded where
something else needs it: the weights of attention, in half precision and at a fixed batch size. Not done either: small
maps of HRNet's fuse layers summed before they are enlarged, and identity convolutions and zero channels by which ONNX
Runtime keeps them in its blocked layout (a third of HM-HRNet's operators gone, 1.005 times as fast).
"""

from __future__ import annotations

from export.surgery import attention, direct_cells, late_resize, per_landmark, transposed_conv
from export.surgery.graph import Graph
from export.surgery.known_shapes import told

REWRITES = (transposed_conv, attention, direct_cells, late_resize, per_landmark)  # in this order


def operate(model: bytes) -> bytes:
    """The model with all rewrites that pay everywhere; the same bytes where none applies."""
    graph = Graph(model)
    done = [one.rewrite(graph) for one in REWRITES]
    return told(graph.finish()) if any(done) else model
