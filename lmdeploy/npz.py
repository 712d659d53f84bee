"""Arrays of an .npz file from strangers: never pickled, never more than they may be."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError

import numpy as np

from lmdeploy.errors import BundleError
from lmdeploy.types import Array

MAX_BYTES = 1 << 28  # of all arrays asked for, unpacked: 16 crops of 1024 px are a fifth of that
UNREADABLE = (
    OSError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, RuntimeError, MemoryError, SyntaxError,
    struct.error, zlib.error, zipfile.BadZipFile, TokenError,
)  # fmt: skip


def read_arrays(path: Path, names: Sequence[str]) -> list[Array]:
    """The arrays of these names; BundleError when one is missing, broken, of Python objects, or too large."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(archive.getinfo(f"{name}.npy").file_size for name in names) > MAX_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_BYTES >> 20} MB")
            return [_read(archive, f"{name}.npy") for name in names]
    except UNREADABLE as error:
        raise BundleError(f"{path} cannot be read ({error}); export the model again") from error


def _read(archive: zipfile.ZipFile, name: str) -> Array:
    """One array, of the size that its header claims and no more than the archive says it unpacks to."""
    with archive.open(name) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        if dtype.hasobject or fortran:
            raise ValueError(f"{name} holds objects or is turned")
        size = int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize
        if not 0 <= size <= archive.getinfo(name).file_size:
            raise ValueError(f"{name} claims more than it holds")
        if not shape:
            raise ValueError(f"{name} is a single number")
        return np.frombuffer(stream.read(size), dtype).reshape(shape)
