"""ONNX Runtime on a GPU for one set of shapes: memory that stays, copies of our own, kernels replayed as a CUDA graph.

The session's sizes are fixed, so that no shape is computed while it runs and every operator can stay on the GPU, which
the provider asks for before it captures. What goes in and out lies at addresses of our own, pinned on the host's side,
and everything is queued on one stream of our own: copy in, replay, copy out, and then the next lane's turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lmdeploy.backends.cuda import Buffer, Device, Stream
from lmdeploy.backends.ort import CPU, CUDA, first_line, import_onnxruntime, load_errors, session_options
from lmdeploy.backends.turns import Named
from lmdeploy.errors import DeviceError

Shape = tuple[int, ...]
NUMBERS: dict[str, type[np.generic]] = {
    "tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(int32)": np.int32,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sizes:
    """Shapes of a network's inputs and outputs by name, all of them numbers."""

    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]


class OrtLane:
    """A session on the GPU for one set of shapes, with its own stream and memory.

    Args:
        device: the GPU, chosen by the calling thread.
        source: the ONNX file.
        sizes: of every input and output.
    Errors: DeviceError when the provider does not start, does not run, or runs somewhere else.
    """

    def __init__(self, device: Device, source: Path, sizes: Sizes) -> None:
        """Load, allocate, and run on zeros, in which the provider captures its graph."""
        self._stack = ExitStack()
        self._waiting = False
        try:
            self._stream = Stream(device)
            self._stack.callback(self._stream.close)
            self._session: Any = _session(source, sizes, device.index, self._stream.handle)
            self._inputs = self._allocate(device, sizes.inputs, self._session.get_inputs())
            self._outputs = self._allocate(device, sizes.outputs, self._session.get_outputs())
            self._binding = self._bind(device.index)
            self._options = _run_options()
            self.start({name: buffer.host.copy() for name, buffer in self._inputs.items()})
            self.finish()
        except BaseException:
            self.close()
            raise

    def start(self, batch: Named) -> None:
        """Queue inputs by name; of an input with fewer rows than its shape, the rest stays as it was."""
        for name, buffer in self._inputs.items():
            buffer.host[: len(batch[name])] = batch[name]
            self._stream.upload(buffer)
        self.replay()
        for buffer in self._outputs.values():
            self._stream.download(buffer)
        self._waiting = True

    def replay(self) -> None:
        """Queue the network alone, on what already lies on the GPU."""
        try:
            self._session.run_with_iobinding(self._binding, self._options)
        except load_errors() as error:
            raise DeviceError(f"{CUDA} fails ({first_line(error)}); give fewer crops at once") from error

    def finish(self) -> Named:
        """The outputs by name, all rows, once they are there."""
        self._stream.wait()
        self._waiting = False
        return {name: buffer.host.copy() for name, buffer in self._outputs.items()}

    def close(self) -> None:
        """Free everything, after what is queued; a second call does nothing."""
        if self._waiting:
            self.finish()
        self._binding = self._session = None
        self._stack.close()

    def _allocate(self, device: Device, shapes: Mapping[str, Shape], tensors: list[Any]) -> dict[str, Buffer]:
        types = {tensor.name: NUMBERS[tensor.type] for tensor in tensors}
        buffers = {}
        for name, shape in shapes.items():
            buffers[name] = Buffer(device, shape, types[name])
            self._stack.callback(buffers[name].close)
        return buffers

    def _bind(self, index: int) -> Any:
        binding = self._session.io_binding()
        for bind, buffers in ((binding.bind_input, self._inputs), (binding.bind_output, self._outputs)):
            for name, buffer in buffers.items():
                bind(name, "cuda", index, buffer.host.dtype.type, list(buffer.host.shape), buffer.address)
        return binding


def _session(source: Path, sizes: Sizes, index: int, stream: int) -> Any:
    """A session with every size fixed, on our stream; DeviceError where CUDA does not take it."""
    ort = import_onnxruntime()
    options = session_options(1, spin=False)
    about = {
        "device_id": str(index),
        "use_tf32": "0",  # who takes the float32 file wants float32's points
        "user_compute_stream": str(stream),
        "enable_cuda_graph": "1",
    }
    try:
        for name, size in _open_sizes(ort, source, sizes).items():
            options.add_free_dimension_override_by_name(name, size)
        session = ort.InferenceSession(str(source), options, providers=[(CUDA, about), CPU], enable_fallback=0)
    except load_errors() as error:
        raise DeviceError(f"{CUDA} does not start with fixed sizes ({first_line(error)})") from error
    if session.get_providers()[0] != CUDA:
        raise DeviceError(f"{CUDA} was asked for but {session.get_providers()[0]} is in use")
    return session


def _open_sizes(ort: Any, source: Path, sizes: Sizes) -> dict[str, int]:
    """Value by name of the sizes that the file leaves open."""
    options = session_options(1, spin=False)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # it is only asked for its names
    told = ort.InferenceSession(str(source), options, providers=[CPU]).get_inputs()
    if {tensor.name for tensor in told} != set(sizes.inputs):
        raise DeviceError(
            f"{source} takes {sorted(t.name for t in told)}, not {sorted(sizes.inputs)}; export it again"
        )
    found: dict[str, int] = {}
    for tensor in told:
        named = zip(tensor.shape, sizes.inputs[tensor.name], strict=True)
        found |= {name: size for name, size in named if isinstance(name, str)}
    return found


def _run_options() -> Any:
    options = import_onnxruntime().RunOptions()
    options.log_severity_level = 4
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")  # `finish` waits for the stream
    return options
