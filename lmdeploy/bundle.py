"""The model bundle: a folder whose bundle.json says everything about the network beside it.

Writing is atomic (a sibling folder, fsync, rename). Reading verifies the size and sha256 of every file first and
refuses what is truncated, altered, of a newer schema or of another kind. No pickle is read or written.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_serializer, model_validator

from lmdeploy.bundle_check import invalid, regular_size, unread_version, verify
from lmdeploy.errors import BundleError
from lmdeploy.foreign import foreign_kind, start_of
from lmdeploy.geometry import BoxMap, CropRule
from lmdeploy.parts import Part, problem
from lmdeploy.schema import LandmarkSchema
from lmdeploy.strict_json import parse_strict

KIND = "lmdeploy-bundle"
SCHEMA_VERSION = 2  # 2: several landmark schemas in one network (spec.parts); a bundle of one schema is still a 1
MANIFEST = "bundle.json"
MAX_MANIFEST_BYTES = 4_000_000
LONGEST_NAME = 200


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Frozen):
    """Size and sha256 of one file of the bundle."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class TrainingData(_Frozen):
    """One data set that the model has seen."""

    name: str
    images: int = Field(ge=0)
    labelled: bool
    licence: str


class Measured(_Frozen):
    """One measured figure with everything that is needed to read it."""

    metric: str
    value: float
    unit: str
    test_set: str
    images: int = Field(ge=0)
    normaliser: str
    frame: Literal["crop", "image"]
    boxes: str


class ModelSpec(_Frozen):
    """What the runtime must know about a network, whether it comes from a bundle or from a checkpoint.

    parts: the schemas of which `landmarks` is joined, in its order; none where it is one schema.
    """

    name: str
    version: str = Field(default="0.1.0", pattern=r"^\d+\.\d+\.\d+([-+.][0-9A-Za-z.+-]+)?$")
    landmarks: LandmarkSchema
    crop: CropRule
    codec: str
    score_kind: Literal["peak", "calibrated"] = "peak"
    detectors: dict[str, BoxMap] = {}
    method: str
    recipe: dict[str, Any] = {}
    data: tuple[TrainingData, ...] = ()
    parts: tuple[Part, ...] = ()

    @model_validator(mode="after")
    def _joined(self) -> ModelSpec:
        wrong = problem(self.parts, self.landmarks)
        if wrong:
            raise ValueError(wrong)
        shown = [self.name, self.landmarks.name, *self.landmarks.names, *self.detectors]
        if not all(name.isprintable() and len(name) <= LONGEST_NAME for name in shown):
            raise ValueError(f"a name holds control characters or is longer than {LONGEST_NAME} letters")
        return self

    @model_serializer(mode="wrap")
    def _as_before_parts(self, write: Any) -> dict[str, Any]:
        """Without the field where there are no parts: what version 1 cannot read is then not in it."""
        value: dict[str, Any] = write(self)
        return value if self.parts else {key: entry for key, entry in value.items() if key != "parts"}


class Manifest(_Frozen):
    """The content of bundle.json."""

    kind: Literal["lmdeploy-bundle"] = "lmdeploy-bundle"
    schema_version: int = 1
    spec: ModelSpec
    measured: tuple[Measured, ...] = ()
    parity: dict[str, dict[str, float]] = {}
    files: dict[str, FileEntry]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle on disk; `digest` is the sha256 of bundle.json and so of every file.

    alone: `path` is not a folder but the ONNX file itself, whose metadata says what it is (single_file).
    """

    path: Path
    manifest: Manifest
    digest: str
    alone: bool = False

    @property
    def spec(self) -> ModelSpec:
        """The network's description."""
        return self.manifest.spec

    def file(self, name: str) -> Path:
        """Path of one of the bundle's own files; an error when the bundle has none of that name."""
        if name not in self.manifest.files:
            raise BundleError(f"{self.path}: the bundle holds no {name}; export it again with 'lmdeploy export'")
        return self.path if self.alone else self.path / name


def canonical_json(value: BaseModel) -> str:
    """JSON with sorted keys and no spare spaces, so that its hash is stable."""
    return json.dumps(value.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, indent=1) + "\n"


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def find_bundle(name_or_path: str | Path) -> Path:
    """Folder of a bundle: a path, or the name of one that ships with the package (face68)."""
    path = Path(name_or_path)
    if path.is_dir():
        return path
    built_in = Path(str(resources.files("lmdeploy") / "models" / str(name_or_path)))
    if path.name == str(name_or_path) and built_in.is_dir():
        return built_in
    if path.is_file():
        kind = foreign_kind(start_of(path)) or "a single file"
        raise BundleError(f"{path} is {kind}, not a bundle: give the folder that 'lmdeploy export' wrote")
    raise BundleError(f"{name_or_path}: no such bundle folder, nor a built-in model of that name")


def read_bundle(name_or_path: str | Path) -> Bundle:
    """Open a bundle after verifying every file.

    Args:
        name_or_path: the folder, or the name of one that ships with the package (face68).
    Errors: BundleError, which says what is wrong and what to do.
    """
    path = find_bundle(name_or_path)
    manifest, digest = _read_manifest(path)
    for name, entry in manifest.files.items():
        verify(path, name, entry.bytes, entry.sha256)
    return Bundle(path, manifest, digest)


def write_bundle(path: Path, spec: ModelSpec, files: dict[str, bytes], **about: Any) -> Bundle:
    """Write a new bundle folder at `path`, all of it or nothing.

    Args:
        path: the folder to make; it must not exist yet.
        spec: the network's description.
        files: content by file name.
        about: `measured` and `parity` of the manifest.
    """
    if path.exists():
        raise BundleError(f"{path} exists already: remove it or choose another name")
    entries = {n: FileEntry(bytes=len(c), sha256=hashlib.sha256(c).hexdigest()) for n, c in files.items()}
    manifest = Manifest(schema_version=2 if spec.parts else 1, spec=spec, files=entries, **about)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        for name, content in {**files, MANIFEST: canonical_json(manifest).encode()}.items():
            write_synced(draft / name, content)
        sync_folder(draft)
        draft.rename(path)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync_folder(path.parent)
    return read_bundle(path)


def write_synced(path: Path, content: bytes) -> None:
    """Write and flush to the disk."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def sync_folder(path: Path) -> None:
    """Make renames inside a folder survive a power cut (where the system lets a folder be opened)."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_manifest(path: Path) -> tuple[Manifest, str]:
    file = path / MANIFEST
    try:
        regular_size(file)
        with file.open("rb") as stream:
            raw = stream.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise BundleError(
            f"{path}: no {MANIFEST}, so this is not a bundle; make one with 'lmdeploy export'"
        ) from error
    if len(raw) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{file}: larger than any {MANIFEST}; export the model again with 'lmdeploy export'")
    try:
        value = parse_strict(raw)
    except ValueError as error:  # JSONDecodeError and bad UTF-8
        raise BundleError(f"{file}: not valid JSON ({error}); export the model again") from error
    if not isinstance(value, dict) or value.get("kind") != KIND:
        raise BundleError(f"{file}: not a {KIND}; give the folder that 'lmdeploy export' wrote")
    wrong = unread_version(file, value.get("schema_version"), SCHEMA_VERSION)
    if wrong:
        raise wrong
    try:
        return Manifest.model_validate(value), hashlib.sha256(raw).hexdigest()
    except ValidationError as error:
        raise invalid(file, error) from error
