"""Put both stand-ins where `import tensorrt` and `import cuda.bindings.runtime` find them."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from tests.tensorrt_kit.fake_cuda import FakeCuda
from tests.tensorrt_kit.fake_tensorrt import FakeTensorRT


def modules(cuda: FakeCuda, trt: FakeTensorRT) -> dict[str, Any]:
    """Entries of sys.modules."""
    outer, bindings = ModuleType("cuda"), ModuleType("cuda.bindings")
    outer.bindings, bindings.runtime = bindings, cuda  # type: ignore[attr-defined]  # as packages have it
    return {"tensorrt": trt, "cuda": outer, "cuda.bindings": bindings, "cuda.bindings.runtime": cuda}


def install(major: str = "10") -> FakeTensorRT:
    """For a process of its own."""
    cuda = FakeCuda()
    trt = FakeTensorRT(cuda, major)
    sys.modules.update(modules(cuda, trt))
    return trt
