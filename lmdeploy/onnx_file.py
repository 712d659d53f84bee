"""A look into an ONNX file before an engine is given it: its metadata, and that nothing in it is out of all bounds.

Engines are native code that believes what a file claims. Refused here: what is not ONNX, what points to other files,
tensors that claim more elements than the file has bytes, sizes that no landmark network has, and what can run without
end. Sizes that a graph computes from its own constants are not followed: who opens what strangers made does it in a
process with a limit on memory.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lmdeploy.errors import BundleError
from lmdeploy.foreign import LOOK, foreign_kind
from lmdeploy.wire import Value, WireError, fields, integers, message, text

MAX_BYTES = 1 << 30
MAX_NODES = 100_000
MAX_VERSION = 1000  # of the operators; 28 is the newest
MAX_DEPTH = 4  # graphs in the attributes of nodes
MAX_WINDOW = 1024  # px: kernels, strides and pads; the largest crop is as large
MAX_NUMBER = 1 << 24  # any other whole number in an attribute
MAX_ELEMENTS = 1 << 28  # of a tensor whose size stands in the file: 1 GB of float32
MAX_ZOOM = 64
WINDOWS = frozenset({"pads", "kernel_shape", "strides", "dilations", "output_padding", "output_shape"})
ENDLESS = frozenset({"Loop", "Scan", "SequenceMap"})
SIZES = {
    "CenterCropPad": 1, "ConstantOfShape": 0, "Expand": 1, "OneHot": 1, "Pad": 1, "Range": 1, "Resize": 3, "Tile": 1,
}  # fmt: skip
FREE = frozenset({"Constant", "Slice"})  # their numbers may be as large as they go: "up to the end"
INT64, FLOAT16 = 7, 10
AGAIN = "take only files that 'lmdeploy export' wrote"


class Inside(NamedTuple):
    """What an ONNX file says of itself, and the precision that it computes in: fp32, fp16 or int8."""

    metadata: dict[str, str]
    precision: str


def inspect(path: Path) -> Inside:
    """A look inside an ONNX file; BundleError, one sentence, for whatever an engine should not be given."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            raise BundleError(f"{path} is no regular file of at most {MAX_BYTES >> 30} GB; {AGAIN}")
        raw = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}); copy the model again") from error
    kind = foreign_kind(raw[:LOOK])
    if kind:
        raise BundleError(f"{path} is no ONNX file but {kind}; {AGAIN}")
    try:
        return _model(memoryview(raw))
    except WireError as error:
        raise BundleError(f"{path} is no ONNX file, or is damaged ({error}); copy or export it again") from error
    except _OutOfBounds as error:
        raise BundleError(f"{path} is refused: {error}; {AGAIN}") from error


class _OutOfBounds(ValueError):
    """Something that is ONNX, but in no landmark network."""


@dataclass(slots=True)
class _Walk:
    """What was seen so far; `sizes` holds small whole-number constants and `zooms` float ones by their name.

    known: names that a node may read here.
    """

    nodes: int = 0
    precision: str = "fp32"
    known: set[str] = field(default_factory=set)
    sizes: dict[str, list[int]] = field(default_factory=dict)
    zooms: dict[str, list[float]] = field(default_factory=dict)
    wanted: list[tuple[str, list[str]]] = field(default_factory=list)


def _model(model: memoryview) -> Inside:
    metadata: dict[str, str] = {}
    walk, graphs = _Walk(), 0
    for number, value in fields(model):
        if number == 7:
            graphs += 1
            _graph(message(value), walk, 0)
        elif number == 8:
            _check_version(message(value))
        elif number == 14:
            _add_property(message(value), metadata)
        elif number == 25:
            raise _OutOfBounds("it defines functions of its own")
    if graphs != 1 or not walk.nodes:
        raise WireError(f"it holds {graphs} graphs" if graphs > 1 else "it holds no graph")
    for operator, inputs in walk.wanted:
        _check_sizes(operator, inputs, walk)
    return Inside(metadata, walk.precision)


def _check_version(opset: memoryview) -> None:
    """OpenVINO looks for a version's operators by counting down from it, which 2**40 makes endless."""
    for number, value in fields(opset):
        if number == 2 and not 0 < sum(integers(value)) <= MAX_VERSION:
            raise _OutOfBounds(f"no version {sum(integers(value))} of operators exists")


def _add_property(pair: memoryview, metadata: dict[str, str]) -> None:
    parts = list(fields(pair))
    key = _last(parts, 1)
    if key in metadata:
        raise _OutOfBounds("a key of its metadata stands twice")
    metadata[key] = _last(parts, 2)


