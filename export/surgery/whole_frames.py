"""A variant that takes whole frames and cuts the crops inside the graph, so that a frame goes to the GPU once.

    frames    uint8   [N,H,W,3]   RGB, of one size
    matrices  float32 [B,2,3]     crop px -> frame px, the inverse of geometry.crop_matrix
    index     int32   [B]         which of the N frames each crop is cut from
    taps      float32 [T]         0, 1, ..., T-1; T at least the largest geometry.block_side of the matrices

instead of `images`; the outputs stay as they are, points in crop px. Points are NaN where T is too small.

The crop is that of geometry.crop_image: bilinear, black outside, and blocks of f x f pixels averaged first where the
crop shrinks the frame f >= 2 times; with OpenCV 4 and a crop that is not turned it is the same to the bit, for which
positions are rounded to 1/32 px as OpenCV 4 rounds them (OpenCV 5 does not, which moves a sample by 1/64 px at most).
Every shape follows from the inputs' shapes: CUDA graphs and TensorRT need that. So the length of `taps` says how many
pixels a block may have along a side; the host knows f.

Pixels are fetched by Gather: GridSample of operator set 20 has no CUDA kernel in ONNX Runtime, which would send each
frame back to the processor (its issues 20191 and 20297), and it cannot average. The frame is cast first and the float
crops go where the network casts its images, since TensorRT takes uint8 only at inputs.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from export.surgery.graph import Graph
from export.surgery.nodes import Nodes
from lmdeploy.errors import InputError

IMAGES = "images"
ACROSS, DOWN = 0, 1


def take_whole_frames(model: bytes) -> bytes:
    """The model with the crop inside; InputError for a file whose images do not go into a Cast alone."""
    graph = Graph(model)
    shape = next(value.type.tensor_type.shape for value in graph.model.graph.input if value.name == IMAGES)
    size, casts = shape.dim[1].dim_value, graph.consumers(IMAGES)
    if not casts or any(node.op_type != "Cast" for node in casts):
        raise InputError("something other than a Cast takes the images, so the crop cannot go in front: export again")
    nodes = Nodes(graph, "crop")
    crops, usable = _crops(nodes, size)
    for cast in casts:
        cast.input[0] = crops
    points = graph.producer("points")
    assert points is not None, "an exported graph makes its points"
    inner = graph.fresh("points_of_crops")
    for node in graph.nodes:
        for names in (node.input, node.output):
            names[:] = [inner if name == "points" else name for name in names]
    graph.after(None, nodes.made)
    graph.nodes.append(graph.make("Where", [usable, inner, nodes.number(np.nan)], "points"))
    _set_inputs(graph)
    return graph.finish()


def _set_inputs(graph: Graph) -> None:
    del graph.model.graph.input[:]
    graph.model.graph.input.extend(
        [
            helper.make_tensor_value_info("frames", TensorProto.UINT8, ["N", "H", "W", 3]),
            helper.make_tensor_value_info("matrices", TensorProto.FLOAT, ["B", 2, 3]),
            helper.make_tensor_value_info("index", TensorProto.INT32, ["B"]),
            helper.make_tensor_value_info("taps", TensorProto.FLOAT, ["T"]),
        ]
    )


def _crops(n: Nodes, size: int) -> tuple[str, str]:
    """(crops f32[B,S,S,3] of whole grey levels, bool[B,1,1] whether `taps` was long enough for them)."""
    last = n.op("Sub", _frame_size(n), n.number(1.0))  # [2,1]: W - 1, H - 1
    side = _block_side(n)
    first, end = _region(n, size, side, last)
    inside = _inside(n, size, side, first)
    before = n.op("Unsqueeze", n.op("Floor", inside), n.whole([3]))
    beyond = n.op("Sub", n.op("Unsqueeze", inside, n.whole([3])), before)
    block = n.op("Add", before, n.numbers([0, 1]))  # [B,2,S*S,2]: the two blocks around each position, on each axis
    means, seen = _means(n, block, side, first, end)
    share = n.op("Concat", n.op("Sub", n.number(1.0), beyond), beyond, axis=3)
    share = n.op("Where", seen, share, n.number(0.0))
    weights = n.op("Mul", _axis(n, share, DOWN, [3, 4]), _axis(n, share, ACROSS, [2, 4]))
    summed = n.op("ReduceSum", n.op("Mul", means, weights), n.whole([2, 3]), keepdims=0)
    crops = n.op("Reshape", n.op("Floor", n.op("Add", summed, n.number(0.5))), n.whole([-1, size, size, 3]))
    enough = n.op("Less", side, n.op("Add", n.op("ReduceMax", "taps", keepdims=0), n.number(1.5)))
    return crops, enough


def _frame_size(n: Nodes) -> str:
    """f32[2,1]: W, H."""
    size = n.op("Gather", n.op("Shape", n.floats("frames")), n.whole([2, 1]), axis=0)
    return n.op("Unsqueeze", n.floats(size), n.whole([1]))


def _columns(n: Nodes) -> list[str]:
    """The matrices' three columns, f32[B,2,1] each."""
    return [n.op("Slice", "matrices", n.whole([i]), n.whole([i + 1]), n.whole([2])) for i in range(3)]


