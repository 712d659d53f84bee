"""Every graph that an export can write holds only what TensorRT's parser takes, within its restrictions."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.half import to_half
from export.quantise.calibrate import Ranges
from export.quantise.places import measurable
from export.quantise.qdq import quantise
from export.surgery import operate
from export.surgery.graph import Graph
from tests.tensorrt_kit import facts, graphs
from tests.tensorrt_kit.operators import TOLD, clips_after_products, summarise
from tests.tensorrt_kit.restrictions import CHECKS, problems

NAMES = [graphs.BUILT_IN, graphs.FRAMED, *graphs.RECIPES]
MODEL = Path(str(resources.files("lmdeploy"))) / "models" / graphs.BUILT_IN


@pytest.mark.parametrize("name", NAMES)
def test_the_parser_takes_every_exported_graph(name: str) -> None:
    found = problems(graphs.golden(name))
    if name in graphs.NOT_TAKEN:
        assert [problem.split()[0] for problem in found] == [graphs.NOT_TAKEN[name]]
    else:
        assert found == []


def test_every_golden_is_of_a_graph_and_every_kind_of_network_has_one() -> None:
    assert {path.stem for path in graphs.FOLDER.glob("*.json")} == set(NAMES)
    pytest.importorskip("torch", reason="the networks need torch")
    from training import recipe
    from training.models import KINDS

    networks = [recipe.load(ref).network for ref in graphs.RECIPES.values()]
    students = [student for network in networks for student in getattr(network, "students", ())]
    assert {network.kind for network in (*networks, *students)} == set(KINDS)


def test_every_codec_that_a_recipe_uses_has_a_golden() -> None:
    pytest.importorskip("torch", reason="the networks need torch")
    from training import recipe
    from training.codec import CODECS

    assert {recipe.load(ref).codec for ref in graphs.RECIPES.values()} | {"subpixel"} == set(CODECS)


@pytest.mark.parametrize("name", [graphs.BUILT_IN, graphs.FRAMED])
def test_the_built_in_bundle_is_as_its_golden_says(name: str) -> None:
    content = graphs.export(name)
    assert summarise(content) == graphs.golden(name)
    assert clips_after_products(content) == []


def test_rewritten_half_and_symmetric_8_bit_files_are_taken_too() -> None:
    """All that a bundle may hold beside the plain file, made of the built-in one."""
    whole = operate(graphs.export(graphs.BUILT_IN))
    crops = np.load(MODEL / "reference.npz")["crops"][:2]
    ranges = Ranges(whole, measurable(Graph(whole)), crops)
    for content in (whole, to_half(whole), quantise(whole, "s8s8", ranges)):
        assert problems(summarise(content)) == []
        assert clips_after_products(content) == []


def test_the_8_bit_file_for_processors_is_not_for_tensorrt() -> None:
    """Its activations are unsigned, with zero points: the backend needs the symmetric one."""
    whole = operate(graphs.export(graphs.BUILT_IN))
    crops = np.load(MODEL / "reference.npz")["crops"][:1]
    found = problems(summarise(quantise(whole, "u8s8", Ranges(whole, measurable(Graph(whole)), crops))))
    assert "DequantizeLinear of UINT8" in found


def test_every_restriction_of_an_operator_in_use_is_read() -> None:
    table = facts.golden("onnx_operators")["operators"]
    used = {op for name in NAMES for op in graphs.golden(name)["operators"]}
    restricted = {op for op in used if table[op]["restrictions"]}
    assert restricted
    assert restricted <= set(TOLD)
    for op in restricted:
        assert op in CHECKS or "`axes` must be" in table[op]["restrictions"]


def graph(
    nodes: list[onnx.NodeProto], *, output: int = TensorProto.FLOAT, opset: int = 20, **constants: np.ndarray
) -> dict[str, Any]:
    """Summary of a graph from uint8 images[2,40,40,3] through `nodes` to `out`."""
    source = helper.make_tensor_value_info("images", TensorProto.UINT8, [2, 40, 40, 3])
    result = helper.make_tensor_value_info("out", output, None)
    values = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid("own", 1)] if opset == 20 else [])]
    domains = opsets if any(n.domain for n in nodes) else opsets[:1]
    made = helper.make_graph(nodes, "g", [source], [result], values)
    return summarise(helper.make_model(made, opset_imports=domains, ir_version=10).SerializeToString())


def node(op: str, inputs: str, outputs: str = "out", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(","), outputs.split(","), **attributes)


CAST = node("Cast", "images", "x", to=TensorProto.FLOAT)
INT = np.array([1], np.int64)


def test_a_good_graph_has_no_problems() -> None:
    assert problems(graph([CAST, node("Transpose", "x", perm=[0, 3, 1, 2])])) == []


@pytest.mark.parametrize(
    ("nodes", "constants", "message"),
    [
        ([node("Transpose", "images", "t", perm=[0, 3, 1, 2]), node("Cast", "t", to=1)], {}, "only a Cast"),
        ([CAST, node("Cast", "images", "y", to=1), node("Add", "x,y")], {}, "only a Cast"),
        ([CAST, node("MaxPool", "x", "out,i", kernel_shape=[2, 2])], {}, "MaxPool with .*'outputs': 2"),
        ([CAST, node("MaxPool", "x", kernel_shape=[2, 2], dilations=[2, 2])], {}, "MaxPool with"),
        ([CAST, node("Unique", "x")], {}, "Unique is not supported"),
        ([CAST, node("LayerNormalization", "x,s", "out,m", axis=-1)], {"s": np.ones(3, np.float32)}, "first output"),
        ([CAST, node("Reshape", "x,f", "r"), node("TopK", "r,k", "out,i")],
         {"f": np.array([-1], np.int64), "k": np.array([3840], np.int64)}, "less than 3840"),
        ([CAST, node("TopK", "x,k", "out,i", sorted=0)], {"k": INT}, "`sorted` must be 1"),
        ([CAST, node("Shape", "x", "s"), node("ReduceSum", "x,s")], {}, "ReduceSum with computed axes"),
        ([CAST, node("QuantizeLinear", "x,s,z", "q"), node("DequantizeLinear", "q,s,z")],
         {"s": np.float32(0.1), "z": np.int8(3)}, "`y_zero_point` must be 0"),
        ([CAST, node("Resize", "x,,s", mode="cubic")], {"s": np.array([1, 2, 2, 1], np.float32)}, "'mode': 'cubic'"),
        ([CAST, node("Gelu", "x", "y", domain="own"), node("Relu", "y")], {}, "operators of 'own'"),
        ([CAST, node("Cast", "x", "d", to=TensorProto.DOUBLE), node("Relu", "d", "r"), node("Cast", "r", to=1)], {},
         "Relu of DOUBLE"),
    ],
)  # fmt: skip
def test_what_the_parser_refuses_is_named(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], message: str
) -> None:
    found = problems(graph(nodes, **constants))
    assert re.search(message, "\n".join(found)), found


def test_symmetric_int8_passes() -> None:
    nodes = [CAST, node("QuantizeLinear", "x,s,z", "q"), node("DequantizeLinear", "q,s,z")]
    assert problems(graph(nodes, s=np.float32(0.1), z=np.int8(0))) == []


def test_an_opset_that_older_parsers_do_not_read_is_named() -> None:
    assert problems(graph([CAST, node("Relu", "x")], opset=21)) == ["opset 21 is not in 9 to 20"]


def test_a_clip_after_a_product_is_found() -> None:
    """The pattern whose upper bound TensorRT 10 forgets: a matrix product, a bias, Clip(0, 6)."""
    nodes = [CAST, node("MatMul", "x,w", "m"), node("Add", "m,b", "a"), node("Clip", "a,lo,hi", name="bad")]
    values = {"w": np.ones((3, 3), np.float32), "b": np.ones(3, np.float32), "lo": np.float32(0), "hi": np.float32(6)}

    def content(lower: float) -> bytes:
        source = helper.make_tensor_value_info("images", TensorProto.UINT8, [2, 8, 8, 3])
        result = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
        kept = [numpy_helper.from_array(v, n) for n, v in (values | {"lo": np.float32(lower)}).items()]
        made = helper.make_graph(nodes, "g", [source], [result], kept)
        return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()

    assert clips_after_products(content(0)) == ["bad"]
    assert clips_after_products(content(-1)) == []
