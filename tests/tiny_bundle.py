"""A real, tiny network for tests: it finds the red, the green and the blue blob of an image.

`points` are centroids of what is redder (greener, bluer) than the rest, so they truly depend on the image and move
with it; `score` is the strongest such pixel / 255, 0 on a grey image; `spread` the root of the second moment. With
K > 3 the other points are fixed affine combinations of the three centroids: they move with every affine map too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lmdeploy.bundle import Bundle, ModelSpec, write_bundle
from lmdeploy.geometry import BoxMap, CropRule
from lmdeploy.schema import LandmarkSchema, Normaliser, load_schema
from lmdeploy.types import U8, Array

BLOBS3 = LandmarkSchema(
    name="blobs3",
    points=3,
    names=("red", "green", "blue"),
    flip_pairs=((0, 1),),
    skeleton=((0, 1, 2, 0),),
    normaliser=Normaliser(kind="distance", name="red-green", a=(0,), b=(1,)),
)


def make_tiny_bundle(
    path: Path, *, size: int = 64, schema: str = "blobs3", nnm: bool = True, name: str = "tiny", scale: float = 2.0
) -> Bundle:
    """Write and return a bundle of the blob network; `schema` is `blobs3` or a built-in one (K points)."""
    landmarks = BLOBS3 if schema == "blobs3" else load_schema(schema)
    spec = ModelSpec(
        name=name,
        landmarks=landmarks,
        crop=CropRule(scale=scale, size=size),
        codec="subpixel",
        method="fixture",
        detectors={"whole_image": BoxMap(sw=1 / scale, sh=1 / scale)},
    )
    return write_bundle(path, spec, {"model.onnx": tiny_onnx(size, mixing(landmarks.points), nnm=nnm)})


def mixing(points: int) -> Array:
    """f32[K,3] affine combinations of the three centroids: rows sum to 1, the first three are the centroids."""
    rng = np.random.default_rng(0)
    rest = rng.uniform(-0.3, 1.0, (max(points - 3, 0), 3))
    rest[:, 2] = 1 - rest[:, 0] - rest[:, 1]
    return np.concatenate([np.eye(3), rest])[:points].astype(np.float32)


def tiny_onnx(size: int, mix: Array, *, nnm: bool = True) -> bytes:
    """The exported graph: `images` u8[B,S,S,3] -> points, score, spread (and nnm)."""
    y, x = np.mgrid[:size, :size].astype(np.float32).reshape(2, -1)
    constants = {
        "flat": np.array([0, size * size, 3], np.int64),
        "colour": (np.eye(3) * 1.5 - 0.5).astype(np.float32),  # a channel minus the mean of the other two
        "grid": np.stack([x, y], 1),
        "square": (x**2 + y**2)[:, None],
        "centre": np.full((1, 1, 1), 1e-3 * (size - 1) / 2, np.float32),
        "tiny": np.full((1, 1, 1), 1e-3, np.float32),
        "floor": np.float32(20),
        "axis": np.array([1], np.int64),
        "max": np.float32(255),
        "mix": mix,
        "mix_score": np.abs(mix.T) / np.abs(mix).sum(1),
        "one": np.float32(1),
        "side": np.array([2], np.int64),
    }
    nodes = [
        ("Cast", ["images"], "f", {"to": TensorProto.FLOAT}),
        ("Reshape", ["f", "flat"], "pixels", {}),
        ("MatMul", ["pixels", "colour"], "hue", {}),
        ("Sub", ["hue", "floor"], "above", {}),
        ("Relu", ["above"], "weight", {}),  # [B,S*S,3]
        ("Transpose", ["weight"], "w", {"perm": [0, 2, 1]}),  # [B,3,S*S]
        ("ReduceSum", ["w", "side"], "mass0", {"keepdims": 1}),
        ("Add", ["mass0", "tiny"], "mass", {}),
        ("MatMul", ["w", "grid"], "moment0", {}),
        ("Add", ["moment0", "centre"], "moment", {}),
        ("Div", ["moment", "mass"], "centroid", {}),  # [B,3,2]
        ("MatMul", ["mix", "centroid"], "points", {}),
        ("ReduceMax", ["weight", "axis"], "peak", {"keepdims": 0}),
        ("Div", ["peak", "max"], "peak1", {}),
        ("MatMul", ["peak1", "mix_score"], "score0", {}),
        ("Min", ["score0", "one"], "score", {}),
        ("MatMul", ["w", "square"], "second", {}),
        ("Div", ["second", "mass"], "mean_square", {}),
        ("ReduceSumSquare", ["centroid", "side"], "square_mean", {"keepdims": 1}),
        ("Sub", ["mean_square", "square_mean"], "variance", {}),
        ("Relu", ["variance"], "variance0", {}),
        ("Sqrt", ["variance0"], "deviation", {}),
        ("Squeeze", ["deviation", "side"], "deviation3", {}),
        ("MatMul", ["deviation3", "mix_score"], "spread", {}),
    ]
    outputs = {"points": ["B", len(mix), 2], "score": ["B", len(mix)], "spread": ["B", len(mix)]}
    if nnm:
        nodes.append(("Neg", ["score"], "nnm", {}))
        outputs["nnm"] = ["B", len(mix)]
    graph = helper.make_graph(
        [helper.make_node(op, ins, [out], **attributes) for op, ins, out, attributes in nodes],
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["B", size, size, 3])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def blob_image(height: int, width: int, points: Array, sigma: float = 3.0, grey: int = 60) -> U8:
    """u8[H,W,3] RGB: a red, a green and a blue Gaussian at points f[3,2] (image px) on grey."""
    y, x = np.mgrid[:height, :width]
    image = np.full((height, width, 3), float(grey))
    for channel, (px, py) in enumerate(np.asarray(points, float)):
        image[..., channel] += 190 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2))
    return np.clip(image, 0, 255).astype(np.uint8)
