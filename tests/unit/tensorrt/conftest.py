"""The stand-ins in place of both libraries, of each major version."""

from __future__ import annotations

import sys

import pytest

from tests.tensorrt_kit.fake_cuda import FakeCuda
from tests.tensorrt_kit.fake_tensorrt import FakeTensorRT
from tests.tensorrt_kit.installed import modules
from tests.tiny_bundle import mixing, tiny_onnx


@pytest.fixture(scope="session")
def content() -> bytes:
    """The network that finds three blobs, and two points more, on 32 px crops."""
    return tiny_onnx(32, mixing(5))


@pytest.fixture(params=["10", "11"])
def trt(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    """TensorRT 10 and 11 on one GPU."""
    cuda = FakeCuda()
    fake = FakeTensorRT(cuda, request.param)
    for name, module in modules(cuda, fake).items():
        monkeypatch.setitem(sys.modules, name, module)
    return fake


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Exports that take minutes run when they are asked for."""
    if "slow" in str(config.option.markexpr):
        return
    for item in items:
        if item.get_closest_marker("slow") is not None:
            item.add_marker(pytest.mark.skip(reason="takes minutes: ask for it with -m slow"))
