"""Thin, checked wrappers of cuda-bindings: one device, pinned and device memory, a stream, a captured graph."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lmdeploy.errors import DeviceError, MissingExtraError
from lmdeploy.types import Array


@dataclass(frozen=True, slots=True)
class Gpu:
    """What of a GPU decides whether an engine fits it.

    sm: compute capability, such as 9.0. processors: number of multiprocessors (parts of one GPU, and cards of one
    name, differ in it). driver: the CUDA version that the driver goes up to, such as 13.0.
    """

    name: str
    sm: str
    processors: int
    driver: str


class Device:
    """GPU number `index`; DeviceError says why there is none, MissingExtraError that cuda-bindings is missing."""

    def __init__(self, index: int = 0) -> None:
        """Find the GPU and read its name; nothing is allocated."""
        self.runtime = _runtime()
        self.index = index
        count = self.check(self.runtime.cudaGetDeviceCount(), "looking for a GPU")
        if not 0 <= index < count:
            raise DeviceError(f"there is no GPU number {index}: {count} found; ask for device cpu, or another number")
        self.gpu = self._facts()

    def _facts(self) -> Gpu:
        facts = self.check(self.runtime.cudaGetDeviceProperties(self.index), "reading the GPU's properties")
        level = int(self.check(self.runtime.cudaDriverGetVersion(), "reading the driver's version"))
        name = facts.name.decode(errors="replace") if isinstance(facts.name, bytes) else str(facts.name)
        driver = f"{level // 1000}.{level % 1000 // 10}"
        return Gpu(name.rstrip("\0"), f"{facts.major}.{facts.minor}", int(facts.multiProcessorCount), driver)

    def use(self) -> None:
        """Make this the calling thread's device; the choice belongs to the thread, not to the process."""
        self.check(self.runtime.cudaSetDevice(self.index), f"choosing GPU {self.index}")

    def check(self, answer: tuple[Any, ...], doing: str) -> Any:
        """The value of a call of the CUDA runtime; DeviceError when it failed."""
        error, *values = answer
        if int(error) != 0:
            words = (self.runtime.cudaGetErrorName(error)[1], self.runtime.cudaGetErrorString(error)[1])
            name, text = (w.decode(errors="replace") if isinstance(w, bytes) else str(w) for w in words)
            raise DeviceError(f"CUDA fails {doing}: {text} ({name}); look at nvidia-smi, or ask for device cpu")
        return values[0] if values else None


class Buffer:
    """One named tensor: `host`, a pinned array of `shape` and `dtype`, and as many bytes on the GPU at `address`."""

    def __init__(self, device: Device, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        """Allocate both sides; what is in them is undefined but for `host`, which is zero."""
        self._device = device
        self._pinned = self.address = 0
        self.bytes = math.prod(shape) * np.dtype(dtype).itemsize
        runtime, doing = device.runtime, f"allocating {self.bytes} bytes"
        try:
            self._pinned = int(device.check(runtime.cudaMallocHost(self.bytes), f"{doing} of pinned memory"))
            self.address = int(device.check(runtime.cudaMalloc(self.bytes), f"{doing} on the GPU"))
        except DeviceError:
            self.close()
            raise
        memory = (ctypes.c_uint8 * self.bytes).from_address(self._pinned)
        self.host: Array = np.ctypeslib.as_array(memory).view(dtype).reshape(shape)
        self.host[:] = 0

    def close(self) -> None:
        """Free both sides; `host` must not be touched any more. A second call does nothing."""
        pinned, address, self._pinned, self.address = self._pinned, self.address, 0, 0
        if address:
            self._device.check(self._device.runtime.cudaFree(address), "freeing GPU memory")
        if pinned:
            self._device.check(self._device.runtime.cudaFreeHost(pinned), "freeing pinned memory")


class Stream:
    """A queue of work on the GPU, apart from the default stream (which waits for all others)."""

    def __init__(self, device: Device) -> None:
        """Make it on the calling thread's device."""
        self._device, self._runtime = device, device.runtime
        made = self._runtime.cudaStreamCreateWithFlags(self._runtime.cudaStreamNonBlocking)
        self._stream: Any = device.check(made, "making a stream")

    @property
    def handle(self) -> int:
        """What TensorRT and ONNX Runtime take."""
        return int(self._stream)

    def upload(self, buffer: Buffer) -> None:
        """Queue the copy from `host` to the GPU."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        source = buffer.host.ctypes.data
        done = self._runtime.cudaMemcpyAsync(buffer.address, source, buffer.bytes, kind, self._stream)
        self._device.check(done, "copying to the GPU")

    def download(self, buffer: Buffer) -> None:
        """Queue the copy from the GPU to `host`; there after `wait`."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        target = buffer.host.ctypes.data
        done = self._runtime.cudaMemcpyAsync(target, buffer.address, buffer.bytes, kind, self._stream)
        self._device.check(done, "copying from the GPU")

    def wait(self) -> None:
        """Return when all that was queued is done."""
        self._device.check(self._runtime.cudaStreamSynchronize(self._stream), "running the network")

    def capture(self, work: Callable[[], None]) -> Graph | None:
        """What `work` queues, as one graph; None when something in it cannot be captured. Nothing runs yet."""
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._device.check(self._runtime.cudaStreamBeginCapture(self._stream, mode), "starting a capture")
        try:
            work()
        except DeviceError:
            self._end_capture()
            return None
        except BaseException:
            self._end_capture()  # a stream left in capture takes no other work
            raise
        graph = self._end_capture()
        if graph is None:
            return None
        error, ready = self._runtime.cudaGraphInstantiate(graph, 0)
        self._runtime.cudaGraphDestroy(graph)
        if int(error) != 0:
            self._runtime.cudaGetLastError()
            return None
        return Graph(self._device, ready, self._stream)

    def _end_capture(self) -> Any:
        """The raw graph, or None; a capture that broke leaves an error behind, which is taken off here."""
        error, graph = self._runtime.cudaStreamEndCapture(self._stream)
        if int(error) != 0:
            self._runtime.cudaGetLastError()
            return None
        return graph

    def close(self) -> None:
        """Give the stream back; a second call does nothing."""
        stream, self._stream = self._stream, None
        if stream is not None:
            self._device.check(self._runtime.cudaStreamDestroy(stream), "closing a stream")


class Graph:
    """Captured work, launched at once: one call instead of hundreds of kernel launches."""

    def __init__(self, device: Device, ready: Any, stream: Any) -> None:
        """Take over an executable graph of the CUDA runtime, to be launched on the stream that it came from."""
        self._device, self._ready, self._stream = device, ready, stream

    def launch(self) -> None:
        """Queue it."""
        self._device.check(self._device.runtime.cudaGraphLaunch(self._ready, self._stream), "launching a graph")

    def close(self) -> None:
        """Give the graph back; a second call does nothing."""
        ready, self._ready = self._ready, None
        if ready is not None:
            self._device.check(self._device.runtime.cudaGraphExecDestroy(ready), "closing a graph")


def _runtime() -> Any:
    try:
        import cuda.bindings.runtime as runtime
    except ImportError as error:
        raise MissingExtraError(
            f"GPU memory needs cuda-bindings ({error}): pip install 'landmark-deploy[gpu]' (or [tensorrt])"
        ) from error
    return runtime
