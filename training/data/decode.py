"""Decodes a data set's crops into one memory-mapped file: on several threads, in order, restartable.

The draft only ever grows by whole crops in their order, so its length says how far a killed call came, and the next
call goes on from there; it gets its final name when it is complete.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from lmdeploy.dataset import Sample
from lmdeploy.errors import DataError, InputError, LmdeployError
from lmdeploy.geometry import crop_image
from lmdeploy.images import read_image
from lmdeploy.types import F64, U8
from training.engine.progress import Progress

AHEAD = 4  # crops each thread may be ahead of the writer
SPARE = 64e6  # bytes of the disk that stay free
log = logging.getLogger(__name__)


class StillDecodingError(InputError):
    """Another process is decoding the same images."""


def decode(samples: Sequence[Sample], matrices: F64, size: int, file: Path) -> None:
    """Write crops u8[N,size,size,3] RGB of all samples to `file` (.npy), all of them or nothing.

    Args:
        samples: the images.
        matrices: f64[N,2,3], image px -> crop px.
        size: side of the crops, px.
        file: its folder exists.
    Errors: InputError when the disk lacks the room, StillDecodingError when another process is at it, DataError that
    names every image that cannot be read.
    """
    draft = file.with_name(f".{file.name}.part")
    header, each = _header(len(samples), size), size * size * 3
    with os.fdopen(os.open(draft, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as stream:
        _lock(stream, file)
        if file.is_file():  # another process was a moment faster
            return
        have = os.fstat(stream.fileno()).st_size
        done = max(have - len(header), 0) // each
        try:
            _check_room(len(header) + len(samples) * each, have, file)
            stream.truncate(len(header) + done * each if have > len(header) else 0)
            stream.seek(0, os.SEEK_END)
            stream.write(header if have <= len(header) else b"")
            _append(samples[done:], matrices[done:], size, stream)
        except InputError:
            draft.unlink()
            raise
        stream.flush()
        os.fsync(stream.fileno())
        draft.replace(file)


def _append(samples: Sequence[Sample], matrices: F64, size: int, stream: BinaryIO) -> None:
    """Write the crops one after another; after the first broken image only look for further ones."""
    problems: list[str] = []
    with Progress("reading images", len(samples)) as progress:
        for crop in _crops(samples, matrices, size):
            if isinstance(crop, str):
                problems.append(crop)
            elif not problems:
                stream.write(crop.data)
            progress.advance()
    if problems:
        raise DataError(f"{len(problems)} of {len(samples)} images cannot be used: repair or remove them", problems)


def _lock(stream: BinaryIO, file: Path) -> None:
    """Keep other processes from the draft until it is closed."""
    import fcntl  # POSIX only; imported here so that the package can be imported anywhere

    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StillDecodingError(
            f"{file}: another process is decoding these images; wait for it, then call again"
        ) from error


def _crops(samples: Sequence[Sample], matrices: F64, size: int) -> Iterator[U8 | str]:
    """Every crop in its order, or what is wrong with its image; OpenCV works outside the interpreter's lock."""
    workers = torch.get_num_threads()  # what --threads and OMP_NUM_THREADS allow
    waiting: deque[Future[U8 | str]] = deque()
    with ThreadPoolExecutor(workers, "decode") as pool:
        try:
            for sample, matrix in zip(samples, matrices, strict=True):
                waiting.append(pool.submit(_crop, sample.path, matrix, size))
                if len(waiting) >= AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _crop(path: Path, matrix: F64, size: int) -> U8 | str:
    try:
        return np.ascontiguousarray(crop_image(read_image(path), matrix, size))
    except LmdeployError as error:
        return str(error)


def _header(count: int, size: int) -> bytes:
    """Header of the .npy file of u8[count,size,size,3]."""
    stream = BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
    np.lib.format.write_array_header_1_0(stream, about)
    return stream.getvalue()


def _check_room(wanted: int, have: int, file: Path) -> None:
    """Say how large the file will be; InputError where the disk lacks the room for the rest of it."""
    free = shutil.disk_usage(file.parent).free
    kept = f", {have / 1e6:,.0f} MB of them from a call before" if have else ""
    log.info("decoding images into %s: %s MB%s", file, f"{wanted / 1e6:,.0f}", kept)
    if wanted - have + SPARE > free:
        raise InputError(
            f"{file}: the decoded images take {wanted / 1e9:.1f} GB, and the disk has {free / 1e9:.1f} GB left: "
            "choose another --out, or a recipe with a smaller crop"
        )
