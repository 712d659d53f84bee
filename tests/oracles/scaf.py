"""3FabRec and SCAF written out slowly: numbers of weights, SSIM's contrast-structure term, losses, decoding."""

from __future__ import annotations

import math

import numpy as np

from lmdeploy.types import F32
from tests.oracles.parameter_counts import conv, conv_bn


def basic(inputs: int, outputs: int, shortcut: bool) -> int:
    return conv_bn(inputs, outputs, 3) + conv_bn(outputs, outputs, 3) + (conv_bn(inputs, outputs) if shortcut else 0)


def inverse(inputs: int, outputs: int) -> int:
    return 2 * conv_bn(inputs, outputs, 4) + conv_bn(outputs, outputs, 3)


def encoder() -> int:
    """Stem, five layers of two blocks of which all but the first project their shortcut, linear 512 -> 99."""
    total, inputs = conv_bn(3, 64, 7), 64
    for i, width in enumerate((64, 64, 128, 256, 512)):
        total += basic(inputs, width, i > 0) + basic(width, width, False)
        inputs = width
    return total + 512 * 99 + 99


def generator() -> int:
    total, inputs = 99 * 512 + 512 + conv_bn(512, 512, 4), 512
    for width in (256, 128, 64, 64, 64):
        total += inverse(inputs, width)
        inputs = width
    return total + conv(64, 3, 4)


def latent_critic() -> int:
    return 99 * 1000 + 1000 + 1000 * 1000 + 1000 + 1000 + 1


def image_critic() -> int:
    widths = (32, 64, 128, 256, 256)
    total, inputs = 0, 3
    for i, width in enumerate(widths):
        total += conv_bn(inputs, width, 4) if i else conv(inputs, width, 4)
        inputs = width
    return total + conv(256, 1, 4)


def multiscale(width: int) -> int:
    """BN before each of three 3x3 convolutions: C -> C/2 -> C/4 -> C/4."""
    half, quarter = width // 2, width // 4
    norms = 2 * (width + half + quarter)
    return norms + conv(width, half, 3) + conv(half, quarter, 3) + conv(quarter, quarter, 3)


def contrast_structure(a: F32, b: F32) -> float:
    """Mean of SSIM's contrast-structure term over the pixels of two grey images f32[S,S] that span 1."""
    size, reach = len(a), 15
    weights = [math.exp(-(d * d) / (2 * 1.5**2)) for d in range(-reach, reach + 1)]
    scale = sum(weights) ** 2
    found = []
    for y in range(size):
        for x in range(size):
            m = np.zeros(5)
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    if 0 <= y + dy < size and 0 <= x + dx < size:
                        w = weights[dy + reach] * weights[dx + reach] / scale
                        p, q = float(a[y + dy, x + dx]), float(b[y + dy, x + dx])
                        m += w * np.array([p, q, p * p, q * q, p * q])
            cov, var = m[4] - m[0] * m[1], m[2] - m[0] ** 2 + m[3] - m[1] ** 2
            found.append((2 * cov + 0.0009) / (var + 0.0009))
    return float(np.mean(found))


def tell(true: list[float], false: list[float]) -> float:
    """-mean log D(true) - mean log(1 - D(false)) from logits."""

    def sigmoid(logit: float) -> float:
        return 1 / (1 + math.exp(-logit))

    right = -sum(math.log(sigmoid(logit)) for logit in true) / len(true)
    return right - sum(math.log(1 - sigmoid(logit)) for logit in false) / len(false)


def decode(heat: F32) -> tuple[int, int]:
    """Cell (x, y) with the largest mean over its 9x9 neighbours, border cells repeated; the first of equals."""
    height, width = heat.shape
    best, at = -math.inf, (0, 0)
    for y in range(height):
        for x in range(width):
            total = 0.0
            for dy in range(-4, 5):
                for dx in range(-4, 5):
                    j, i = min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)
                    total += float(heat[j, i])
            if total > best + 1e-9:
                best, at = total, (x, y)
    return at
