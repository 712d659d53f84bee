"""Slow loops written from PIPNet's definitions: targets, the three losses, decoding and merging."""

from __future__ import annotations

import math

import numpy as np


def cell_of(c: float, cells: int) -> int:
    """Column (or row) of a coordinate in crop widths."""
    return min(max(math.floor(c * cells), 0), cells - 1)


def score_loss(scores: list[np.ndarray], coords: np.ndarray, visible: np.ndarray, level: list[int]) -> float:
    """L_S: every cell of every annotated landmark's map after level[b] poolings."""
    squares: list[float] = []
    plain = scores[0].shape[-1]
    for b, k in zip(*np.nonzero(visible), strict=True):
        score = scores[level[b]][b, k]
        column, row = (cell_of(c, plain) // 2 ** level[b] for c in coords[b, k])
        for i in range(score.shape[0]):
            for j in range(score.shape[1]):
                squares.append((score[i, j] - (1.0 if (i, j) == (row, column) else 0.0)) ** 2)
    return mean(squares)


def offset_loss(offset: np.ndarray, coords: np.ndarray, visible: np.ndarray, whole: list[bool]) -> float:
    """L_O in the true cell of the annotated landmarks of samples held to the whole task."""
    cells = offset.shape[-1]
    apart: list[list[float]] = [[], []]
    for b, k in zip(*np.nonzero(visible), strict=True):
        column, row = (cell_of(c, cells) for c in coords[b, k])
        for axis, corner in enumerate((column, row)):
            if whole[b]:
                apart[axis].append(abs(offset[b, k, axis, row, column] - (coords[b, k, axis] * cells - corner)))
    return mean(apart[0]) + mean(apart[1])


def near_loss(
    near: np.ndarray, coords: np.ndarray, visible: np.ndarray, whole: list[bool], neighbours: np.ndarray
) -> float:
    """L_N in the true cell of the landmark, over its neighbours that are annotated too."""
    cells = near.shape[-1]
    apart: list[list[float]] = [[], []]
    for b, k in zip(*np.nonzero(visible), strict=True):
        column, row = (cell_of(c, cells) for c in coords[b, k])
        for c, j in enumerate(neighbours[k]):
            for axis, corner in enumerate((column, row)):
                if whole[b] and visible[b, j]:
                    wanted = coords[b, j, axis] * cells - corner
                    apart[axis].append(abs(near[b, k, c, axis, row, column] - wanted))
    return mean(apart[0]) + mean(apart[1])


def mean(values: list[float]) -> float:
    """0 where nothing counts."""
    return sum(values) / len(values) if values else 0.0


def points(
    score: np.ndarray, offset: np.ndarray, near: np.ndarray, neighbours: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Merged and own points of one image, crop widths, from score [K,w,w], offset [K,2,w,w], near [K,C,2,w,w]."""
    count, cells = score.shape[0], score.shape[-1]
    said: list[list[np.ndarray]] = [[] for _ in range(count)]
    for k in range(count):
        row, column = np.unravel_index(int(np.argmax(score[k])), score[k].shape)
        corner = np.array([column, row])
        said[k].insert(0, (corner + offset[k, :, row, column]) / cells)
        for c, j in enumerate(neighbours[k]):
            said[j].append((corner + near[k, c, :, row, column]) / cells)
    own = []
    for k in range(count):
        row, column = np.unravel_index(int(np.argmax(score[k])), score[k].shape)
        own.append((np.array([column, row]) + offset[k, :, row, column]) / cells)
    return np.array([np.mean(one, axis=0) for one in said]), np.array(own)
