"""What is checked of a bundle's files and description before they are believed; each refusal says what to do."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from pydantic import ValidationError

from lmdeploy.errors import BundleError

MAX_FILE_BYTES = 1 << 31
BUILT_IN = Path(__file__).parent / "models"  # installers may link what they unpack


def unread_version(origin: str | Path, version: object, known: int) -> BundleError | None:
    """Why a description of that schema version cannot be read; None where it can."""
    if isinstance(version, int) and not isinstance(version, bool) and 1 <= version <= known:
        return None
    if isinstance(version, int) and version > known:
        return BundleError(
            f"{origin}: schema version {version}, this lmdeploy reads up to {known}: update it with "
            "'pip install -U landmark-deploy'"
        )
    return BundleError(f"{origin}: schema version {version!r} was never written; export the model again")


def invalid(origin: str | Path, error: ValidationError) -> BundleError:
    """The first thing that is wrong with a description."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:80]
    return BundleError(f"{origin}: {where}: {first['msg']}; export the model again")


def regular_size(file: Path) -> int:
    """The file's size; a pipe or device would be waited on for ever, and links may lead anywhere."""
    about = file.stat()
    if not stat.S_ISREG(about.st_mode):
        raise BundleError(f"{file} is no regular file; copy the whole bundle again")
    leaves = file.is_symlink() and file.resolve().parent != file.parent.resolve()
    if leaves and not file.is_relative_to(BUILT_IN):
        raise BundleError(f"{file} is a link that leaves the bundle; copy the bundle with its files (cp -rL)")
    return about.st_size


def verify(folder: Path, name: str, size: int, sha256: str) -> None:
    """BundleError unless a bundle's file has that size and hash, and is the bundle's own."""
    if Path(name).name != name or name in {"", ".", ".."} or "\\" in name or not name.isprintable():
        raise BundleError(f"{folder}: file name {name!r} leaves the bundle; refuse it and export again")
    file = folder / name
    try:
        there = regular_size(file)
        if there != size:
            raise BundleError(f"{file}: {there} bytes instead of {size}: truncated or altered; copy it again")
        if size > MAX_FILE_BYTES:
            raise BundleError(f"{file}: more than {MAX_FILE_BYTES >> 30} GB, as no model has; export it again")
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{folder}: {name} is missing ({error.strerror}); copy the whole bundle again") from error
    if found != sha256:
        raise BundleError(f"{file} does not match bundle.json (sha256): altered; copy or export it again")
