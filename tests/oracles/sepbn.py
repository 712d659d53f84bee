"""Slow SepBN, written from the paper's equations (III-A, III-B): one sample, one channel, one cell at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


def statistics(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each channel of x [N,C,h,w]."""
    channels = [x[:, c].ravel() for c in range(x.shape[1])]
    means = [sum(values) / len(values) for values in channels]
    variances = [sum((v - m) ** 2 for v in values) / len(values) for values, m in zip(channels, means, strict=True)]
    return np.array(means), np.array(variances)


def pooled(x: Array, size: int) -> Array:
    """Adaptive max pooling of x [C,h,w] to [C,T,T], window by window."""
    channels, height, width = x.shape
    out = np.zeros((channels, size, size))
    for c in range(channels):
        for i in range(size):
            for j in range(size):
                rows = range(math.floor(i * height / size), math.ceil((i + 1) * height / size))
                columns = range(math.floor(j * width / size), math.ceil((j + 1) * width / size))
                out[c, i, j] = max(x[c, r, s] for r in rows for s in columns)
    return out


def grouped_logits(x: Array, weights: dict[str, Array], size: int) -> Array:
    """a [G,K] of one sample x [C,h,w]: pooling, 1x1 convolution, MLP with one ReLU layer."""
    cells = pooled(x, size)
    squeezed = [
        sum(weights["squeeze.weight"][g, c, 0, 0] * cells[c] for c in range(len(cells))) + weights["squeeze.bias"][g]
        for g in range(len(weights["squeeze.bias"]))
    ]
    flat = np.concatenate([plane.ravel() for plane in squeezed])
    hidden = np.maximum(weights["first.weight"] @ flat + weights["first.bias"], 0)
    out: Array = weights["last.weight"] @ hidden + weights["last.bias"]
    return out.reshape(len(squeezed), -1)


def simple_logits(x: Array, weights: dict[str, Array]) -> Array:
    """a [1,K] of one sample x [C,h,w]: squeeze (mean, linear, ReLU), excite (linear, sigmoid)."""
    squeezed = np.array([plane.mean() for plane in x])
    hidden = np.maximum(weights["first.weight"] @ squeezed + weights["first.bias"], 0)
    excited = weights["last.weight"] @ hidden + weights["last.bias"]
    out: Array = 1 / (1 + np.exp(-excited))
    return out[None]


def softmax(logits: Array, tau: float) -> Array:
    """pi [G,K] of a [G,K]: over K (the paper's Eq. 5 says n)."""
    out = np.zeros_like(logits)
    for g, row in enumerate(logits):
        total = sum(math.exp(value / tau) for value in row)
        for k, value in enumerate(row):
            out[g, k] = math.exp(value / tau) / total
    return out


def sepbn(x: Array, pi: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float = 1e-5) -> Array:
    """y [N,C,h,w] of x [N,C,h,w], pi [N,G,K], gamma and beta [K,C]."""
    count, channels = x.shape[:2]
    groups, sets = pi.shape[1:]
    out = np.zeros_like(x)
    for n in range(count):
        for c in range(channels):
            g = c // (channels // groups)
            scale = sum(pi[n, g, k] * gamma[k, c] for k in range(sets))
            shift = sum(pi[n, g, k] * beta[k, c] for k in range(sets))
            out[n, c] = scale * (x[n, c] - mean[c]) / math.sqrt(var[c] + eps) + shift
    return out