def _inside(n: Nodes, size: int, side: str, first: str) -> str:
    """Where the crop's pixels are, f32[B,2,S*S], in blocks from the region's first, in steps of 1/32.

    OpenCV 4 computes them in 1/1024 px from two rounded summands, and rounds that to 1/32 px. Without it the points of
    face68 on photographs are 0.06 px off (99th percentile), with it 0.
    """
    y, x = np.mgrid[:size, :size].reshape(2, -1)
    ax, ay, shift = _columns(n)
    middle = n.op("Mul", n.op("Sub", side, n.number(1.0)), n.number(0.5))
    shift = n.op("Sub", n.op("Sub", shift, first), middle)
    ax, ay, shift = (n.op("Div", n.op("Mul", value, n.number(1024.0)), side) for value in (ax, ay, shift))
    across = n.op("Round", n.op("Mul", ax, n.numbers(x)))
    down = n.op("Round", n.op("Add", n.op("Mul", ay, n.numbers(y)), shift))
    steps = n.op("Floor", n.op("Div", n.op("Add", n.op("Add", across, down), n.number(16.0)), n.number(32.0)))
    return n.op("Div", steps, n.number(32.0))


def _block_side(n: Nodes) -> str:
    """f32[B,1,1]: f, the frame's px per crop px rounded down, at least 1 (geometry.block_side)."""
    ax, ay, _ = _columns(n)
    ends = [n.op("Slice", v, n.whole([i]), n.whole([i + 1]), n.whole([1])) for v in (ax, ay) for i in (0, 1)]
    area = n.op("Abs", n.op("Sub", n.op("Mul", ends[0], ends[3]), n.op("Mul", ends[1], ends[2])))
    return n.op("Max", n.op("Floor", n.op("Sqrt", area)), n.number(1.0))


def _region(n: Nodes, size: int, side: str, last: str) -> tuple[str, str]:
    """First and last frame px f32[B,2,1] that the crop sees, where its blocks begin and end; all for f = 1."""
    ax, ay, shift = _columns(n)
    across = n.op("Mul", ax, n.numbers([-1, size, -1, size]))
    corners = n.op("Add", n.op("Add", across, n.op("Mul", ay, n.numbers([-1, -1, size, size]))), shift)
    zero = n.number(0.0)
    low = n.op("ReduceMin", corners, n.whole([2]), keepdims=1)
    high = n.op("ReduceMax", corners, n.whole([2]), keepdims=1)
    low = n.op("Floor", n.op("Min", n.op("Max", low, zero), last))
    high = n.op("Ceil", n.op("Min", n.op("Max", high, zero), last))
    shrinks = n.op("Greater", side, n.number(1.5))
    return n.op("Where", shrinks, low, zero), n.op("Where", shrinks, high, last)


def _means(n: Nodes, block: str, side: str, first: str, end: str) -> tuple[str, str]:
    """(whole grey levels f32[B,P,2,2,3] of the blocks in rows and columns `block`, bool[B,2,P,2]: are there any)."""
    side, first, end = (n.op("Unsqueeze", value, n.whole([3])) for value in (side, first, end))
    start = n.op("Add", n.op("Mul", block, side), first)
    seen = n.op("And", n.op("Greater", block, n.number(-0.5)), n.op("LessOrEqual", start, end))
    side, first, end, start = (n.op("Unsqueeze", value, n.whole([4])) for value in (side, first, end, start))
    pixel = n.op("Max", n.op("Min", n.op("Add", start, "taps"), end), first)  # the last one again, in a partial block
    values = _fetched(n, n.op("Cast", pixel, to=TensorProto.INT32))  # [B,P,2,T,2,T,3]
    one = n.op("Where", n.op("Less", "taps", side), n.number(1.0), n.number(0.0))  # [B,1,1,1,T]
    one = n.op("Unsqueeze", n.op("Squeeze", one, n.whole([1])), n.whole([4, 5]))  # [B,1,1,T,1,1]
    both = n.op("Unsqueeze", n.op("Mul", one, n.op("Transpose", one, perm=[0, 1, 4, 5, 2, 3])), n.whole([6]))
    summed = n.op("ReduceSum", n.op("Mul", values, both), n.whole([3, 5]), keepdims=0)
    mean = n.op("Mul", summed, n.op("Div", n.number(1.0), n.op("Mul", side, side)))
    # of two nearest whole numbers OpenCV takes the even one, but for blocks of 2, whose means are quarters, the higher
    tip = n.op("Where", n.op("Less", side, n.number(2.5)), n.number(0.1), n.number(0.0))
    return n.op("Round", n.op("Add", mean, tip)), seen


def _fetched(n: Nodes, pixel: str) -> str:
    """Colours f32[B,P,2,T,2,T,3] at rows and columns i32[B,2,P,2,T]."""
    size = n.op("Cast", n.op("Shape", n.floats("frames")), to=TensorProto.INT32)
    height, width = (n.op("Gather", size, n.whole([i]), axis=0) for i in (1, 2))
    of_frame = n.op("Unsqueeze", n.op("Mul", "index", height), n.whole([1, 2, 3]))
    row = n.op("Mul", n.op("Add", n.op("Gather", pixel, n.whole(DOWN), axis=1), of_frame), width)
    column = n.op("Gather", pixel, n.whole(ACROSS), axis=1)
    at = n.op("Add", n.op("Unsqueeze", row, n.whole([4, 5])), n.op("Unsqueeze", column, n.whole([2, 3])))
    return n.op("Gather", n.op("Reshape", n.floats("frames"), n.whole([-1, 3])), at, axis=0)


def _axis(n: Nodes, values: str, axis: int, new: list[int]) -> str:
    """The part [B,P,2] of [B,2,P,2] that is about x or y, with axes put in."""
    return n.op("Unsqueeze", n.op("Gather", values, n.whole(axis), axis=1), n.whole(new))
