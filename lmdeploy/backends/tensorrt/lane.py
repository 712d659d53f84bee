"""An engine on the GPU, and the lanes on which batches of one size run."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np

from lmdeploy.backends.cuda import Buffer, Device, Graph, Stream
from lmdeploy.backends.tensorrt.library import failed, make
from lmdeploy.types import U8, Array


def open_engine(trt: Any, logger: Any, plan: bytes) -> Any:
    """The engine of a plan that was built here; None when the library refuses it (another version, GPU or driver)."""
    runtime = make(trt.Runtime, logger, "starting")
    runtime.engine_host_code_allowed = False  # the default, said aloud: a plan never brings code for the processor
    return runtime.deserialize_cuda_engine(plan)


class Lane:
    """One batch size: its own stream, context, memory and CUDA graph, none of which changes after this is made.

    A graph holds the shapes and addresses that it was captured with, and a context that is changed after a capture
    spoils its graph; so each batch size has a context of its own.

    Args:
        device: the GPU, chosen by the calling thread.
        trt: the tensorrt module.
        engine: what `open_engine` gave.
        batch: B of every run.
        profile: index of the optimisation profile that B belongs to.
        logger: where the library's errors go.
    """

    def __init__(self, device: Device, trt: Any, engine: Any, batch: int, profile: int, logger: Any) -> None:
        """Allocate, run once on zeros, then capture."""
        self._logger = logger
        self._count = 0
        self._stack = ExitStack()
        try:
            self._stream = Stream(device)
            self._stack.callback(self._stream.close)
            self._context: Any = self._make_context(engine, profile)
            self._buffers = self._bind(device, trt, engine, batch)
            self._enqueue()  # the library finishes its set-up in the first run, which cannot be captured
            self._stream.wait()
            self._graph: Graph | None = self._stream.capture(self._enqueue)
        except BaseException:
            self.close()
            raise
        if self._graph is not None:
            self._stack.callback(self._graph.close)

    @property
    def captured(self) -> bool:
        """Whether runs replay a CUDA graph; otherwise the kernels are queued one by one, with the same result."""
        return self._graph is not None

    def start(self, batch: U8) -> None:
        """Queue n <= B crops u8[n,S,S,3]; the rows up to B are filled with black."""
        self._count, images = len(batch), self._buffers["images"].host
        images[: self._count] = batch
        images[self._count :] = 0
        if self._graph is None:
            self._enqueue()
        else:
            self._graph.launch()

    def finish(self) -> dict[str, Array]:
        """Wait for them: outputs by name."""
        self._stream.wait()
        return {name: buffer.host[: self._count].copy() for name, buffer in self._outputs()}

    def replay(self) -> None:
        """Queue the network alone, on what already lies on the GPU."""
        if not self._context.execute_async_v3(self._stream.handle):
            raise failed("running the network", self._logger)

    def close(self) -> None:
        """Free everything; a second call does nothing."""
        self._stack.close()
        self._context = None

    def _make_context(self, engine: Any, profile: int) -> Any:
        context = engine.create_execution_context()
        if context is None:
            raise failed("making an execution context", self._logger)
        if not context.set_optimization_profile_async(profile, self._stream.handle):
            raise failed(f"choosing profile {profile}", self._logger)
        self._stream.wait()
        return context

    def _bind(self, device: Device, trt: Any, engine: Any, batch: int) -> dict[str, Buffer]:
        """Memory for every named tensor, at an address that stays."""
        context = self._context
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        if not context.set_input_shape("images", (batch, *tuple(engine.get_tensor_shape("images"))[1:])):
            raise failed(f"taking a batch of {batch}", self._logger)
        buffers = {}
        for name in names:
            dtype = np.uint8 if engine.get_tensor_dtype(name) == trt.DataType.UINT8 else np.float32
            buffers[name] = Buffer(device, tuple(context.get_tensor_shape(name)), dtype)
            self._stack.callback(buffers[name].close)
            if not context.set_tensor_address(name, buffers[name].address):
                raise failed(f"binding {name}", self._logger)
        return buffers

    def _enqueue(self) -> None:
        self._stream.upload(self._buffers["images"])
        self.replay()
        for _, buffer in self._outputs():
            self._stream.download(buffer)

    def _outputs(self) -> list[tuple[str, Buffer]]:
        return [(name, buffer) for name, buffer in self._buffers.items() if name != "images"]
