"""Matlab files (version 5) through SciPy, with one sentence for whatever is wrong with them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

from lmdeploy.errors import InputError
from lmdeploy.types import Array


def read_mat(path: Path, names: Sequence[str]) -> dict[str, Array]:
    """The variables `names` of a .mat file; InputError when it is missing, cut short, or lacks one of them."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found = loadmat(str(path), variable_names=list(names))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    # SciPy has no error of its own for a damaged file: which of these comes depends on where it is cut
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        NotImplementedError,
        zlib.error,
        MatReadError,
    ) as error:
        raise InputError(f"{path}: not a readable .mat file, copy it again ({error})") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(f"{path}: no variable {missing[0]!r} in it, so it is another file or was cut short")
    return {name: found[name] for name in names}
