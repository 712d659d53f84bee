"""Named tensors of a network or an engine, checked to be those of an exported graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lmdeploy.backends.contract import check_graph


@dataclass(frozen=True, slots=True)
class Signature:
    """Crop size S, number of points K, and the outputs to read."""

    size: int
    points: int
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    type: str
    shape: list[int | str]


def signature_of_network(trt: Any, network: Any, origin: str) -> Signature:
    """Of a parsed file, before minutes are spent on it; BundleError when it is no exported graph."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    ins, outs = ([_tensor(trt, t.name, t.dtype, t.shape) for t in group] for group in (inputs, outputs))
    return _checked(ins, outs, origin)


def signature_of_engine(trt: Any, engine: Any, origin: str) -> Signature:
    """Of an engine; BundleError when it is not that of an exported graph."""
    groups: tuple[list[_Tensor], list[_Tensor]] = ([], [])
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        tensor = _tensor(trt, name, engine.get_tensor_dtype(name), engine.get_tensor_shape(name))
        groups[engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT].append(tensor)
    return _checked(*groups, origin)


def _checked(inputs: list[_Tensor], outputs: list[_Tensor], origin: str) -> Signature:
    size, points, names = check_graph(inputs, outputs, origin)
    return Signature(size, points, tuple(names))


def _tensor(trt: Any, name: str, dtype: Any, shape: Any) -> _Tensor:
    """With ONNX Runtime's words for types, and a letter for a size that is open."""
    words = {trt.DataType.UINT8: "tensor(uint8)", trt.DataType.FLOAT: "tensor(float)"}
    return _Tensor(name, words.get(dtype, str(dtype)), [int(d) if d >= 0 else "?" for d in shape])
