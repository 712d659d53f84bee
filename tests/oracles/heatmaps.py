"""Slow loops written from the equations of the heatmap codecs and losses."""

from __future__ import annotations

import math

import numpy as np


def subpixel_map(x: float, y: float, sigma: float, cells: int, stride: int) -> np.ndarray:
    """exp(-d^2 / 2 sigma^2), d in cells between a cell's centre and the point (crop px)."""
    out = np.zeros((cells, cells))
    for row in range(cells):
        for column in range(cells):
            px, py = column * stride + (stride - 1) / 2, row * stride + (stride - 1) / 2
            squared = ((px - x) ** 2 + (py - y) ** 2) / stride**2
            out[row, column] = math.exp(-squared / (2 * sigma**2))
    return out


def stld_map(x: float, y: float, sigma: float, cells: int, stride: int) -> np.ndarray:
    """Peak 1 at mu = clamp(trunc(c w - 0.5)), zero beyond floor(3 sigma) on either axis."""
    width = cells * stride
    mu = [min(max(math.trunc((v + 0.5) / width * cells - 0.5), 0), cells - 1) for v in (x, y)]
    reach = math.floor(3 * sigma)
    out = np.zeros((cells, cells))
    for row in range(cells):
        for column in range(cells):
            dx, dy = column - mu[0], row - mu[1]
            if abs(dx) <= reach and abs(dy) <= reach:
                out[row, column] = math.exp(-(dx * dx + dy * dy) / (2 * sigma * sigma))
    return out


def stld_point(heatmap: np.ndarray, stride: int) -> tuple[float, float]:
    """(argmax + 1 + 0.25 sign(right - left)) / w in crop widths, here in crop px."""
    cells = heatmap.shape[0]
    row, column = np.unravel_index(int(np.argmax(heatmap)), heatmap.shape)
    shift = [0.0, 0.0]
    if 0 < column < cells - 1:
        shift[0] = 0.25 * np.sign(heatmap[row, column + 1] - heatmap[row, column - 1])
    if 0 < row < cells - 1:
        shift[1] = 0.25 * np.sign(heatmap[row + 1, column] - heatmap[row - 1, column])
    return (column + 1 + shift[0]) * stride - 0.5, (row + 1 + shift[1]) * stride - 0.5


def masked_mse(out: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    """Sum of squared differences over the counted elements, divided by their number."""
    total, count = 0.0, 0
    for b in range(out.shape[0]):
        for k in range(out.shape[1]):
            if mask[b, k]:
                for value, wanted in zip(out[b, k].ravel(), target[b, k].ravel(), strict=True):
                    total += (value - wanted) ** 2
                    count += 1
    return total / count if count else 0.0


def nnm(heatmap: np.ndarray, side: int) -> float:
    """Minus the sum of the side x side window at the peak, cells outside the map left out."""
    row, column = np.unravel_index(int(np.argmax(heatmap)), heatmap.shape)
    total = 0.0
    for dy in range(-(side // 2), side // 2 + 1):
        for dx in range(-(side // 2), side // 2 + 1):
            if 0 <= row + dy < heatmap.shape[0] and 0 <= column + dx < heatmap.shape[1]:
                total += heatmap[row + dy, column + dx]
    return -total
