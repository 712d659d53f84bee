"""The backend on stand-ins whose contexts run ONNX Runtime on the memory that they were given."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from lmdeploy.backends.ort import OrtBackend
from lmdeploy.backends.tensorrt import BuildOptions, Profile, TensorRTBackend
from lmdeploy.errors import BundleError, DeviceError, InputError, MissingExtraError
from tests.tensorrt_kit.fake_tensorrt import FakeTensorRT
from tests.tiny_bundle import blob_image, mixing, tiny_onnx

SMALL = BuildOptions(profiles=(Profile(smallest=1, best=1, largest=1), Profile(smallest=2, best=4, largest=8)))
BUCKETS = (1, 4, 8)


def crops(count: int) -> np.ndarray:
    """u8[count,32,32,3], each with its blobs elsewhere."""
    base = np.array([[8.0, 9.0], [22.0, 10.0], [15.0, 22.0]])
    return np.stack([blob_image(32, 32, base + 0.7 * (i % 7), sigma=2) for i in range(count)])


def make(content: bytes, folder: Path, **options: object) -> TensorRTBackend:
    return TensorRTBackend(content, SMALL, buckets=BUCKETS, cache=folder, show=False, **options)


@pytest.mark.parametrize("count", [1, 2, 4, 5, 8, 9, 19])
def test_any_batch_equals_onnx_runtime(trt: FakeTensorRT, content: bytes, tmp_path: Path, count: int) -> None:
    images = crops(count)
    found, wanted = make(content, tmp_path).run(images), OrtBackend(content, threads=1, device="cpu").run(images)
    for name in ("points", "score", "spread", "nnm"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), atol=1e-4, err_msg=name)


def test_results_stay_when_the_next_batch_runs(trt: FakeTensorRT, content: bytes, tmp_path: Path) -> None:
    backend = make(content, tmp_path)
    first = backend.run(crops(3))
    kept = first.points.copy()
    backend.run(crops(4)[::-1].copy())
    np.testing.assert_array_equal(first.points, kept)


def test_a_batch_runs_in_the_smallest_bucket_that_holds_it(trt: FakeTensorRT, content: bytes, tmp_path: Path) -> None:
    backend = make(content, tmp_path)
    for count in (1, 3, 4, 5, 8):
        backend.run(crops(count))
    assert trt.called("set_input_shape") == [("images", (b, 32, 32, 3)) for b in (1, 4, 8)]
    assert trt.called("set_optimization_profile_async") == [(0,), (1,), (1,)]


def test_every_named_tensor_is_bound_once_in_each_context(trt: FakeTensorRT, content: bytes, tmp_path: Path) -> None:
    backend = make(content, tmp_path)
    for count in (1, 4, 1, 3):
        backend.run(crops(count))
    names = [name for (name,) in trt.called("set_tensor_address")]
    assert names == ["images", "points", "score", "spread", "nnm"] * 2
    assert len(trt.called("create_execution_context")) == 2


def test_each_context_has_a_stream_of_its_own_and_none_the_default_one(
    trt: FakeTensorRT, content: bytes, tmp_path: Path
) -> None:
    backend = make(content, tmp_path)
    backend.run(crops(1))
    backend.run(crops(4))
    streams = {stream for (stream,) in trt.called("execute_async_v3")}
    assert len(streams) == 2
    assert 0 not in streams


def test_the_second_run_of_a_size_is_one_launch(trt: FakeTensorRT, content: bytes, tmp_path: Path) -> None:
    backend = make(content, tmp_path)
    backend.run(crops(4))
    queued, launched = len(trt.called("execute_async_v3")), trt.cuda.count("cudaGraphLaunch")
    backend.run(crops(4))
    assert len(trt.called("execute_async_v3")) == queued == 2  # a warm-up, then the capture
    assert trt.cuda.count("cudaGraphLaunch") == launched + 1


def test_of_a_large_call_the_next_batch_is_queued_before_the_last_is_waited_for(
    trt: FakeTensorRT, content: bytes, tmp_path: Path
) -> None:
    backend = make(content, tmp_path)
    backend.run(crops(40))
    trt.cuda.calls.clear()
    backend.run(crops(40))
    queued = [call for call in trt.cuda.calls if call in ("cudaGraphLaunch", "cudaStreamSynchronize")]
    launch, wait = "cudaGraphLaunch", "cudaStreamSynchronize"
    assert queued == [launch, launch, *[wait, launch] * 3, wait, wait]
    assert len(trt.called("create_execution_context")) == 2


@pytest.mark.parametrize("why", ["capture", "instantiate", "end"])
def test_without_a_graph_the_kernels_are_queued(trt: FakeTensorRT, content: bytes, tmp_path: Path, why: str) -> None:
    trt.refuse = {"capture"} if why == "capture" else set()
    fails = {"instantiate": {"cudaGraphInstantiate": 1}, "end": {"cudaStreamEndCapture": 1}}
    trt.cuda.fail = fails.get(why, {})
    backend = make(content, tmp_path)
    images = crops(4)
    backend.run(images)
    wanted = OrtBackend(content, threads=1, device="cpu").run(images)
    np.testing.assert_allclose(backend.run(images).points, wanted.points, atol=1e-4)
    assert trt.cuda.count("cudaGraphLaunch") == 0
    if why != "capture":
        assert "cudaGetLastError" in trt.cuda.calls  # or the next good call answers with this error


def test_close_gives_everything_back(trt: FakeTensorRT, content: bytes, tmp_path: Path) -> None:
    backend = make(content, tmp_path)
    backend.run(crops(9))
    assert trt.cuda.memory
    assert trt.cuda.graphs
    backend.close()
    backend.close()
    assert (trt.cuda.memory, trt.cuda.streams, trt.cuda.graphs) == ({}, {}, {})
    with pytest.raises(InputError, match="closed"):
        backend.run(crops(1))


@pytest.mark.parametrize(
    "name", ["create_execution_context", "set_input_shape", "set_tensor_address", "execute_async_v3"]
)
def test_a_lane_that_cannot_be_made_gives_its_memory_back(
    trt: FakeTensorRT, content: bytes, tmp_path: Path, name: str
) -> None:
    backend = make(content, tmp_path)
    trt.refuse = {name}
    with pytest.raises(DeviceError, match="TensorRT fails"):
        backend.run(crops(1))
    assert (trt.cuda.memory, trt.cuda.streams) == ({}, {})


@pytest.mark.parametrize("name", ["cudaMalloc", "cudaMallocHost"])
def test_a_full_gpu_is_a_device_error(trt: FakeTensorRT, content: bytes, tmp_path: Path, name: str) -> None:
    backend = make(content, tmp_path)
    trt.cuda.fail = {name: 2}
    with pytest.raises(DeviceError, match=r"allocating 3072 bytes .*cudaErrorMemoryAllocation") as caught:
        backend.run(crops(1))
    assert caught.value.exit_code == 4
    assert (trt.cuda.memory, trt.cuda.streams) == ({}, {})


def test_every_thread_chooses_the_device(trt: FakeTensorRT, content: bytes, tmp_path: Path) -> None:
    backend = make(content, tmp_path)
    before = trt.cuda.count("cudaSetDevice")
    thread = threading.Thread(target=lambda: backend.run(crops(1)))
    thread.start()
    thread.join()
    assert trt.cuda.count("cudaSetDevice") == before + 1


def test_wrong_crops_and_buckets_are_named(trt: FakeTensorRT, content: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"uint8 \[B,32,32,3\]"):
        make(content, tmp_path).run(np.zeros((1, 64, 64, 3), np.uint8))
    with pytest.raises(InputError, match="no profile takes a batch of 16"):
        TensorRTBackend(content, SMALL, buckets=(1, 16), cache=tmp_path, show=False)
    with pytest.raises(InputError, match="at least 1"):
        TensorRTBackend(content, SMALL, buckets=(), cache=tmp_path, show=False)


def test_no_crops_give_no_points(trt: FakeTensorRT, content: bytes, tmp_path: Path) -> None:
    out = make(content, tmp_path).run(np.zeros((0, 32, 32, 3), np.uint8))
    assert out.points.shape == (0, 5, 2)
    assert out.score.shape == (0, 5)


def test_a_model_without_nnm_gives_none(trt: FakeTensorRT, tmp_path: Path) -> None:
    backend = make(tiny_onnx(32, mixing(3), nnm=False), tmp_path)
    assert backend.run(crops(1)).nnm is None
    assert (backend.size, backend.points, backend.provider) == (32, 3, "TensorRT")


def test_missing_file_is_a_bundle_error(trt: FakeTensorRT, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        TensorRTBackend(tmp_path / "no.onnx", cache=tmp_path, show=False)


def test_a_machine_that_cannot_run_it_says_why(trt: FakeTensorRT, content: bytes) -> None:
    with pytest.raises(DeviceError, match="no GPU number 1"):
        TensorRTBackend(content, device=1)
    trt.cuda.fail = {"cudaGetDeviceCount": 35}
    with pytest.raises(DeviceError, match="cudaErrorOldDriver"):
        TensorRTBackend(content)
    trt.__version__ = "10.9.0.34"
    with pytest.raises(MissingExtraError, match=r"10\.12 or later or 11"):
        TensorRTBackend(content)


def test_without_tensorrt_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'landmark-deploy\[tensorrt\]'"):
        TensorRTBackend(content)
