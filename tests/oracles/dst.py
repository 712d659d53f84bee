"""DST's losses as slow loops, written from the boxes in training/methods/dst.py and training/losses/worst_case.py."""

from __future__ import annotations

import math

import numpy as np


def softmax(values: np.ndarray, temperature: float) -> list[float]:
    """Over all cells of a map [h,w], row by row."""
    weights = [math.exp(float(value) / temperature) for value in values.ravel()]
    return [weight / sum(weights) for weight in weights]


def best(values: np.ndarray) -> int:
    """Number of the largest cell, row by row."""
    flat = [float(value) for value in values.ravel()]
    return flat.index(max(flat))


def worst_loss(
    known: tuple[np.ndarray, np.ndarray, np.ndarray],
    unknown: tuple[np.ndarray, np.ndarray],
    eta_prime: float,
    temperature: float,
) -> float:
    """known: maps [B,K,h,w] of the worst and the main head, visible [B,K]; unknown: maps of both heads."""
    cells = known[0].shape[-1] * known[0].shape[-2]
    agree, differ = [], []
    for b in range(known[0].shape[0]):
        for k in range(known[0].shape[1]):
            if known[2][b, k]:
                agree.append(-math.log(softmax(known[0][b, k], temperature)[best(known[1][b, k])]) / cells)
    for b in range(unknown[0].shape[0]):
        for k in range(unknown[0].shape[1]):
            differ.append(-math.log(1 - softmax(unknown[0][b, k], temperature)[best(unknown[1][b, k])]) / cells)
    return eta_prime * sum(agree) / len(agree) + sum(differ) / len(differ)
