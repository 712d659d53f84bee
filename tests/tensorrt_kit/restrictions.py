"""The operator table's restrictions as checks on a summary of tests/tensorrt_kit/operators.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.tensorrt_kit.facts import golden

OPSETS = range(9, 21)  # what every TensorRT 10 and 11 parser reads
MORE_TYPES = {"Clip": {"INT32", "INT64"}}
"""Types that the table lacks although the parser's own check of that operator names them (read in its 10.x source)."""
RESIZE = {
    "mode": {"nearest", "linear"},
    "coordinate_transformation_mode": {
        "half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners",
    },
    "nearest_mode": {"floor", "ceil", "round_prefer_floor", "round_prefer_ceil"},
    "antialias": {0},
    "keep_aspect_ratio_policy": {"stretch"},
    "axes": {None},
}  # fmt: skip

Facts = dict[str, Any]
CHECKS: dict[str, Callable[[Facts], bool]] = {
    "AveragePool": lambda t: t["rank"] in (4, 5) and set(t["dilations"]) <= {1},
    "MaxPool": lambda t: t["rank"] in (4, 5) and set(t["dilations"]) <= {1} and t["outputs"] == 1,
    "Constant": lambda t: not set(t["given"]) & {"sparse_value", "value_string", "value_strings"},
    "DequantizeLinear": lambda t: t["zero_point"] in ("none", "zero"),
    "QuantizeLinear": lambda t: t["zero_point"] in ("none", "zero"),
    "GridSample": lambda t: t["rank"] == 4,
    "LayerNormalization": lambda t: t["outputs"] == 1,
    "Resize": lambda t: all(t[name] in allowed for name, allowed in RESIZE.items()),
    "ScatterND": lambda t: t["reduction"] == "none",
    "TopK": lambda t: t["k"] is not None and t["k"] < 3840 and t["sorted"] == 1,
}
"""Of each operator, whether one set of facts is allowed; those whose `axes` must be in the file are in _axes_given."""


def problems(summary: dict[str, Any]) -> list[str]:
    """What TensorRT's parser would not take, one line each; empty for a graph that it takes."""
    table = golden("onnx_operators")["operators"]
    found = [] if summary["opset"] in OPSETS else [f"opset {summary['opset']} is not in 9 to 20"]
    found += [f"operators of {domain!r}" for domain in summary["domains"] if domain]
    if summary["images_into"] != ["Cast"]:
        found.append(f"uint8 images go into {summary['images_into']}, only a Cast may take them")
    for name, about in summary["operators"].items():
        if name not in table:
            found.append(f"{name} is not supported")
            continue
        wrong = set(about["types"]) - set(table[name]["types"]) - MORE_TYPES.get(name, set())
        found += [f"{name} of {kind}" for kind in sorted(wrong)]
        found += _restricted(name, table[name]["restrictions"], about.get("told", []))
    return found


def _restricted(name: str, restriction: str, told: list[Facts]) -> list[str]:
    if not restriction:
        return []
    if "`axes` must be" in restriction and "iota" not in restriction:
        return [f"{name} with computed axes" for t in told if t["axes"] == "computed"]
    if name not in CHECKS:
        return [f"{name} has a restriction that no check reads: {restriction}"]
    return [f"{name} with {t}: {restriction}" for t in told if not CHECKS[name](t)]
