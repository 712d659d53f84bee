"""The building half of the stand-in: builder, network, parser, configuration, profiles, timing cache."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import onnx

from tests.tensorrt_kit.fake_tensorrt import Guarded


class IHostMemory(Guarded):
    def __init__(self, content: bytes) -> None:
        self._content = content

    def __bytes__(self) -> bytes:
        return self._content


class ITensor(Guarded):
    def __init__(self, name: str, dtype: Any, shape: tuple[int, ...]) -> None:
        self.name, self.dtype, self.shape = name, dtype, shape


class INetworkDefinition(Guarded):
    def __init__(self, flags: int) -> None:
        self._flags, self._onnx = flags, b""
        self._tensors: tuple[list[Any], list[Any]] = ([], [])

    @property
    def num_inputs(self) -> int:
        return len(self._tensors[0])

    @property
    def num_outputs(self) -> int:
        return len(self._tensors[1])

    def get_input(self, index: int) -> Any:
        return self._tensors[0][index]

    def get_output(self, index: int) -> Any:
        return self._tensors[1][index]


class ParserError(Guarded):
    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return f"In node 7 (frob): {self._text}"


class OnnxParser(Guarded):
    def __init__(self, network: Any, logger: Any) -> None:
        assert logger._made
        self._network, self._errors = network, []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> Any:
        return self._errors[index]

    def parse(self, content: bytes) -> bool:
        if self._trt.parser_error:
            self._errors.append(self._trt.ParserError(self._trt.parser_error))
            return False
        graph = onnx.load_from_string(content).graph
        types = {onnx.TensorProto.UINT8: "UINT8", onnx.TensorProto.FLOAT: "FLOAT"}
        for group, values in zip(self._network._tensors, (graph.input, graph.output), strict=True):
            for value in values:
                told = value.type.tensor_type
                shape = tuple(d.dim_value or -1 for d in told.shape.dim)
                dtype = self._trt.DataType[types.get(told.elem_type, "INT64")]
                group.append(self._trt.ITensor(value.name, dtype, shape))
        self._network._onnx = content
        return True


class IOptimizationProfile(Guarded):
    def __init__(self) -> None:
        self._shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(self, name: str, smallest: Any, best: Any, largest: Any) -> None:
        self._shapes[name] = (tuple(smallest), tuple(best), tuple(largest))


class ITimingCache(Guarded):
    """Serialised as the version that made it and the layers that it knows."""

    def __init__(self, content: bytes) -> None:
        told = json.loads(content) if content else {"version": self._trt.__version__, "layers": []}
        self._version, self._layers = told["version"], list(told["layers"])

    def serialize(self) -> Any:
        text = json.dumps({"version": self._version, "layers": self._layers})
        return self._trt.IHostMemory(text.encode())


class IBuilderConfig(Guarded):
    def __init__(self) -> None:
        self._flags = {"TF32"}
        self._profiles: list[Any] = []
        self._cache: Any = None
        self._limits: dict[str, int] = {}
        self.builder_optimization_level = 3
        self.progress_monitor: Any = None

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self._limits[pool.name] = size

    def set_flag(self, flag: Any) -> None:
        self._flags.add(flag.name)

    def clear_flag(self, flag: Any) -> None:
        self._flags.discard(flag.name)

    def create_timing_cache(self, content: bytes) -> Any:
        return self._trt.ITimingCache(content)

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if cache._version != self._trt.__version__:
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return self._cache

    def add_optimization_profile(self, profile: Any) -> int:
        self._profiles.append(profile._shapes)
        return len(self._profiles) - 1 if self._trt.note("add_optimization_profile") else -1


class Builder(Guarded):
    def __init__(self, logger: Any) -> None:
        if "Builder" in self._trt.refuse:
            logger.log(self._trt.ILogger.ERROR, "no GPU that works")
            raise TypeError("factory function returned nullptr")
        assert logger._made
        self._logger = logger

    def create_network(self, flags: int) -> Any:
        self._trt.note("create_network", flags)
        return self._trt.INetworkDefinition(flags)

    def create_builder_config(self) -> Any:
        return self._trt.IBuilderConfig()

    def create_optimization_profile(self) -> Any:
        return self._trt.IOptimizationProfile()

    def build_serialized_network(self, network: Any, config: Any) -> Any:
        trt = self._trt
        going = trt.note(
            "build_serialized_network", config._flags, config._profiles, config._limits, config._cache._layers.copy()
        )
        done = _walk(trt, config.progress_monitor)
        if not going or not done:
            self._logger.log(trt.ILogger.INFO, "chatter")
            self._logger.log(trt.ILogger.ERROR, "no kernel fits")
            return None
        trt.builds += 1
        config._cache._layers.append(hashlib.sha256(network._onnx).hexdigest())
        plan = {"version": trt.__version__, "onnx": base64.b64encode(network._onnx).decode()}
        return trt.IHostMemory(json.dumps({**plan, "profiles": config._profiles}).encode())


def _walk(trt: Any, monitor: Any) -> bool:
    """A build's phases, one inside the other; False when the monitor asks to stop."""
    assert monitor._made
    monitor.phase_start("Building Engine", None, 2)
    going = True
    for outer in range(2):
        monitor.phase_start(f"Part {outer}", "Building Engine", 3)
        for step in range(3):
            if trt.on_step is not None:
                trt.on_step()
            going = going and monitor.step_complete(f"Part {outer}", step)
        monitor.phase_finish(f"Part {outer}")
        going = going and monitor.step_complete("Building Engine", outer)
    monitor.phase_finish("Building Engine")
    return going


KINDS = (
    Builder,
    IBuilderConfig,
    IHostMemory,
    INetworkDefinition,
    IOptimizationProfile,
    ITensor,
    ITimingCache,
    OnnxParser,
    ParserError,
)
