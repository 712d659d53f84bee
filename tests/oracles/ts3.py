"""Slow loops written from TS3's equations and the rules of its authors' labels (methods spec 6.2)."""

from __future__ import annotations

import math

import numpy as np


def label_map(x: float, y: float, sigma_px: float, cells: int, stride: int) -> np.ndarray:
    """Gaussian of sigma crop px between a cell's centre s i + s/2 - 0.5 and the point; below 0.01 it is 0."""
    out = np.zeros((cells, cells))
    for row in range(cells):
        for column in range(cells):
            dx, dy = column * stride + stride / 2 - 0.5 - x, row * stride + stride / 2 - 0.5 - y
            value = math.exp(-(dx * dx + dy * dy) / (2 * sigma_px**2))
            out[row, column] = value if value >= 0.01 else 0.0
    return out


def centroid(heatmap: np.ndarray, stride: int, radius: int = 4) -> tuple[float, float]:
    """Mean cell of max(map, 0) in the window around the largest cell, as crop px."""
    row, column = np.unravel_index(int(np.argmax(heatmap)), heatmap.shape)
    mass = mx = my = 0.0
    for j in range(max(row - radius, 0), min(row + radius + 1, heatmap.shape[0])):
        for i in range(max(column - radius, 0), min(column + radius + 1, heatmap.shape[1])):
            weight = max(float(heatmap[j, i]), 0.0)
            mass, mx, my = mass + weight, mx + weight * i, my + weight * j
    x, y = (mx / mass, my / mass) if mass > 0 else (float(column), float(row))
    return x * stride + stride / 2 - 0.5, y * stride + stride / 2 - 0.5


def detection(stages: list[np.ndarray], points: list[np.ndarray], visible: np.ndarray, back: bool) -> float:
    """Eq. 2 of a batch: stages [M][B,C,h,w], points [B,K,h,w] of Gaussians; divided by B."""
    total = 0.0
    batch, landmarks = visible.shape
    for b in range(batch):
        targets = [points[b][k] for k in range(landmarks)]
        largest = np.zeros_like(targets[0])
        for k in range(landmarks):
            if visible[b, k]:
                largest = np.maximum(largest, targets[k])
        for maps in stages:
            for k in range(landmarks):
                if visible[b, k]:
                    total += float(((maps[b, k] - targets[k]) ** 2).sum())
            if back:
                total += float(((maps[b, landmarks] - (1 - largest)) ** 2).sum())
    return total / batch


def chosen(loss: list[float], others: list[set[int]], gamma: float, count: int) -> list[int]:
    """SPaCo's choice: the `count` smallest of loss / median - gamma (number of others that have chosen the sample)."""
    median = float(np.median(loss))
    worth = [value / median - gamma * sum(i in rows for rows in others) for i, value in enumerate(loss)]
    return sorted(range(len(loss)), key=lambda i: (worth[i], i))[:count]
