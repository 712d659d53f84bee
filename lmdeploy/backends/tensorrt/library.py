"""The TensorRT library itself: which versions are good, whether it can be used here, and its error messages."""

from __future__ import annotations

from typing import Any

from lmdeploy.errors import DeviceError, MissingExtraError

FIRST, BEYOND = (10, 12), (12, 0)
"""10.12 is the first whose strongly typed networks are those of 11; what 12 removes is not known yet."""
INSTALL = "pip install 'landmark-deploy[tensorrt]'"


def load() -> Any:
    """The `tensorrt` module; MissingExtraError without it or with a version that this code is not written for."""
    try:
        import tensorrt as trt
    except (ImportError, OSError) as error:  # OSError: the package is there, a library that it loads is not
        raise MissingExtraError(f"TensorRT cannot be imported ({error}): {INSTALL}") from error
    numbers = version(trt).split(".")[:2]
    found = tuple(int(n) for n in numbers) if all(n.isdigit() for n in numbers) else (0, 0)
    if not FIRST <= found < BEYOND:
        raise MissingExtraError(f"TensorRT {version(trt)} is installed, but 10.12 or later or 11 is needed: {INSTALL}")
    return trt


def version(trt: Any) -> str:
    """Such as 10.16.1.11; an engine is good for exactly this version."""
    return str(getattr(trt, "__version__", "of unknown version"))  # a folder of that name is a module, too


def make_logger(trt: Any) -> Any:
    """A logger that keeps the errors in `lines` and prints nothing: standard output is where results go."""

    class Errors(trt.ILogger):  # type: ignore[misc]  # tensorrt has no stubs
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # the bindings want it by name, not through super()
            self.lines: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.lines.append(str(msg).strip())

    return Errors()


def make(kind: Any, logger: Any, doing: str) -> Any:
    """One of the library's starting points; where it cannot be made, the bindings only raise a TypeError."""
    try:
        return kind(logger)
    except TypeError as error:
        raise failed(doing, logger) from error


def failed(doing: str, logger: Any) -> DeviceError:
    """The error for a call that answered with None or False: the library's own last words are in its log."""
    said = f" ({logger.lines[-1]})" if logger.lines else ""
    return DeviceError(f"TensorRT fails {doing}{said}; free memory on the GPU, or ask for device cuda or cpu")
