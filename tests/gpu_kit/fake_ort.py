"""The `onnxruntime` module with a CUDA provider whose sessions compute on the processor, on the fake CUDA memory.

A run of a session that was given a stream waits on that stream, as a GPU's does: whoever reads the outputs before the
stream is waited for, or copies inputs after the run was queued, gets something else than the network's answer. Sizes
and addresses of a session that captures a graph must stay what they were in its first run.
"""

from __future__ import annotations

from typing import Any

import onnxruntime

from tests.tensorrt_kit.fake_cuda import FakeCuda

CUDA = "CUDAExecutionProvider"


class FakeOrt:
    """Everything else is the real module's.

    sessions: options of every CUDA session that was opened, in order. fail: raised by such sessions, if not None.
    """

    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda, self.sessions, self.runs = cuda, [], 0
        self.fail_open: Exception | None = None
        self.fail_run: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    def get_available_providers(self) -> list[str]:
        return [CUDA, "CPUExecutionProvider"]

    def preload_dlls(self) -> None:
        return None

    def InferenceSession(self, source: Any, options: Any = None, **how: Any) -> Any:  # its name
        wanted = how.get("providers", [])
        about = next((p[1] for p in wanted if isinstance(p, tuple) and p[0] == CUDA), None)
        real = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        if about is None:
            return real
        if self.fail_open and "enable_cuda_graph" in about:
            raise self.fail_open
        self.sessions.append(about)
        return FakeSession(self, real, about)


class FakeSession:
    """A session on the GPU that is not there."""

    def __init__(self, ort: FakeOrt, real: Any, about: dict[str, str]) -> None:
        self._ort, self._real, self._about = ort, real, about
        self._captured: tuple[Any, ...] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def get_providers(self) -> list[str]:
        return [CUDA, "CPUExecutionProvider"]

    def io_binding(self) -> Any:
        return FakeBinding(self._ort.cuda, self._real.io_binding())

    def run_with_iobinding(self, binding: FakeBinding, options: Any) -> None:
        if self._ort.fail_run:
            raise self._ort.fail_run
        assert options.get_run_config_entry("disable_synchronize_execution_providers") == "1"
        assert self._about["enable_cuda_graph"] == "1"
        shapes = [d for value in self._real.get_inputs() for d in value.shape]
        assert all(isinstance(d, int) for d in shapes), f"a graph is captured of open sizes {shapes}"
        self._captured = self._captured or tuple(binding.bound)
        assert tuple(binding.bound) == self._captured, "a graph replays with the addresses of its capture"
        stream = self._ort.cuda.streams[int(self._about["user_compute_stream"])]
        self._ort.runs += 1
        stream.add(lambda: self._real.run_with_iobinding(binding.real))


class FakeBinding:
    """Device addresses are host addresses here."""

    def __init__(self, cuda: FakeCuda, real: Any) -> None:
        self.bound: list[tuple[Any, ...]] = []
        self._cuda, self.real = cuda, real

    def bind_input(self, name: str, *where: Any) -> None:
        self._bind(self.real.bind_input, name, *where)

    def bind_output(self, name: str, *where: Any) -> None:
        self._bind(self.real.bind_output, name, *where)

    def _bind(self, bind: Any, name: str, kind: str, index: int, dtype: Any, shape: list[int], address: int) -> None:
        assert (kind, index) == ("cuda", 0)
        size = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype).tensor_size_in_bytes()
        self._cuda.view(address, size)
        self.bound.append((name, tuple(shape), address))
        bind(name, "cpu", 0, dtype, shape, address)