def _graph(graph: memoryview, walk: _Walk, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _OutOfBounds("graphs within graphs go too deep")
    outer, walk.known = walk.known, set(walk.known)
    parts = list(fields(graph))
    for number, value in parts:
        if number == 5:
            walk.known.add(_tensor(message(value), walk))
        elif number == 15:
            raise _OutOfBounds("it holds sparse tensors")
        elif number in (11, 12):
            name = _name_of(message(value))
            walk.known |= {name} if number == 11 else set()
    for number, value in parts:
        if number == 1:
            _node(message(value), walk, depth)
    walk.known = outer


def _node(node: memoryview, walk: _Walk, depth: int) -> None:
    walk.nodes += 1
    parts = list(fields(node))
    operator = _last(parts, 4)
    inputs, outputs = ([text(value) for number, value in parts if number == n] for n in (1, 2))
    if walk.nodes > MAX_NODES:
        raise _OutOfBounds(f"it has more than {MAX_NODES} nodes")
    _check_order(operator, inputs, outputs, walk)
    if operator in ENDLESS or operator == "EPContext":
        raise _OutOfBounds(f"operator {operator} may run without end or load other code")
    if operator == "QuantizeLinear":
        walk.precision = "int8"
    if operator in SIZES:
        walk.wanted.append((operator, inputs))
    for number, value in parts:
        if number == 5:
            _attribute(message(value), operator, outputs, (walk, depth))
    walk.known.update(outputs)  # only now: graphs in its attributes must not read it


def _check_order(operator: str, inputs: list[str], outputs: list[str], walk: _Walk) -> None:
    """Every node comes after what it reads, as ONNX demands: OpenVINO goes round in a circle without end."""
    if not walk.known.issuperset(name for name in inputs if name):
        raise _OutOfBounds(f"{operator} reads what no node before it has made")
    made = [name for name in outputs if name]
    if len(set(made)) != len(made) or not walk.known.isdisjoint(made):
        raise _OutOfBounds(f"what {operator} makes exists already")


def _attribute(attribute: memoryview, operator: str, outputs: list[str], seen: tuple[_Walk, int]) -> None:
    walk, depth = seen
    numbers: list[int] = []
    for number, value in fields(attribute):
        if number in (6, 11):
            _graph(message(value), walk, depth + 1)
        elif number in (5, 10):
            _tensor(message(value), walk, outputs[0] if operator == "Constant" and outputs else "")
        elif number in (22, 23):
            raise _OutOfBounds("it holds sparse tensors")
        elif number in (3, 8):
            numbers += integers(value)
    if operator == "Constant" and outputs and numbers:
        walk.sizes[outputs[0]] = numbers
    _check_numbers(operator, _name_of(attribute), numbers)


def _check_numbers(operator: str, name: str, numbers: list[int]) -> None:
    """The whole numbers of one attribute: those of windows are small, and none is astronomic."""
    limit = MAX_WINDOW if name in WINDOWS else MAX_NUMBER
    if operator not in FREE and any(abs(number) > limit for number in numbers):
        raise _OutOfBounds(f"{operator} has {name} beyond {limit}")
    if name == "shape" and math.prod(max(1, n) for n in numbers) > MAX_ELEMENTS:
        raise _OutOfBounds(f"{operator} makes a tensor of more than {MAX_ELEMENTS} elements")


def _tensor(tensor: memoryview, walk: _Walk, called: str = "") -> str:
    """Bound what a constant claims; remember it, if small, as what may be a size. Returns `called` or its own name."""
    dims: list[int] = []
    parts = list(fields(tensor))
    for number, value in parts:
        if number == 1:
            dims += integers(value)
        elif number == 13 or (number == 14 and value != 0):
            raise _OutOfBounds("its weights lie in other files")
    if any(size < 0 for size in dims) or math.prod(dims) > 2 * len(tensor):
        raise _OutOfBounds("a tensor claims more elements than the file has bytes")
    name = called or _last(parts, 8)
    kind = next((value for number, value in parts if number == 2), 0)
    if kind == FLOAT16 and walk.precision == "fp32":
        walk.precision = "fp16"
    if math.prod(dims) <= 16:
        _remember(walk, name, kind == INT64, [(n, v) for n, v in parts if n in (4, 7, 9)])
    return name


def _remember(walk: _Walk, name: str, whole: bool, data: list[tuple[int, Value]]) -> None:
    numbers: list[int] = []
    for number, value in data:
        if number == 7:
            numbers += integers(value)
        elif isinstance(value, memoryview) and whole and len(value) % 8 == 0:
            numbers += struct.unpack(f"<{len(value) // 8}q", value)
        elif isinstance(value, memoryview) and not whole and len(value) % 4 == 0:
            walk.zooms[name] = [*walk.zooms.get(name, []), *struct.unpack(f"<{len(value) // 4}f", value)]
    walk.sizes[name] = numbers


def _check_sizes(operator: str, inputs: list[str], walk: _Walk) -> None:
    """Sizes that stand in the file as constants; those that the graph computes are not known here."""
    at = SIZES[operator]
    sizes = walk.sizes.get(inputs[at], []) if len(inputs) > at else []
    if math.prod(max(1, abs(size)) for size in sizes) > MAX_ELEMENTS:
        raise _OutOfBounds(f"{operator} makes a tensor of more than {MAX_ELEMENTS} elements")
    if operator == "Pad" and any(abs(size) > MAX_WINDOW for size in sizes):
        raise _OutOfBounds(f"Pad adds more than {MAX_WINDOW}")
    if operator == "Resize" and any(not zoom <= MAX_ZOOM for zoom in walk.zooms.get("".join(inputs[2:3]), [])):
        raise _OutOfBounds(f"Resize enlarges more than {MAX_ZOOM} times")


def _name_of(part: memoryview) -> str:
    """`name` of an attribute, or of an input or output."""
    return _last(list(fields(part)), 1)


def _last(parts: list[tuple[int, Value]], wanted: int) -> str:
    """A text field; of several the last holds, as every reader has it."""
    return next((text(value) for number, value in reversed(parts) if number == wanted), "")
