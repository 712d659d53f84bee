"""A bundle is verified before it is used, and is on disk complete or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import lmdeploy.bundle as bundle_file
from lmdeploy.bundle import (
    FileEntry,
    Measured,
    ModelSpec,
    canonical_json,
    find_bundle,
    read_bundle,
    sha256_file,
    write_bundle,
)
from lmdeploy.errors import BundleError
from lmdeploy.geometry import BoxMap, CropRule
from lmdeploy.schema import load_schema

FILES = {"model.onnx": b"not really a network" * 50, "card.md": "# Käse\n".encode()}


@pytest.fixture
def spec():
    return ModelSpec(
        name="tiny",
        landmarks=load_schema("ibug68"),
        crop=CropRule(size=96),
        codec="subpixel",
        detectors={"haar": BoxMap(dy=0.1)},
        method="supervised",
    )


@pytest.fixture
def folder(tmp_path, spec):
    return write_bundle(tmp_path / "b", spec, FILES).path


def edit(folder, change):
    file = folder / "bundle.json"
    value = json.loads(file.read_text(encoding="utf-8"))
    change(value)
    file.write_text(json.dumps(value), encoding="utf-8")


def test_what_was_written_is_read_back(tmp_path, spec):
    measured = Measured(
        metric="nme", value=4.2, unit="%", test_set="t", images=3, normaliser="inter-ocular", frame="image", boxes="gt"
    )
    written = write_bundle(tmp_path / "deep" / "b", spec, FILES, measured=(measured,), parity={"fp32": {"p99": 0.01}})
    again = read_bundle(str(tmp_path / "deep" / "b"))
    assert again == written
    assert again.spec == spec
    assert again.manifest.measured == (measured,)
    assert again.file("card.md").read_bytes() == FILES["card.md"]
    assert again.digest == hashlib.sha256((again.path / "bundle.json").read_bytes()).hexdigest()
    assert [p.name for p in tmp_path.iterdir()] == ["deep"]
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["b"]


def test_the_digest_names_the_content(tmp_path, spec):
    one = write_bundle(tmp_path / "one", spec, FILES)
    two = write_bundle(tmp_path / "two", spec, dict(reversed(FILES.items())))
    other = write_bundle(tmp_path / "three", spec, {**FILES, "card.md": b"x"})
    assert one.digest == two.digest
    assert other.digest != one.digest


@pytest.mark.parametrize("cut", [0, 1, 500])
def test_a_truncated_file_is_refused(folder, cut):
    file = folder / "model.onnx"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(BundleError, match=r"model\.onnx: .* truncated or altered"):
        read_bundle(folder)


def test_an_altered_byte_is_refused(folder):
    file = folder / "model.onnx"
    content = bytearray(file.read_bytes())
    content[77] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError, match="sha256"):
        read_bundle(folder)


def test_a_missing_file_is_refused(folder):
    (folder / "card.md").unlink()
    with pytest.raises(BundleError, match=r"card\.md is missing"):
        read_bundle(folder)


def test_a_newer_schema_is_refused_with_update_it(folder):
    edit(folder, lambda value: value.update(schema_version=3))
    with pytest.raises(BundleError, match=r"schema version 3.*update"):
        read_bundle(folder)


@pytest.mark.parametrize("kind", ["other-bundle", None])
def test_another_kind_is_refused(folder, kind):
    edit(folder, lambda value: value.update(kind=kind))
    with pytest.raises(BundleError, match="not a lmdeploy-bundle"):
        read_bundle(folder)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe\x00", b'"text"'])
def test_a_broken_manifest_is_refused(folder, raw):
    (folder / "bundle.json").write_bytes(raw)
    with pytest.raises(BundleError, match=r"not valid JSON|not a lmdeploy-bundle"):
        read_bundle(folder)


def test_a_manifest_of_absurd_size_is_not_parsed(folder, monkeypatch):
    monkeypatch.setattr(bundle_file, "MAX_MANIFEST_BYTES", 10)
    with pytest.raises(BundleError, match="larger than any"):
        read_bundle(folder)


def test_an_unknown_or_missing_key_is_named(folder):
    edit(folder, lambda value: value["spec"].update(colour="blue"))
    with pytest.raises(BundleError, match=r"spec\.colour"):
        read_bundle(folder)
    edit(folder, lambda value: [value["spec"].pop("colour"), value["spec"].pop("codec")])
    with pytest.raises(BundleError, match=r"spec\.codec"):
        read_bundle(folder)


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31m", "x" * 201])
def test_a_name_that_no_message_can_show_is_refused(folder, name):
    edit(folder, lambda value: value["spec"].update(name=name))
    with pytest.raises(BundleError, match="a name holds control characters or is longer than 200 letters"):
        read_bundle(folder)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "sub/model.onnx", "..", ""])
def test_a_file_name_that_leaves_the_bundle_is_refused(folder, name):
    entry = FileEntry(bytes=1, sha256="0" * 64).model_dump()
    edit(folder, lambda value: value["files"].update({name: entry}))
    with pytest.raises(BundleError, match="leaves the bundle"):
        read_bundle(folder)


def test_not_a_bundle_at_all(tmp_path):
    with pytest.raises(BundleError, match=r"no bundle\.json"):
        read_bundle(tmp_path)
    for missing in (tmp_path / "nothing", "no-such-model", "../models"):
        with pytest.raises(BundleError, match="no such bundle folder"):
            find_bundle(missing)


def test_an_existing_folder_is_never_overwritten(folder, spec):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(BundleError, match="exists already"):
        write_bundle(folder, spec, {"model.onnx": b"new"})
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


@pytest.mark.parametrize("fails_at", ["write_synced", "sync_folder"])
def test_a_failing_disk_leaves_nothing_behind(tmp_path, spec, monkeypatch, fails_at):
    def broken(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle_file, fails_at, broken)
    with pytest.raises(OSError, match="No space"):
        write_bundle(tmp_path / "b", spec, FILES)
    assert list(tmp_path.iterdir()) == []


def test_the_rest_of_a_killed_writer_does_not_disturb(tmp_path, spec):
    import os

    draft = tmp_path / f".b.{os.getpid()}.part"
    draft.mkdir()
    (draft / "model.onnx").write_bytes(b"half")
    assert write_bundle(tmp_path / "b", spec, FILES).file("model.onnx").read_bytes() == FILES["model.onnx"]
    assert not draft.exists()


def test_asking_for_a_file_that_the_bundle_has_not(folder):
    (folder / "model.fp16.onnx").write_bytes(b"not in the manifest")
    with pytest.raises(BundleError, match=r"holds no model\.fp16\.onnx"):
        read_bundle(folder).file("model.fp16.onnx")


def test_json_is_canonical_and_hash_is_of_the_file(tmp_path):
    text = canonical_json(FileEntry(bytes=3, sha256="a" * 64))
    assert list(json.loads(text)) == ["bytes", "sha256"]
    file = Path(tmp_path / "f")
    file.write_bytes(b"x" * 100_000)
    assert sha256_file(file) == hashlib.sha256(b"x" * 100_000).hexdigest()
