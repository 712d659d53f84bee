"""A score that means something: P(error < 5 % of the normaliser), fitted on labels that training has not seen.

Scores in order fall into bins of equal count; each bin's rate of good points is (good + 1) / (count + 2); neighbouring
bins that fall are pooled until the rates rise (isotonic regression by pooling adjacent violators). The curve is linear
between the bins' mean scores and flat outside, so the order of scores stays. In the graph, with knots x_m, y_m:

    P = y_0 + sum over m of (y_m+1 - y_m) / (x_m+1 - x_m) * clip(score - x_m, 0, x_m+1 - x_m)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from export.surgery.graph import Graph, Node
from export.surgery.known_shapes import told
from lmdeploy.backends.base import Backend
from lmdeploy.errors import InputError
from lmdeploy.types import F32, F64, U8, Array, Prediction

GOOD = 0.05  # of the normaliser
BINS = 24
LEAST_POINTS = 200  # labelled points, below which a rate a bin is chance


@dataclass(frozen=True, slots=True)
class Curve:
    """Knots of the map: scores x f64[M], rising, and probabilities y f64[M], never falling."""

    x: F64
    y: F64

    def __call__(self, score: Array) -> F32:
        """Probabilities f32 of scores of any shape."""
        return np.interp(score, self.x, self.y).astype(np.float32)


def fit(score: Array, error: Array) -> Curve:
    """The curve of scores f[...] and errors f[...] (fractions of the normaliser; NaN: not annotated)."""
    seen = np.isfinite(error) & np.isfinite(score)
    if seen.sum() < LEAST_POINTS:
        raise InputError(f"{int(seen.sum())} labelled points: calibrating scores needs at least {LEAST_POINTS}")
    order = np.argsort(score[seen], kind="stable")
    sorted_score, good = score[seen][order].astype(np.float64), (error[seen][order] < GOOD).astype(np.float64)
    pools: list[tuple[float, float, float]] = []  # count, sum of scores, number good
    for part in np.array_split(np.arange(len(order)), BINS):
        pools.append((len(part), sorted_score[part].sum(), good[part].sum()))
        while len(pools) > 1 and not _rises(pools[-2], pools[-1]):
            last, before = pools.pop(), pools.pop()
            pools.append((last[0] + before[0], last[1] + before[1], last[2] + before[2]))
    return Curve(np.array([s / n for n, s, _ in pools]), np.array([_rate(pool) for pool in pools]))


def write(model: bytes, curve: Curve) -> bytes:
    """The model with the curve behind its output `score`."""
    graph = Graph(model)
    node = graph.producer("score")
    assert node is not None, "an exported graph makes its score"
    raw = graph.fresh("score/raw")
    node.output[list(node.output).index("score")] = raw
    width, slope = np.diff(curve.x), np.diff(curve.y) / np.diff(curve.x)
    if len(width) == 0:  # a sum of nothing is no zero to every runtime
        width, slope = np.zeros(1), np.zeros(1)
    values = {"x": curve.x[: len(width)], "width": width, "slope": slope, "y": curve.y[:1]}
    name = {key: graph.add_constant(value.astype(np.float32), f"score/{key}") for key, value in values.items()}
    name["last"] = graph.add_constant(np.array([-1], np.int64), "score/last")
    name["zero"] = graph.add_constant(np.array(0, np.float32), "score/zero")
    steps = [
        ("Unsqueeze", [raw, name["last"]]), ("Sub", ["", name["x"]]), ("Max", ["", name["zero"]]),
        ("Min", ["", name["width"]]), ("Mul", ["", name["slope"]]), ("ReduceSum", ["", name["last"]]),
        ("Add", ["", name["y"]]),
    ]  # fmt: skip
    nodes: list[Node] = []
    for kind, inputs in steps:
        inputs[0] = inputs[0] or nodes[-1].output[0]
        more = {"keepdims": 0} if kind == "ReduceSum" else {}
        out = "score" if kind == "Add" else graph.fresh(f"score/{kind}")
        nodes.append(graph.make(kind, inputs, out, **more))
    graph.after(graph.producer(raw), nodes)
    return told(graph.finish())


class Calibrated:
    """A backend whose scores go through the curve: what the written graph is compared with."""

    def __init__(self, inner: Backend, curve: Curve) -> None:
        """Wrap a backend; closing this closes it."""
        self.provider = inner.provider
        self._inner, self._curve = inner, curve

    def run(self, crops: U8) -> Prediction:
        """Landmarks of crops u8[B,S,S,3] RGB, in crop px."""
        found = self._inner.run(crops)
        return Prediction(found.points, self._curve(found.score), found.spread, found.nnm)

    def close(self) -> None:
        """Free what is inside."""
        self._inner.close()


def _rate(pool: tuple[float, float, float]) -> float:
    return (pool[2] + 1) / (pool[0] + 2)


def _rises(a: tuple[float, float, float], b: tuple[float, float, float]) -> bool:
    return _rate(a) <= _rate(b) and a[1] / a[0] < b[1] / b[0]
