"""Engines built on this machine, kept under a key of everything that invalidates them.

An engine is code for one GPU and one version of the library, so it is never taken from anywhere else: a file is used
only from a folder that nobody else can write to, only when it says that it was made of the same things, and only when
its sha256 is the one written with it. Anything else is built again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from lmdeploy.backends.cuda import Gpu
from lmdeploy.backends.tensorrt.builder import Built
from lmdeploy.backends.tensorrt.options import BuildOptions
from lmdeploy.backends.tensorrt.seal import read_sealed, write_sealed
from lmdeploy.bundle import canonical_json
from lmdeploy.errors import DeviceError, InputError

T = TypeVar("T")
WRITE_BY_OTHERS = 0o022


class MadeOf(BaseModel):
    """Everything that an engine depends on; another value of any of it is another engine.

    layout: of the cache's files; raised when the code that builds changes what it asks for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    onnx_sha256: str
    tensorrt: str
    gpu: str
    sm: str
    processors: int
    driver: str
    system: str
    options: BuildOptions
    layout: int = 1

    @property
    def key(self) -> str:
        """Hex sha256 of all of it."""
        return hashlib.sha256(canonical_json(self).encode()).hexdigest()

    @property
    def timing(self) -> dict[str, Any]:
        """What kernel timings depend on: not the network, nor its batch sizes."""
        return {**self.model_dump(mode="json", exclude={"onnx_sha256", "options"}), "tf32": self.options.tf32}


def made_of(onnx: bytes, tensorrt: str, gpu: Gpu, options: BuildOptions) -> MadeOf:
    """The ingredients of an engine that is to run on this machine."""
    system = f"{platform.system()} {platform.machine()}"
    return MadeOf(
        onnx_sha256=hashlib.sha256(onnx).hexdigest(), tensorrt=tensorrt, gpu=gpu.name, sm=gpu.sm,
        processors=gpu.processors, driver=gpu.driver, system=system, options=options,
    )  # fmt: skip


def default_folder() -> Path:
    """Where engines are kept: XDG_CACHE_HOME or ~/.cache, then lmdeploy/tensorrt."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "lmdeploy" / "tensorrt"


class EngineCache:
    """A folder of engines of one user on one machine; several processes may use it at once."""

    def __init__(self, folder: Path | None = None, tell: Callable[[str], None] = lambda _: None) -> None:
        """Make the folder; DeviceError when it cannot be made or others may write to it. `tell` says why one waits."""
        self.folder = default_folder() if folder is None else folder
        self._tell = tell
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise DeviceError(
                f"{self.folder} cannot be made ({error.strerror}); choose another cache folder"
            ) from error
        found = self.folder.stat()
        if os.name == "posix" and (found.st_uid != os.geteuid() or found.st_mode & WRITE_BY_OTHERS):
            raise DeviceError(
                f"{self.folder} can be written to by others, and an engine is code: chmod go-w it, or choose another"
            )

    def path(self, made: MadeOf) -> Path:
        """Where an engine is, once it is built."""
        return self.folder / f"{made.key}.engine"

    def obtain(self, made: MadeOf, build: Callable[[bytes], Built], opened: Callable[[bytes], T | None]) -> T:
        """The engine, from the cache or else built.

        Args:
            made: its ingredients.
            build: timings of earlier builds -> engine and timings.
            opened: what the library makes of an engine's bytes; None when it refuses them.
        Only one process at a time builds: two would disturb each other's timings, and the second mostly finds what
        the first has built.
        """
        found = self._open(made, opened)
        if found is not None:
            return found
        with self._alone():
            found = self._open(made, opened)
            if found is not None:
                return found
            self._sweep()
            self._tell(f"building a TensorRT engine for {made.gpu}: this takes minutes, once")
            built = build(read_sealed(self._timing_path(made), made.timing) or b"")
            found = opened(built.plan)
            if found is None:
                raise DeviceError("TensorRT refuses the engine that it has just built; ask for device cuda or cpu")
            self._keep(made, built)
        return found

    def _keep(self, made: MadeOf, built: Built) -> None:
        """Write both files; a full disk costs the next start its minutes, not this one its engine."""
        try:
            write_sealed(self.path(made), made.model_dump(mode="json"), built.plan)
            if built.timing:
                write_sealed(self._timing_path(made), made.timing, built.timing)
        except InputError as error:
            self._tell(f"the TensorRT engine is not kept for the next start: {error}")

    def _open(self, made: MadeOf, opened: Callable[[bytes], T | None]) -> T | None:
        plan = read_sealed(self.path(made), made.model_dump(mode="json"))
        return None if plan is None else opened(plan)

    def _timing_path(self, made: MadeOf) -> Path:
        name = hashlib.sha256(json.dumps(made.timing, sort_keys=True).encode()).hexdigest()
        return self.folder / f"{name}.timing"

    def _sweep(self) -> None:
        """Remove what a writer left that was killed; nobody else writes while the lock is held."""
        for draft in self.folder.glob(".*.part"):
            draft.unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for, then hold the folder's lock; the system frees it when its holder dies."""
        import fcntl  # POSIX only; imported here so that the package can be imported anywhere

        try:
            handle = os.open(self.folder / "build.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DeviceError(f"{self.folder} cannot be written to ({error.strerror}); choose another") from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._tell("another process is building a TensorRT engine: waiting for it")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
