"""A model by reference: a bundle folder, or an exported ONNX file alone, whose metadata says what it is.

A file alone has the network and its description. The measured figures, the parity and the reference crops are the
bundle's only, so `auto` runs it on ONNX Runtime.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from lmdeploy.backends.precision import FILES
from lmdeploy.bundle import (
    MAX_MANIFEST_BYTES,
    SCHEMA_VERSION,
    Bundle,
    FileEntry,
    Manifest,
    ModelSpec,
    read_bundle,
    sha256_file,
)
from lmdeploy.bundle_check import invalid, unread_version
from lmdeploy.errors import BundleError
from lmdeploy.onnx_file import inspect
from lmdeploy.strict_json import parse_strict

GRAPH = FILES["fp32"]
SPEC_KEY = "lmdeploy"  # the JSON of a ModelSpec
VERSION_KEY = "lmdeploy_schema_version"  # as in bundle.json; files of version 1 do not have it


def read_model(ref: str | Path) -> Bundle:
    """The bundle, or what stands for it, that a reference names, verified as far as can be without an engine.

    Args:
        ref: a bundle folder, the name of a built-in one, or an ONNX file.
    Errors: BundleError, one sentence that says what is wrong and what to do.
    """
    if Path(ref).is_file():
        return read_alone(Path(ref))
    bundle = read_bundle(ref)
    inspect(bundle.file(GRAPH))
    return bundle


def read_alone(path: Path) -> Bundle:
    """An exported ONNX file as a bundle of one file, named by the file's own sha256."""
    metadata, precision = inspect(path)
    if SPEC_KEY not in metadata:
        raise BundleError(
            f"{path} is an ONNX file of another make: it does not say which landmarks it finds; give one that "
            "'lmdeploy export' wrote"
        )
    version = metadata.get(VERSION_KEY, "1")
    number = int(version) if version.isascii() and version.isdigit() and len(version) < 10 else version
    wrong = unread_version(path, number, SCHEMA_VERSION)
    if wrong:
        raise wrong
    digest = sha256_file(path)
    entry = FileEntry(bytes=path.stat().st_size, sha256=digest)
    spec = _spec(path, metadata[SPEC_KEY].encode())
    return Bundle(
        path, Manifest(schema_version=int(number), spec=spec, files={FILES[precision]: entry}), digest, alone=True
    )


def _spec(path: Path, raw: bytes) -> ModelSpec:
    try:
        if len(raw) > MAX_MANIFEST_BYTES:
            raise BundleError(f"{path}: its description is larger than any; export the model again")
        return ModelSpec.model_validate(parse_strict(raw))
    except ValidationError as error:
        raise invalid(path, error) from error
    except ValueError as error:
        raise BundleError(f"{path}: its description is not valid JSON ({error}); export the model again") from error
