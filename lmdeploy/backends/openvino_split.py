"""A network cut in two, for OpenVINO: the body, which may run in bf16, and the tail, which must stay in fp32.

OpenVINO's precision is a matter of a whole model, and how single operators are exempted changes from version to
version; two models with a precision each work in all of them. The cut is before the last convolutions: those after
which there is no other. So the layer that makes the maps and their decoding are in fp32, and of a network for
coordinates everything behind the projection: the transformer and its head, or the fully connected layers.

Maps cross the cut with their channels last, which is how convolutions of both models hold them. With the channels
first each model would turn all of them around, which took a seventh of HM-R18's time and more of an HRNet's.

On face68 and real faces the 99th percentile of the distance to fp32 is 0.18 px with the maps in bf16 (one model), 0.08
px cut in two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

CONVOLUTIONS = frozenset(
    {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData"}
)


CHANNELS_LAST, CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


class Halves(NamedTuple):
    """Two OpenVINO models; the outputs of `body` are the inputs of `tail`, in that order."""

    body: Any
    tail: Any


def split(model: Any) -> Halves | None:
    """Cut an OpenVINO model, which is used up by it; None when no convolution stands before another.

    Feature maps cross the cut as bf16, which is what the body computes: OpenVINO would give a float32 output's whole
    chain of deconvolutions float32, too.
    """
    import openvino as ov
    from openvino import opset13 as op

    nodes = model.get_ordered_ops()
    body = before(nodes, CONVOLUTIONS)
    if not any(node.get_type_name() in CONVOLUTIONS and node.get_name() in body for node in nodes):
        return None
    crossing = [(output, edges) for output in _outputs(nodes, body) if (edges := _edges_out(output, body))]
    halves = ov.Model([op.result(_packed(output)) for output, _ in crossing], model.get_parameters(), "body")
    first = halves.clone()
    inputs = []
    for (output, edges), result in zip(crossing, halves.get_results(), strict=True):
        source = op.parameter(result.get_output_partial_shape(0), result.get_element_type())
        for edge in edges:
            edge.replace_source_output(_unpacked(source.output(0), output))
        inputs.append(source)
    return Halves(first, ov.Model(model.get_results(), inputs, "tail"))


def before(nodes: list[Any], kinds: frozenset[str]) -> set[str]:
    """Names of the nodes, given in their order, that some node of one of these kinds depends on."""
    found: set[str] = set()
    for node in reversed(nodes):
        readers = [edge.get_node() for output in node.outputs() for edge in output.get_target_inputs()]
        if any(reader.get_name() in found or reader.get_type_name() in kinds for reader in readers):
            found.add(node.get_name())
    return found


def _outputs(nodes: list[Any], body: set[str]) -> list[Any]:
    """Outputs of the body's nodes; a constant is no output: the tail keeps its own."""
    inner = [node for node in nodes if node.get_name() in body and node.get_type_name() != "Constant"]
    return [output for node in inner for output in node.outputs()]


def _edges_out(output: Any, body: set[str]) -> list[Any]:
    return [edge for edge in output.get_target_inputs() if edge.get_node().get_name() not in body]


def _packed(output: Any) -> Any:
    """What of a node's output crosses the cut: floats as bf16, maps with their channels last."""
    from openvino import opset13 as op

    if not _is_float(output):
        return output
    small = op.convert(output, "bf16")
    return (op.transpose(small, CHANNELS_LAST) if _is_map(output) else small).output(0)


def _unpacked(source: Any, output: Any) -> Any:
    """The same on the other side as `output` was."""
    from openvino import opset13 as op

    if not _is_float(output):
        return source
    turned = op.transpose(source, CHANNELS_FIRST).output(0) if _is_map(output) else source
    return op.convert(turned, "f32").output(0)


def _is_float(output: Any) -> bool:
    import openvino as ov

    return bool(output.get_element_type() == ov.Type.f32)


def _is_map(output: Any) -> bool:
    return int(output.get_partial_shape().rank.get_length()) == 4
