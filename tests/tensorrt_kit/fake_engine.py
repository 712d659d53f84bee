"""The running half of the stand-in: runtime, engine, execution context."""

from __future__ import annotations

import base64
import ctypes
import json
import math
from typing import Any

import numpy as np
import onnxruntime

from tests.tensorrt_kit.fake_tensorrt import Guarded


class Runtime(Guarded):
    def __init__(self, logger: Any) -> None:
        assert logger._made
        self._logger = logger
        self.engine_host_code_allowed = False

    def __setattr__(self, name: str, value: Any) -> None:
        assert name != "engine_host_code_allowed" or value is False, "host code is allowed"
        super().__setattr__(name, value)

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        told = json.loads(plan)
        if not self._trt.note("deserialize_cuda_engine") or told["version"] != self._trt.__version__:
            self._logger.log(self._trt.ILogger.ERROR, "the plan is of another version")
            return None
        return self._trt.ICudaEngine(told, self._logger)


class ICudaEngine(Guarded):
    def __init__(self, plan: dict[str, Any], logger: Any) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        content = base64.b64decode(plan["onnx"])
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._profiles, self._logger = plan["profiles"], logger
        self._io = {i.name: i for i in (*self._session.get_inputs(), *self._session.get_outputs())}

    @property
    def num_io_tensors(self) -> int:
        return len(self._io)

    def get_tensor_name(self, index: int) -> str:
        return list(self._io)[index]

    def get_tensor_mode(self, name: str) -> Any:
        return self._trt.TensorIOMode.INPUT if name == "images" else self._trt.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return self._trt.DataType.UINT8 if self._io[name].type == "tensor(uint8)" else self._trt.DataType.FLOAT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(d if isinstance(d, int) else -1 for d in self._io[name].shape)

    def create_execution_context(self) -> Any:
        return self._trt.IExecutionContext(self) if self._trt.note("create_execution_context") else None


class IExecutionContext(Guarded):
    """Refuses shapes outside its profile; a capture before the first run, and a graph of a context changed since."""

    def __init__(self, engine: Any) -> None:
        self._engine, self._profile = engine, 0
        self._batch = self._changes = 0
        self._addresses: dict[str, int] = {}
        self._warm = False

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        assert stream in self._trt.cuda.streams
        self._profile = index
        return self._trt.note("set_optimization_profile_async", index)

    def set_input_shape(self, name: str, shape: Any) -> bool:
        smallest, _, largest = self._engine._profiles[self._profile][name]
        self._batch, self._warm = shape[0], False
        self._changes += 1
        inside = all(a <= s <= b for a, s, b in zip(smallest, shape, largest, strict=True))
        return self._trt.note("set_input_shape", name, tuple(shape)) and inside

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(d if d >= 0 else self._batch for d in self._engine.get_tensor_shape(name))

    def set_tensor_address(self, name: str, address: int) -> bool:
        size = math.prod(self.get_tensor_shape(name)) * (1 if name == "images" else 4)
        self._trt.cuda.view(address, size)
        self._addresses[name] = address
        self._changes += 1
        return self._trt.note("set_tensor_address", name)

    def execute_async_v3(self, stream: int) -> bool:
        assert set(self._addresses) == set(self._engine._io), "a tensor has no memory"
        queue = self._trt.cuda.streams[stream]  # the default stream, 0, is none of them
        going = self._trt.note("execute_async_v3", stream)
        if not going or (queue.captured is not None and (not self._warm or "capture" in self._trt.refuse)):
            self._engine._logger.log(self._trt.ILogger.ERROR, "the stream cannot be captured")
            return False
        self._warm = True
        changes = self._changes

        def work() -> None:
            assert changes == self._changes, "the context was changed after this was queued"
            self._compute()

        queue.add(work)
        return True

    def _compute(self) -> None:
        memory = self._trt.cuda.memory
        images = np.frombuffer(memory[self._addresses["images"]], np.uint8).reshape(self.get_tensor_shape("images"))
        names = [name for name in self._engine._io if name != "images"]
        for name, value in zip(names, self._engine._session.run(names, {"images": images}), strict=True):
            raw = np.ascontiguousarray(value, np.float32).tobytes()
            ctypes.memmove(memory[self._addresses[name]], raw, len(raw))


KINDS = (Runtime, ICudaEngine, IExecutionContext)
