"""Large products in bf16 and everything between them in fp32, for OpenVINO.

Behind the last convolutions a network for coordinates is in fp32 (openvino_split), and there TF-R18 spends four fifths
of its time: on reading weights, which are half as many bytes in bf16. What bf16 spoils is what is added up from layer
to layer, the sums and their norms; those stay in fp32, as do the attention's weights and the head.

The types are written into the graph, which OpenVINO keeps to on processors that compute in bf16, whatever precision is
asked of the model as a whole. Its own change from fp32 to bf16 (2026.4) cuts every second number off instead of
rounding it, in constants and in models for any batch, which made a trained TF-R18's distance to fp32 three times as
large. So what it is given to change is rounded before.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from lmdeploy.backends.openvino_split import CONVOLUTIONS, NORMS, before
from lmdeploy.types import F32


class Share(NamedTuple):
    """How much of a network is in bf16.

    large: elements of constants and output (of one crop) from which on a product of a transformer network counts as
    large. In a network without layer norms all convolutions do.
    sums: whether the body up to the last convolutions is in bf16 as a whole, what it adds up included; else its
    convolutions are products like others, but for those that read the image.
    """

    large: int
    sums: bool = True


SHARES = (Share(2**16), Share(2**18, sums=False))
"""What is tried in turn.

The first takes in every linear layer of a decoder 256 wide. The second is for networks that are not right with sums in
bf16: of a TF-R18 after 20 epochs on 1,207 faces 99 % of the points were 0.26 px off with the body alone in bf16 and
0.07 px with the second share, which was 2.1 times as fast as ONNX Runtime in fp32. A heatmap network trained with 60
labelled faces was 0.108 px off with the body and 0.071 px with the second share, for an eighth of the speed.
"""
PRODUCTS = frozenset({"MatMul", "Convolution", "ConvolutionBackpropData"})
SPLITTER = np.float32(2**16 + 1)
MOVES = frozenset({"Transpose", "Reshape", "Unsqueeze", "Squeeze"})  # change no number


def lower(model: Any, large: int, but: frozenset[str] = frozenset()) -> int:
    """Turn products with at least `large` elements of constants and output to bf16, in place; how many there were.

    Only those that a layer norm depends on: the head behind the last norm gives coordinates, where bf16 has steps of
    a pixel. Without norms those that a convolution depends on, of any size. `but`: names of further nodes that stay.
    """
    nodes = model.get_ordered_ops()
    constant, inside = _constants(nodes), before(nodes, NORMS)
    if not inside:
        inside, large = before(nodes, CONVOLUTIONS), 0
    inner = [node for node in nodes if node.get_type_name() in PRODUCTS and node.get_name() in inside - but]
    chosen = [node for node in inner if node.get_name() not in constant and _elements(node, constant) >= max(large, 1)]
    changed: dict[tuple[str, int], Any] = {}
    for node in chosen:
        _to_bf16(node, changed)
    model.validate_nodes_and_infer_types()
    return len(chosen)


def first_convolutions(model: Any) -> frozenset[str]:
    """Names of the convolutions that depend on no other: they read the image, whose numbers bf16 spoils most."""
    behind: set[str] = set()
    first = []
    for node in model.get_ordered_ops():
        sources = {port.get_source_output().get_node().get_name() for port in node.inputs()}
        if sources & behind:
            behind.add(node.get_name())
        elif node.get_type_name() == "Convolution":
            behind.add(node.get_name())
            first.append(node.get_name())
    return frozenset(first)


def _constants(nodes: list[Any]) -> set[str]:
    """Names of the nodes whose outputs no crop changes."""
    found: set[str] = set()
    for node in nodes:
        sources = [port.get_source_output().get_node().get_name() for port in node.inputs()]
        if node.get_type_name() == "Constant" or (sources and found.issuperset(sources)):
            found.add(node.get_name())
    return found


def _elements(node: Any, constant: set[str]) -> int:
    """Of its constants and its output, a batch counted as one crop; 0 where both operands come from the crop."""
    fixed = [port for port in node.inputs() if port.get_source_output().get_node().get_name() in constant]
    if not fixed:
        return 0
    return sum(_count(port.get_partial_shape()) for port in [*fixed, node.output(0)])


def _count(shape: Any) -> int:
    if shape.rank.is_dynamic:
        return 0
    return prod(size.get_length() for size in shape if size.is_static)


def _to_bf16(node: Any, changed: dict[tuple[str, int], Any]) -> None:
    """`changed`: what was turned already, by node and output; an HRNet's layers all read the same tokens."""
    from openvino import opset13 as op

    readers = list(node.output(0).get_target_inputs())
    for port in node.inputs()[:2]:  # a third one of a transposed convolution is a shape
        source = port.get_source_output()
        key = (source.get_node().get_name(), source.get_index())
        if key not in changed:
            changed[key] = op.convert(_rounded(port), "bf16").output(0)
        port.replace_source_output(changed[key])
    wide = op.convert(node, "f32").output(0)
    for reader in readers:
        reader.replace_source_output(wide)


def _rounded(port: Any) -> Any:
    """What a port reads, as float32 that bf16 can hold; weights, which may be moved on their way, are rounded now."""
    from openvino import opset13 as op

    weights = _weights(port)
    if weights is None:
        return _rounding(port.get_source_output())
    source = weights.get_source_output().get_node()
    weights.replace_source_output(op.constant(nearest_bf16(np.array(source.data, np.float32))).output(0))
    return port.get_source_output()


def _weights(port: Any) -> Any | None:
    """The port that reads the weights that only moves stand between and this one, which may be itself."""
    source = port.get_source_output().get_node()
    while source.get_type_name() in MOVES:
        port = source.input(0)
        source = port.get_source_output().get_node()
    return port if source.get_type_name() == "Constant" else None


def nearest_bf16(values: F32) -> F32:
    """Each number's nearest in bf16, ties to even: the upper half of its bits, in float32."""
    bits = values.view(np.uint32)
    nearest = bits >> 16  # in place from here: a hundred million weights are as quickly read as copied
    nearest &= 1
    nearest += 0x7FFF
    nearest += bits
    nearest &= 0xFFFF0000
    rounded: F32 = nearest.view(np.float32)
    return rounded


def _rounding(source: Any) -> Any:
    """The same of what comes from the crop, computed in the graph: what c - (c - x) leaves of x, c = (2^16 + 1) x.

    c is x and 65,536 x added up in float32, where the lower 16 bits of x find no room; T. J. Dekker, A floating-point
    technique for extending the available precision, Numerische Mathematik 18, 1971.
    """
    from openvino import opset13 as op

    enlarged = op.multiply(source, op.constant(SPLITTER))
    return op.subtract(enlarged, op.subtract(enlarged, source)).output(0)
