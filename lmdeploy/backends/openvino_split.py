"""A network cut in two, for OpenVINO: the body, which may run in bf16, and the tail, which must stay in fp32.

OpenVINO's precision is a matter of a whole model, and how single operators are exempted changes from version to
version; two models with a precision each work in all of them. The cut is behind the last convolutions: those after
which there is no other. They multiply bf16 and write the fp32 in which they add up. So the maps and their decoding are
in fp32, and of a network for coordinates everything behind the projection: the transformer and its head, or the fully
connected layers. With the last convolutions in the tail HM-R18 took 1.2 times as long, and its points were no better.
A transformer's stay in the tail, where they are products like others (openvino_products): they make keys and values of
the same maps for every layer, which would all cross the cut, and TF-HRNet took 1.2 times as long.

What else crosses, or what ends in a transposed convolution, does so as bf16 with its channels last, which is how
convolutions of both models hold maps. With the channels first each model would turn all of them around.

On face68 and real faces the 99th percentile of the distance to fp32 is 0.18 px with the maps in bf16 (one model), 0.07
px cut in two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

CONVOLUTIONS = frozenset(
    {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData"}
)

NORMS = frozenset({"MVN"})  # what OpenVINO makes of a layer norm
CHANNELS_LAST, CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


class Halves(NamedTuple):
    """Two OpenVINO models; the outputs of `body` are the inputs of `tail`, in that order."""

    body: Any
    tail: Any


def split(model: Any) -> Halves | None:
    """Cut an OpenVINO model, which is used up by it; None when no convolution stands before another.

    What is not the output of a convolution crosses the cut as bf16, which is what the body computes: OpenVINO would
    give a float32 output's whole chain of deconvolutions float32, too.
    """
    import openvino as ov
    from openvino import opset13 as op

    nodes = model.get_ordered_ops()
    body = before(nodes, CONVOLUTIONS)
    if not any(node.get_type_name() in CONVOLUTIONS and node.get_name() in body for node in nodes):
        return None
    ends = set() if any(node.get_type_name() in NORMS for node in nodes) else _ends(nodes, body)
    crossing = [
        _Crossing(output, edges, small=node.get_name() not in ends and _is_float(output))
        for node in nodes
        if node.get_name() in body | ends and node.get_type_name() != "Constant"  # the tail keeps its own constants
        for output in node.outputs()
        if (edges := _edges_out(output, body | ends))
    ]
    halves = ov.Model([op.result(one.packed()) for one in crossing], model.get_parameters(), "body")
    first = halves.clone()
    inputs = []
    for one, result in zip(crossing, halves.get_results(), strict=True):
        source = op.parameter(result.get_output_partial_shape(0), result.get_element_type())
        for edge in one.edges:
            edge.replace_source_output(one.unpacked(source.output(0)))
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


def _ends(nodes: list[Any], body: set[str]) -> set[str]:
    """Names of the last convolutions; what adds their biases is in the tail, else they would write bf16."""
    return {node.get_name() for node in nodes if node.get_type_name() == "Convolution" and node.get_name() not in body}


def _edges_out(output: Any, body: set[str]) -> list[Any]:
    return [edge for edge in output.get_target_inputs() if edge.get_node().get_name() not in body]


class _Crossing(NamedTuple):
    """An output of the body's that the tail reads, through `edges`; small: as bf16, a map with its channels last."""

    output: Any
    edges: list[Any]
    small: bool

    def packed(self) -> Any:
        """What leaves the body."""
        from openvino import opset13 as op

        if not self.small:
            return self.output
        small = op.convert(self.output, "bf16")
        return (op.transpose(small, CHANNELS_LAST) if _is_map(self.output) else small).output(0)

    def unpacked(self, source: Any) -> Any:
        """The same in the tail as `output` was."""
        from openvino import opset13 as op

        if not self.small:
            return source
        turned = op.transpose(source, CHANNELS_FIRST).output(0) if _is_map(self.output) else source
        return op.convert(turned, "f32").output(0)


def _is_float(output: Any) -> bool:
    import openvino as ov

    return bool(output.get_element_type() == ov.Type.f32)


def _is_map(output: Any) -> bool:
    return int(output.get_partial_shape().rank.get_length()) == 4
