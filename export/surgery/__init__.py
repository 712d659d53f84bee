"""Rewrites of ONNX files that keep the numbers, so that every model gets them, a refreshed one too.

Each is a file of its own with a test that the numbers stay. What was measured and gains nothing is not done: batch
norms (the exporter folds them into the convolutions beside them, which a test holds it to) and constants of the
transformer's decoder (ONNX Runtime folds them on loading: TF-R18 takes 1.006 times as long without, within the noise).
Constants are folded where something else needs it: in half precision and at a fixed batch size.
"""

from __future__ import annotations

from export.surgery import per_landmark, transposed_conv
from export.surgery.graph import Graph


def operate(model: bytes) -> bytes:
    """The model with all rewrites that pay everywhere; the same bytes where none applies."""
    graph = Graph(model)
    return graph.finish() if transposed_conv.rewrite(graph) + per_landmark.rewrite(graph) else model
