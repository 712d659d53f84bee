"""YuNet's outputs planted into a picture, and their decoding as slow loops from its equations.

In the network built here a cell's class score is the mean of the picture's first channel, its object score that of the
second, its width's and height's logarithms that of the third; the heads stand in cells of 8, 16 and 32 px as in the
real one. So a picture says what must be found.
"""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)
LOG_SIZE = 2.5  # of a white cell: its box is exp(2.5) strides wide


def yunet_onnx(size: tuple[int | str, int | str] = (640, 640), *, rigid: bool = False) -> bytes:
    """ONNX bytes; `size` is what the file says of its input, numbers or names; rigid: nothing else works then."""
    nodes, outputs, constants = [], {}, {}
    for s in STRIDES:
        cells = [(size[0] // s) * (size[1] // s) if all(isinstance(x, int) for x in size) else None]
        for head, channels in (("cls", [0]), ("obj", [1]), ("bbox", [None, None, 2, 2]), ("kps", [0] * 10)):
            name = f"{head}_{s}"
            weight = np.zeros((len(channels), 3, s, s), np.float32)
            for row, channel in enumerate(channels):
                if channel is not None:
                    weight[row, channel] = (LOG_SIZE if head == "bbox" else 1) / (255 * s * s)
            bias = np.where([channel is None for channel in channels], 0.25, 0).astype(np.float32)
            rows = cells[0] if rigid else -1
            constants |= {f"w_{name}": weight, f"b_{name}": bias, f"r_{name}": np.array([1, rows, len(channels)])}
            nodes += [
                helper.make_node(
                    "Conv", ["input", f"w_{name}", f"b_{name}"], [f"c_{name}"], strides=[s, s], kernel_shape=[s, s]
                ),
                helper.make_node("Transpose", [f"c_{name}"], [f"t_{name}"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"t_{name}", f"r_{name}"], [name]),
            ]
            outputs[name] = [1, cells[0], len(channels)]
    f32 = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "planted",
        [helper.make_tensor_value_info("input", f32, [1, 3, *size])],
        [helper.make_tensor_value_info(name, f32, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6).SerializeToString()


def planted(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """u8[H,W,3] RGB: squares of 32 px with parts of 8 px, so that every stride has something to say."""

    def squares(side: int) -> np.ndarray:
        rows = rng.integers(0, 256, (-(-height // side), -(-width // side), 3))
        return np.kron(rows, np.ones((side, side, 1)))[:height, :width]

    return (0.7 * squares(32) + 0.3 * squares(8)).astype(np.uint8)


def found_in(bgr: np.ndarray, threshold: float, overlap: float, top_k: int) -> list[list[float]]:
    """[x, y, w, h, score] of the planted faces of a picture whose sides are multiples of 32, best first."""
    found = []
    for s in STRIDES:
        for row in range(bgr.shape[0] // s):
            for column in range(bgr.shape[1] // s):
                cell = bgr[row * s : row * s + s, column * s : column * s + s].astype(float)
                blue, green, red = (float(cell[..., channel].mean()) / 255 for channel in range(3))
                score = math.sqrt(blue * green)
                if score >= threshold:
                    side = math.exp(LOG_SIZE * red) * s
                    x, y = (column + 0.25) * s - side / 2, (row + 0.25) * s - side / 2
                    found.append([x, y, side, side, score])
    found.sort(key=lambda face: -face[4])
    kept: list[list[float]] = []
    for face in found[:top_k]:
        if all(_overlap(face, other) <= overlap for other in kept):
            kept.append(face)
    return kept


def _overlap(a: list[float], b: list[float]) -> float:
    (ax, ay, aw, ah), (bx, by, bw, bh) = ([math.trunc(value) for value in face[:4]] for face in (a, b))
    width = max(0, min(ax + aw, bx + bw) - max(ax, bx))
    height = max(0, min(ay + ah, by + bh) - max(ay, by))
    common = width * height
    return common / (aw * ah + bw * bh - common)
