"""The crop inside real exports: HM and TF from the exporter, rewritten, as the GPU path runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from export.half import to_half
from export.parity import generated_crops
from export.surgery import operate
from export.surgery.whole_frames import take_whole_frames
from lmdeploy.backends.frames import inputs_for, taps_for
from lmdeploy.geometry import CropRule, crop_image, crop_matrix
from lmdeploy.types import Box

SIZE = 64
SIZES = {"N": 2, "H": 128, "W": 128, "B": 3, "T": 2}


def session(model: bytes, **options: Any) -> Any:
    made = onnxruntime.SessionOptions()
    made.intra_op_num_threads = 1
    made.log_severity_level = 4
    for name, value in options.items():
        setattr(made, name, value)
    if options:
        for name, size in SIZES.items():
            made.add_free_dimension_override_by_name(name, size)
    return onnxruntime.InferenceSession(model, made, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", ["tiny_heatmap", "tiny_transformer"])
def test_real_exports_say_the_same_with_sizes_open_or_fixed(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    plain = operate(request.getfixturevalue(name))
    frames = generated_crops(SIZES["H"], 2)
    rule = CropRule(size=SIZE, scale=1.0)
    matrices = [crop_matrix(Box(10.0, 5.0, 70.0 + i, 65.0 + i), rule) for i in (0, 12, 72)]
    index = [0, 1, 1]
    assert taps_for(matrices) == SIZES["T"]
    crops = np.stack([crop_image(frames[i], m, SIZE) for i, m in zip(index, matrices, strict=True)])
    feeds = inputs_for(frames, index, matrices, SIZES["T"])
    (wanted,) = session(plain).run(["points"], {"images": crops})
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    file = tmp_path / "fixed.onnx"
    framed = take_whole_frames(plain)
    fixed = session(framed, optimized_model_filepath=str(file), graph_optimization_level=level)
    for runs in (session(framed), fixed):
        (found,) = runs.run(["points"], feeds)
        assert np.percentile(np.linalg.norm(found - wanted, axis=-1), 99) <= 0.02
    left = {node.op_type for node in onnx.load(str(file)).graph.node}
    assert "Shape" not in left, "a size that is computed on the processor keeps the provider from capturing a graph"
    assert "If" not in left
    assert "Loop" not in left


def test_half_precision_crops_in_float32(tiny_heatmap: bytes) -> None:
    """Coordinates of a large frame need more than 11 bits."""
    made = onnx.load_from_string(take_whole_frames(to_half(operate(tiny_heatmap))))
    inferred = onnx.shape_inference.infer_shapes(made, data_prop=True).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    crop = {name: kind for name, kind in kinds.items() if name.startswith("crop_")}
    assert len(crop) > 50
    assert onnx.TensorProto.FLOAT16 not in crop.values()
    assert onnx.TensorProto.FLOAT16 in kinds.values()
