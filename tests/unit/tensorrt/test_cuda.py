"""The checked wrappers of cuda-bindings."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy.backends.cuda import Buffer, Device, Stream
from lmdeploy.errors import DeviceError, MissingExtraError
from tests.tensorrt_kit.fake_tensorrt import FakeTensorRT


def test_what_identifies_the_gpu(trt: FakeTensorRT) -> None:
    trt.cuda.driver = 12080
    gpu = Device().gpu
    assert (gpu.name, gpu.sm, gpu.processors, gpu.driver) == ("NVIDIA H200", "9.0", 132, "12.8")


def test_no_gpu_and_no_driver_are_device_errors(trt: FakeTensorRT) -> None:
    with pytest.raises(DeviceError, match="no GPU number 3: 1 found"):
        Device(3)
    with pytest.raises(DeviceError, match="no GPU number -1"):
        Device(-1)
    trt.cuda.fail = {"cudaGetDeviceCount": 35}
    with pytest.raises(DeviceError, match=r"looking for a GPU: in words: .*\(cudaErrorOldDriver\)"):
        Device()


def test_copies_happen_when_waited_for(trt: FakeTensorRT) -> None:
    device = Device()
    device.use()
    buffer, stream = Buffer(device, (2, 3), np.float32), Stream(device)
    np.testing.assert_array_equal(buffer.host, np.zeros((2, 3)))
    buffer.host[:] = 7
    stream.upload(buffer)
    stream.wait()
    buffer.host[:] = 0
    stream.download(buffer)
    assert buffer.host.sum() == 0
    stream.wait()
    assert buffer.host.sum() == 42
    buffer.close()
    buffer.close()
    stream.close()
    stream.close()
    assert (trt.cuda.memory, trt.cuda.streams) == ({}, {})


def test_a_graph_repeats_the_work_and_captures_without_running(trt: FakeTensorRT) -> None:
    device = Device()
    device.use()
    buffer, stream = Buffer(device, (4,), np.uint8), Stream(device)
    graph = stream.capture(lambda: stream.upload(buffer))
    assert graph is not None
    stream.wait()
    buffer.host[:] = 9
    graph.launch()
    stream.wait()
    buffer.host[:] = 0
    stream.download(buffer)
    stream.wait()
    assert buffer.host.tolist() == [9] * 4
    graph.close()
    graph.close()
    assert trt.cuda.graphs == {}


def test_an_interrupted_capture_ends(trt: FakeTensorRT) -> None:
    device = Device()
    stream = Stream(device)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream.capture(interrupted)
    stream.wait()  # the stand-in, as the runtime, refuses to wait in a capture


def test_without_cuda_bindings_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cuda.bindings.runtime", None)
    with pytest.raises(MissingExtraError, match="cuda-bindings"):
        Device()


def test_the_real_cuda_bindings_answer_as_expected() -> None:
    """The installed package, with or without a driver: a Device, or a DeviceError that says what to do."""
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
    error, *values = runtime.cudaGetDeviceCount()
    if int(error) == 0 and values[0]:
        pytest.skip("this machine has a GPU")
    with pytest.raises(DeviceError, match="ask for device cpu"):
        Device()
