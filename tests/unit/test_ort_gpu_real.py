"""The real CUDA provider, where a machine has one: lanes answer as ONNX Runtime on the processor does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lmdeploy.backends.ort import OrtBackend
from lmdeploy.backends.ort_gpu import OrtGpu
from lmdeploy.bundle import read_bundle
from lmdeploy.errors import LmdeployError
from lmdeploy.geometry import CropRule, crop_image, crop_matrix
from lmdeploy.types import Box

pytestmark = pytest.mark.gpu
FP32_PX = 0.02  # design: 99th percentile of a float32 file against PyTorch
NETWORK = read_bundle("face68").file("model.onnx")


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> OrtGpu:
    surgery = pytest.importorskip("export.surgery.whole_frames", reason="making the file needs onnx")
    try:
        engine = OrtBackend(NETWORK, device="cuda")
        framed = tmp_path_factory.mktemp("framed") / "model.frame.onnx"
        framed.write_bytes(surgery.take_whole_frames(Path(NETWORK).read_bytes()))
        return OrtGpu(engine, NETWORK, framed)
    except LmdeployError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("batch", [1, 3, 16, 130])
def test_crops(fast: OrtGpu, batch: int) -> None:
    crops = np.load(NETWORK.with_name("reference.npz"))["crops"]
    crops = crops[np.arange(batch) % len(crops)]
    wanted = OrtBackend(NETWORK, device="cpu").run(crops)
    for _ in range(3):  # the first captures, the others replay
        found = fast.run(crops)
        assert np.percentile(np.abs(found.points - wanted.points), 99) < FP32_PX
    assert not fast._plain, "the lanes were given up"


@pytest.mark.parametrize("zoom", [1, 3])
def test_faces_in_several_frames(fast: OrtGpu, zoom: int) -> None:
    crops = np.load(NETWORK.with_name("reference.npz"))["crops"][:4]
    frames = [np.ascontiguousarray(crop.repeat(zoom, axis=0).repeat(zoom, axis=1)) for crop in crops]
    side = len(frames[0])
    matrix = crop_matrix(Box(-0.5, -0.5, side - 0.5, side - 0.5), CropRule(scale=1.0, size=fast.size))
    index = [0, 1, 2, 3, 3, 0]
    cut = np.stack([crop_image(frames[i], matrix, fast.size) for i in index])
    wanted = OrtBackend(NETWORK, device="cpu").run(cut)
    for _ in range(3):
        found = fast.run_frames(frames, index, [matrix] * len(index))
        assert found is not None, "frames were given up"
        assert np.percentile(np.abs(found.points - wanted.points), 99) < FP32_PX
