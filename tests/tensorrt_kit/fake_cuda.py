"""A CUDA runtime on host memory: work waits on its stream until somebody waits for it, as on a GPU.

Names, numbers of parameters and values are those of cuda-bindings (golden/tensorrt/cuda.json).
"""

from __future__ import annotations

import ctypes
import enum
import inspect
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from tests.tensorrt_kit.facts import golden

Work = Callable[[], None]
ERRORS = {0: b"cudaSuccess", 1: b"cudaErrorInvalidValue", 2: b"cudaErrorMemoryAllocation", 35: b"cudaErrorOldDriver"}


class FakeStream:
    """A stream's handle; `captured` is a list of work while a capture runs."""

    def __init__(self, number: int) -> None:
        self.number, self.queue, self.captured, self.broken = number, [], None, False

    def __int__(self) -> int:
        return self.number

    def add(self, work: Work) -> None:
        (self.queue if self.captured is None else self.captured).append(work)


class FakeCuda:
    """The functions of cuda.bindings.runtime that the golden knows; `calls` are their names in order.

    fail: error number by function name, answered instead of doing anything.
    """

    def __init__(self, *, devices: int = 1, driver: int = 13000, name: bytes = b"NVIDIA H200") -> None:
        facts = golden("cuda")
        self._functions = facts["functions"]
        self.devices, self.driver = devices, driver
        self.props = SimpleNamespace(name=name + b"\0\0", major=9, minor=0, multiProcessorCount=132)
        self.calls: list[str] = []
        self.fail: dict[str, int] = {}
        self.memory: dict[int, Any] = {}
        self.streams: dict[int, FakeStream] = {}
        self.graphs: dict[int, list[Work]] = {}
        self.device: int | None = None
        self._numbers = itertools.count(1001)
        for kind, names in facts["values"].items():
            setattr(self, kind, enum.IntEnum(kind, names, start=1))
        for index, constant in enumerate(facts["constants"]):
            setattr(self, constant, index + 1)

    def __getattr__(self, name: str) -> Callable[..., tuple[Any, ...]]:
        if name not in self.__dict__.get("_functions", {}):
            raise AttributeError(f"cuda.bindings.runtime has no {name} in the golden")
        method = getattr(type(self), f"do_{name}")
        assert len(inspect.signature(method).parameters) - 1 == self._functions[name], name

        def call(*arguments: Any) -> tuple[Any, ...]:
            assert len(arguments) == self._functions[name], f"{name} takes {self._functions[name]} arguments"
            self.calls.append(name)
            if name in self.fail:
                if name == "cudaStreamEndCapture":
                    method(self, *arguments)  # the capture is over, whatever the answer is
                return (self.fail[name], None)
            answer = method(self, *arguments)
            return (0,) if answer is None else (0, answer)

        return call

    def count(self, name: str) -> int:
        """How often a function was called."""
        return self.calls.count(name)

    def view(self, address: int, size: int) -> Any:
        """The bytes at an address that was allocated with at least this size."""
        assert address in self.memory, f"{address:#x} was never allocated, or is freed"
        assert size <= len(self.memory[address]), f"{size} bytes of {len(self.memory[address])}"
        return self.memory[address]

    def do_cudaGetDeviceCount(self) -> int:
        return self.devices

    def do_cudaDriverGetVersion(self) -> int:
        return self.driver

    def do_cudaGetDeviceProperties(self, _index: int) -> Any:
        return self.props

    def do_cudaSetDevice(self, index: int) -> None:
        self.device = index

    def do_cudaGetErrorName(self, error: int) -> bytes:
        return ERRORS[error]

    def do_cudaGetErrorString(self, error: int) -> bytes:
        return b"in words: " + ERRORS[error]

    def do_cudaGetLastError(self) -> None:
        return None

    def do_cudaMalloc(self, size: int) -> int:
        assert self.device is not None, "memory before a device is chosen"
        block = (ctypes.c_uint8 * size)(*([255] * min(size, 64)))  # not zero: nobody may count on it
        address = ctypes.addressof(block)
        self.memory[address] = block
        return address

    do_cudaMallocHost = do_cudaMalloc

    def do_cudaFree(self, address: int) -> None:
        del self.memory[address]

    do_cudaFreeHost = do_cudaFree

    def do_cudaStreamCreateWithFlags(self, flags: int) -> FakeStream:
        assert flags == self.cudaStreamNonBlocking
        stream = FakeStream(next(self._numbers))
        self.streams[int(stream)] = stream
        return stream

    def do_cudaStreamDestroy(self, stream: FakeStream) -> None:
        assert stream.captured is None, "a stream in capture"
        del self.streams[int(stream)]

    def do_cudaMemcpyAsync(self, target: int, source: int, size: int, kind: Any, stream: FakeStream) -> None:
        assert kind in self.cudaMemcpyKind
        to, of = self.view(target, size), self.view(source, size)
        stream.add(lambda: ctypes.memmove(to, of, size) and None)

    def do_cudaStreamSynchronize(self, stream: FakeStream) -> None:
        assert stream.captured is None, "waiting is forbidden in a capture"
        queue, stream.queue = stream.queue, []
        for work in queue:
            work()

    def do_cudaStreamBeginCapture(self, stream: FakeStream, mode: Any) -> None:
        assert mode in self.cudaStreamCaptureMode
        stream.captured, stream.broken = [], False

    def do_cudaStreamEndCapture(self, stream: FakeStream) -> int:
        work, stream.captured = stream.captured, None
        assert work is not None
        number = next(self._numbers)
        self.graphs[number] = work
        return number

    def do_cudaGraphInstantiate(self, graph: int, flags: int) -> int:
        assert flags == 0
        number = next(self._numbers)
        self.graphs[number] = list(self.graphs[graph])
        return number

    def do_cudaGraphDestroy(self, graph: int) -> None:
        del self.graphs[graph]

    do_cudaGraphExecDestroy = do_cudaGraphDestroy

    def do_cudaGraphLaunch(self, graph: int, stream: FakeStream) -> None:
        for work in self.graphs[graph]:
            stream.add(work)
