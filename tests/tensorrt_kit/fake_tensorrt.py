"""The `tensorrt` module as far as this project calls it; a public name that the facts lack is an AttributeError.

Engines are JSON around the ONNX file, and contexts run it with ONNX Runtime on the bytes at the addresses they were
given: what comes out of the backend under test is then either the network's answer or wrong.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from tests.tensorrt_kit.facts import FULL, members
from tests.tensorrt_kit.fake_cuda import FakeCuda

ENUMS = ("BuilderFlag", "DataType", "MemoryPoolType", "NetworkDefinitionCreationFlag", "TensorIOMode")


class Value(enum.Enum):
    """Values of the library's enumerations can be turned into numbers, but are none."""

    def __int__(self) -> int:
        return int(self.value)


class Guarded:
    """An object of the library: names without an underscore must be in `_api`, to read and to write."""

    _api: frozenset[str] = frozenset()
    _trt: FakeTensorRT

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name not in type(self)._api:
            raise AttributeError(f"{type(self).__name__} has no {name} in TensorRT {self._trt.major}")
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and name not in type(self)._api:
            raise AttributeError(f"{type(self).__name__} has no {name} in TensorRT {self._trt.major}")
        object.__setattr__(self, name, value)


class Interface:
    """What Python code derives from; its own names must be those that the library calls."""

    _api: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._made = True

    def __init_subclass__(cls) -> None:
        known = cls._api
        strange = {n for n, v in vars(cls).items() if callable(v) and not n.startswith("_")} - known
        assert not strange, f"the library never calls {strange}"


class FakeTensorRT:
    """The module of one major version.

    calls: every call that changes something, in order. refuse: names of calls that answer None or False.
    builds: how many engines were built. on_step: called at every step of a build.
    """

    def __init__(self, cuda: FakeCuda, major: str = "10") -> None:
        from tests.tensorrt_kit import fake_engine, fake_network

        self.major, self.cuda = major, cuda
        self.__version__ = FULL[major]
        self.calls: list[tuple[Any, ...]] = []
        self.refuse: set[str] = set()
        self.builds = 0
        self.on_step: Callable[[], None] | None = None
        self.parser_error = ""
        api = members(major)
        for name in ENUMS:
            setattr(self, name, Value(name, sorted(api[name]), start=0))
        for name in ("ILogger", "IProgressMonitor"):
            setattr(self, name, type(name, (Interface,), {"_api": api[name]}))
        self.ILogger.INTERNAL_ERROR, self.ILogger.ERROR, self.ILogger.INFO = 0, 1, 3
        for kind in (*fake_network.KINDS, *fake_engine.KINDS):
            known = api[kind.__name__]
            missing = {n for n in vars(kind) if not n.startswith("_")} - known
            assert not missing, f"the stand-in {kind.__name__} has {missing}, TensorRT {major} has not"
            setattr(self, kind.__name__, type(kind.__name__, (kind,), {"_api": known, "_trt": self}))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"tensorrt {self.__dict__.get('major')} has no {name} that the golden knows")

    def note(self, name: str, *values: Any) -> bool:
        """Record a call; False when it is to be refused."""
        self.calls.append((name, *values))
        return name not in self.refuse

    def called(self, name: str) -> list[tuple[Any, ...]]:
        """Arguments of all calls of that name."""
        return [call[1:] for call in self.calls if call[0] == name]
