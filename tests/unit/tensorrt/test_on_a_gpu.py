"""The real libraries, where a machine has them: a real engine of the built-in model answers as ONNX Runtime does."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from lmdeploy.backends.cuda import Device
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.backends.tensorrt import TensorRTBackend
from lmdeploy.backends.tensorrt.library import load
from lmdeploy.errors import LmdeployError

pytestmark = [pytest.mark.gpu, pytest.mark.tensorrt]
MODEL = Path(str(resources.files("lmdeploy"))) / "models" / "face68"
FP32_PX = 0.02  # design: 99th percentile of a float32 file against PyTorch


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> TensorRTBackend:
    try:
        load()
        Device()
    except LmdeployError as error:
        pytest.skip(str(error))
    return TensorRTBackend(MODEL / "model.onnx", cache=tmp_path_factory.mktemp("cache"), show=False)


@pytest.mark.parametrize("batch", [1, 3, 4, 16])
def test_an_engine_answers_as_onnx_runtime_does(backend: TensorRTBackend, batch: int) -> None:
    crops = np.load(MODEL / "reference.npz")["crops"][:batch]
    wanted = OrtBackend(MODEL / "model.onnx", device="cpu").run(crops)
    for _ in range(2):  # the first run of a size captures, the second replays
        found = backend.run(crops)
        assert np.percentile(np.abs(found.points - wanted.points), 99) < FP32_PX
        assert np.percentile(np.abs(found.score - wanted.score), 99) < 0.01


def test_every_size_replays_a_graph(backend: TensorRTBackend) -> None:
    crops = np.load(MODEL / "reference.npz")["crops"][:1]
    for batch in (1, 4, 16, 64):
        backend.run(np.repeat(crops, batch, axis=0))
        assert all(lane.captured for lane in backend._lanes[batch])
