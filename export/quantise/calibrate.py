"""Ranges of tensors over real crops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx

from export.surgery.graph import Graph
from lmdeploy.types import F32, U8

BINS = 2048
BATCH = 4  # crops at once: every measured tensor is held
SHARES = np.linspace(0.3, 1.0, 71)  # of the largest value, tried as the limit


class Ranges:
    """What tensors of a float model were seen to hold; `signed` says by name whether anything was negative."""

    def __init__(self, model: bytes, names: list[str], crops: U8) -> None:
        """Run the model on crops u8[N,S,S,3] twice: for the extremes, then for histograms of |value|."""
        session = _observing(model, names)
        low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
        for values in _batches(session, names, crops):
            low = np.minimum(low, [value.min() for value in values])
            high = np.maximum(high, [value.max() for value in values])
        top = np.maximum(np.maximum(np.abs(low), np.abs(high)), 1e-12)  # a tensor of zeros has a step too
        counts = np.zeros((len(names), BINS))
        for values in _batches(session, names, crops):
            counts += [np.histogram(np.abs(v), BINS, (0.0, float(t)))[0] for v, t in zip(values, top, strict=True)]
        self.signed = dict(zip(names, (low < 0).tolist(), strict=True))
        self._of = dict(zip(names, zip(top.tolist(), counts, strict=True), strict=True))

    def limit(self, name: str, levels: int) -> float:
        """The largest magnitude that `levels` steps should reach: where the mean squared error is least."""
        top, counts = self._of[name]
        centres = (np.arange(BINS) + 0.5) * (top / BINS)
        errors = []
        for limit in top * SHARES:
            rounded = np.clip(np.round(centres * (levels / limit)), 0, levels) * (limit / levels)
            errors.append(float((counts * (rounded - centres) ** 2).sum()))
        return float(top * SHARES[int(np.argmin(errors))])


def _observing(model: bytes, names: list[str]) -> Any:
    """A session whose outputs are the named tensors."""
    import onnxruntime

    graph = Graph(model)
    graph.outputs = list(names)
    outputs = graph.model.graph.output
    del outputs[:]
    outputs.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(graph.assemble(), options, providers=["CPUExecutionProvider"])


def _batches(session: Any, names: list[str], crops: U8) -> Iterator[list[F32]]:
    for i in range(0, len(crops), BATCH):
        yield session.run(names, {"images": crops[i : i + BATCH]})
