"""What stands in an ONNX file is bounded before any engine is given it; the onnx package writes the graphs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lmdeploy.errors import BundleError
from lmdeploy.onnx_file import inspect
from tests.conv_graph import conv_onnx
from tests.tiny_bundle import mixing, tiny_onnx

FACE68 = Path(__file__).parents[2] / "lmdeploy" / "models" / "face68" / "model.onnx"


def changed(folder: Path, change: Callable[[Any], object]) -> Path:
    """The convolutional graph after a change by hand."""
    model = onnx.load_from_string(conv_onnx(32, {}))
    change(model)
    file = folder / "model.onnx"
    file.write_bytes(model.SerializeToString())
    return file


def node(operator: str, inputs: list[str], **attributes: Any) -> Any:
    return helper.make_node(operator, inputs, ["new"], **attributes)


def constant(model: Any, values: Any, name: str = "size") -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def test_metadata_is_what_the_onnx_package_reads() -> None:
    wanted = {entry.key: entry.value for entry in onnx.load(FACE68).metadata_props}
    assert inspect(FACE68) == (wanted, "fp32")
    assert "lmdeploy" in wanted


@pytest.mark.parametrize(
    ("content", "wanted"),
    [(tiny_onnx(32, mixing(3)), ({}, "fp32")), (conv_onnx(32, {"a": "ä"}), ({"a": "ä"}, "int8"))],
    ids=["blobs", "conv"],
)
def test_graphs_of_ours_pass(tmp_path: Path, content: bytes, wanted: object) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    assert inspect(tmp_path / "m.onnx") == wanted  # the convolutional one is quantised


def test_half_weights_are_told(tmp_path: Path) -> None:
    model = onnx.load_from_string(tiny_onnx(32, mixing(3)))
    constant(model, np.float16(1))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert inspect(tmp_path / "m.onnx").precision == "fp16"


def grow(name: str, numbers: list[int]) -> Callable[[Any], object]:
    """Set an attribute of the first node that has it."""

    def change(model: Any) -> None:
        found = next(a for n in model.graph.node for a in n.attribute if a.name == name)
        del found.ints[:]
        found.ints.extend(numbers)

    return change


def loop(model: Any) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(node("Loop", ["", ""], body=body))


def outside(model: Any) -> None:
    onnx.external_data_helper.set_external_data(model.graph.initializer[1], location="../../etc/passwd")
    model.graph.initializer[1].ClearField("raw_data")


def hidden(model: Any) -> None:
    """External data of a constant inside a branch, and only by its location."""
    tensor = numpy_helper.from_array(np.ones(3, np.float32))
    tensor.data_location = TensorProto.EXTERNAL
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "then", [], [])
    model.graph.node.append(node("If", [""], then_branch=inner, else_branch=inner))


def nested(model: Any) -> None:
    graph = helper.make_graph([], "g", [], [])
    for level in range(9):
        graph = helper.make_graph([helper.make_node("If", [""], [f"n{level}"], then_branch=graph)], "g", [], [])
    model.graph.node.append(graph.node[0])


def claims(dims: list[int]) -> Callable[[Any], object]:
    return lambda model: (model.graph.initializer[1].ClearField("dims"), model.graph.initializer[1].dims.extend(dims))


BAD: dict[str, tuple[Callable[[Any], object], str]] = {
    "external data": (outside, "weights lie in other files"),
    "external data in a branch": (hidden, "weights lie in other files"),
    "claimed shape": (claims([1 << 40]), "more elements than the file has bytes"),
    "negative shape": (claims([-1, 4]), "more elements than the file has bytes"),
    "overflowing shape": (claims([1 << 32, 1 << 32]), "more elements than the file has bytes"),
    "pads": (grow("pads", [1 << 20] * 4), "Conv has pads beyond 1024"),
    "kernel": (grow("kernel_shape", [-(1 << 40)] * 2), "Conv has kernel_shape beyond 1024"),
    "expand": (lambda m: m.graph.node.append(node("Expand", ["step", constant(m, [1 << 40])])), "Expand makes"),
    "of shape": (lambda m: m.graph.node.append(node("ConstantOfShape", [constant(m, [70000, 70000])])), "makes a te"),
    "by a Constant": (
        lambda m: m.graph.node.extend(
            [helper.make_node("Constant", [], ["k"], value_ints=[1 << 15] * 3), node("Expand", ["step", "k"])]
        ),
        "Expand makes a tensor of more",
    ),
    "tile": (lambda m: m.graph.node.append(node("Tile", ["w1", constant(m, [1 << 30, 1, 1, 1])])), "Tile makes"),
    "random": (lambda m: m.graph.node.append(node("RandomNormal", [], shape=[1 << 20, 1 << 20])), "RandomNormal"),
    "zoom": (lambda m: m.graph.node.append(node("Resize", ["x", "", constant(m, np.full(4, 9e4, "f4"))])), "64 times"),
    "zoom that is no number": (
        lambda m: m.graph.node.append(node("Resize", ["x", "", constant(m, np.full(4, np.nan, "f4"))])),
        "64 times",
    ),
    "endless loop": (loop, "operator Loop may run without end"),
    "foreign engine": (lambda m: m.graph.node.append(node("EPContext", [])), "EPContext may"),
    "graphs in graphs": (nested, "go too deep"),
    "functions": (lambda m: m.functions.add(name="f", domain="d"), "functions of its own"),
    "sparse": (lambda m: m.graph.sparse_initializer.add(), "sparse tensors"),
    "key twice": (lambda m: [m.metadata_props.add(key="a", value="b") for _ in "12"], "stands twice"),
    "version": (lambda m: setattr(m.opset_import[0], "version", 1 << 40), "no version 1099511627776 of operators"),
    "no version": (lambda m: setattr(m.opset_import[0], "version", -1), "no version -1 of operators"),
    "circle": (lambda m: m.graph.node.append(node("Add", ["new", "step"])), "reads what no node before it has made"),
    "circle through a branch": (
        lambda m: m.graph.node.append(
            node("If", [""], then_branch=helper.make_graph([helper.make_node("Exp", ["new"], ["in"])], "g", [], []))
        ),
        "Exp reads what no node before it has made",
    ),
    "wrong order": (lambda m: m.graph.node.insert(0, node("Exp", ["maps"])), "reads what no node before it has made"),
    "made twice": (lambda m: m.graph.node.append(m.graph.node[0]), "what Cast makes exists already"),
    "no nodes": (lambda m: m.graph.ClearField("node"), "holds no graph"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_out_of_bounds_is_refused(tmp_path: Path, name: str) -> None:
    change, sentence = BAD[name]
    with pytest.raises(BundleError, match=sentence) as caught:
        inspect(changed(tmp_path, change))
    assert str(caught.value).endswith(("'lmdeploy export' wrote", "export it again"))


@pytest.mark.parametrize("raw", [b"\x08", b"garbage " * 20, b"\x3a\x7f", bytes(range(1, 200)), b"\x08" + b"\xff" * 11])
def test_garbage_is_no_onnx_file(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(raw)
    with pytest.raises(BundleError, match="is no ONNX file, or is damaged"):
        inspect(tmp_path / "m.onnx")


def test_a_file_of_absurd_size_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "m.onnx").open("wb") as stream:
        stream.truncate(3 << 40)  # bytes; a hole, no disk
    with pytest.raises(BundleError, match="at most 1 GB"):
        inspect(tmp_path / "m.onnx")
