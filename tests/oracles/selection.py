"""Which pseudo-labels each rule keeps, and how much each counts, by loops over single images."""

from __future__ import annotations

import numpy as np


def image_confidence(score: np.ndarray) -> list[float]:
    """Mean over the landmarks of each image's peaks [N,K]."""
    return [sum(float(value) for value in row) / len(row) for row in score]


def above(confidence: list[float], tau: float) -> list[int]:
    """Images with confidence >= tau."""
    return [i for i, value in enumerate(confidence) if value >= tau]


def most_confident(confidence: list[float], share: float) -> list[int]:
    """Images at least as confident as what stands at place (1 - share) of the sorted list, its ends being 0 and 1."""
    ordered = sorted(confidence)
    place = (1 - share) * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    threshold = ordered[low] + (ordered[high] - ordered[low]) * (place - low)
    return [i for i, value in enumerate(confidence) if value >= threshold]


def weighted_loss(error: np.ndarray, annotated: np.ndarray, pseudo: list[bool], weight: float) -> float:
    """Sum over labelled errors plus weight x sum over pseudo-labelled ones, divided by the weights counted."""
    total, count = 0.0, 0.0
    for b in range(error.shape[0]):
        for k in range(error.shape[1]):
            if annotated[b, k]:
                w = weight if pseudo[b] else 1.0
                total += w * float(error[b, k])
                count += w
    return total / count if count else 0.0
