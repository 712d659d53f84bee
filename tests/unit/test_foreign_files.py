"""Whatever a user gives instead of a bundle: one sentence that says what it is and what to do, exit code 2."""

from __future__ import annotations

import json
import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest

from lmdeploy import cli
from lmdeploy.bundle import Bundle, read_bundle
from lmdeploy.errors import BundleError
from lmdeploy.model import open_model
from tests.mutants import signed
from tests.tiny_bundle import make_tiny_bundle


class Canary:
    """Unpickling it would end the test run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (SystemExit, ("unpickled",))


def zipped(folder: Path, member: str) -> bytes:
    with zipfile.ZipFile(folder / "z", "w") as out:
        out.writestr(member, pickle.dumps(Canary()))
    return (folder / "z").read_bytes()


FILES: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "model.pkl": (lambda _: pickle.dumps(Canary()), "pickle"),
    "old.pth": (lambda _: pickle.dumps(Canary(), protocol=2), "pickle"),
    "new.pt": (lambda folder: zipped(folder, "archive/data.pkl"), "pickle"),
    "model.zip": (lambda folder: zipped(folder, "model.onnx"), "a zip archive"),
    "model.engine": (lambda _: b"ftrt" + bytes(60), "TensorRT engine"),
    "model.ort": (lambda _: b"\x18\0\0\0ORTM" + bytes(60), "ONNX Runtime's own format"),
    "model.tar.gz": (lambda _: b"\x1f\x8b\x08" + bytes(60), "gzip"),
    "model.tar": (lambda _: b"m" * 257 + b"ustar" + bytes(60), "tar archive"),
    "weights": (lambda _: (2).to_bytes(8, "little") + b"{}", "safetensors"),
    "bundle.json": (lambda _: b'{"kind": "lmdeploy-bundle"}', "a JSON file"),
    "pointer.onnx": (lambda _: b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    "page.html": (lambda _: b"<!DOCTYPE html>", "XML or HTML"),
    "empty.onnx": (lambda _: b"", "an empty file"),
    "garbage": (lambda _: np.random.default_rng(0).bytes(5000), "is no ONNX file"),
    "text.txt": (lambda _: b"just some words\n" * 9, "is no ONNX file"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_foreign_file_is_named_and_never_opened(tmp_path: Path, name: str) -> None:
    make, sentence = FILES[name]
    (tmp_path / name).write_bytes(make(tmp_path))
    with pytest.raises(BundleError, match=sentence) as caught:
        open_model(tmp_path / name)
    text = str(caught.value)
    assert text.isprintable() and 40 < len(text) < 400 and caught.value.exit_code == 2  # noqa: PT018 - one property
    assert text.endswith(("'lmdeploy export' wrote", "export it again"))
    with pytest.raises(BundleError, match="not a bundle: give the folder"):
        read_bundle(tmp_path / name)


@pytest.mark.parametrize("name", ["model.pkl", "garbage"])
def test_the_command_ends_with_2_and_one_line(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(FILES[name][0](tmp_path))

    def opens(**_: object) -> None:
        open_model(tmp_path / name)

    monkeypatch.setattr(cli, "cli", click.Command("opens", callback=opens))
    monkeypatch.setattr(sys, "argv", ["lmdeploy"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_tiny_bundle(tmp_path / "b", size=32)


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json"])
def test_a_link_that_leaves_the_bundle_is_refused_and_one_within_is_not(bundle: Bundle, name: str) -> None:
    file = bundle.path / name
    (bundle.path / "other").write_bytes(file.read_bytes())
    file.unlink()
    file.symlink_to("other")
    assert read_bundle(bundle.path).digest == bundle.digest
    file.unlink()
    (bundle.path / "other").rename(bundle.path.parent / "outside")
    file.symlink_to("../outside")
    with pytest.raises(BundleError, match="a link that leaves the bundle"):
        read_bundle(bundle.path)
    linked = bundle.path.parent / "linked"
    file.unlink()
    (bundle.path.parent / "outside").rename(file)
    linked.symlink_to(bundle.path)
    assert read_bundle(linked).digest == bundle.digest


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json"])
def test_a_pipe_is_not_waited_for(bundle: Bundle, name: str) -> None:
    (bundle.path / name).unlink()
    os.mkfifo(bundle.path / name)
    with pytest.raises(BundleError, match="no regular file"):
        read_bundle(bundle.path)


def test_a_manifest_of_a_terabyte_and_a_file_of_the_wrong_size_are_not_read(bundle: Bundle) -> None:
    for name, sentence in (("model.onnx", "truncated or altered"), ("bundle.json", "larger than any")):
        with (bundle.path / name).open("r+b") as stream:
            stream.truncate(1 << 40)
        with pytest.raises(BundleError, match=sentence):
            read_bundle(bundle.path)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a\x00b", "control characters"),
        ("new\nline", "control characters"),
        ("..\\model.onnx", "leaves the bundle"),
        ("\u2028", "control characters"),
        ("x" * 3000, "is missing"),
    ],
)
def test_odd_file_names_are_refused_in_one_line(bundle: Bundle, name: str, sentence: str) -> None:
    value = json.loads((bundle.path / "bundle.json").read_bytes())
    value["files"][name] = {"bytes": 1, "sha256": "0" * 64}
    (bundle.path / "bundle.json").write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(BundleError, match=sentence) as caught:
        read_bundle(bundle.path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("version", [0, -1, True, None, "2", 2.0, 3, 10**4000])
def test_versions_that_are_not_ours(bundle: Bundle, version: object) -> None:
    value = json.loads((bundle.path / "bundle.json").read_bytes())
    (bundle.path / "bundle.json").write_text(json.dumps({**value, "schema_version": version}), encoding="utf-8")
    newer = isinstance(version, int) and version > 2
    with pytest.raises(BundleError, match="update it with" if newer else "never written; export the model again"):
        read_bundle(bundle.path)


@pytest.mark.parametrize(("raw", "sentence"), [(b"garbage " * 99, "no ONNX file"), (pickle.dumps(Canary()), "pickle")])
def test_a_signed_bundle_with_another_file_for_its_network(bundle: Bundle, raw: bytes, sentence: str) -> None:
    (bundle.path / "model.onnx").write_bytes(raw)
    manifest = bundle.path / "bundle.json"
    manifest.write_bytes(signed(manifest.read_bytes(), {"model.onnx": raw}))
    assert read_bundle(bundle.path)
    with pytest.raises(BundleError, match=sentence):
        open_model(bundle.path)
