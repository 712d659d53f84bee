"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lmdeploy.errors import InputError
from lmdeploy.site.durable import link_or_copy, publish_folder, read_json, remove_folder, replace_json, sweep


def test_equal_values_are_equal_bytes(tmp_path: Path) -> None:
    replace_json(tmp_path / "a.json", {"b": 1, "a": [2, "ü"]})
    replace_json(tmp_path / "b.json", {"a": [2, "ü"], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read_json(tmp_path / "a.json", "x") == {"a": [2, "ü"], "b": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "b.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_damaged_json_is_named_with_advice(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.json.*ask the cat"):
        read_json(tmp_path / "x.json", "ask the cat")
    with pytest.raises(InputError, match="missing"):
        read_json(tmp_path / "missing.json", "ask the cat")


def test_published_folder_holds_everything(tmp_path: Path) -> None:
    draft = tmp_path / ".x.part"
    (draft / "deep" / "er").mkdir(parents=True)
    (draft / "deep" / "er" / "f").write_text("1")
    (draft / "g").write_text("2")
    publish_folder(draft, tmp_path / "x")
    assert (tmp_path / "x/deep/er/f").read_text() + (tmp_path / "x/g").read_text() == "12"
    assert not draft.exists()


def test_every_file_is_flushed_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = tmp_path / ".x.part"
    (draft / "deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        (draft / name).write_text("1")
    flushed: list[str] = []
    sync, rename = os.fsync, Path.rename

    def fsync(handle: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        sync(handle)

    def renamed(self: Path, target: Path) -> Path:
        flushed.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", renamed)
    publish_folder(draft, tmp_path / "x")
    before, after = flushed[: flushed.index("rename")], flushed[flushed.index("rename") + 1 :]
    assert {str(draft / "a"), str(draft / "deep/b"), str(draft), str(draft / "deep")} <= set(before)
    assert after == [str(tmp_path)]


def test_published_folder_may_take_the_place_of_an_empty_one_only(tmp_path: Path) -> None:
    for name, inside in (("empty", ()), ("full", ("f",))):
        (tmp_path / name).mkdir()
        for file in inside:
            (tmp_path / name / file).write_text("old")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    publish_folder(tmp_path / "one", tmp_path / "empty")
    with pytest.raises(OSError, match="not empty"):
        publish_folder(tmp_path / "two", tmp_path / "full")
    assert (tmp_path / "full/f").read_text() == "old"


def test_remove_folder_and_sweep(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    remove_folder(tmp_path / "a")
    remove_folder(tmp_path / "a")
    (tmp_path / ".x.12.part").write_text("")
    (tmp_path / ".y.12.gone").mkdir()
    (tmp_path / ".y.12.gone/file").write_text("")
    for kept in (".hidden", "visible.part"):
        (tmp_path / kept).write_text("")
    assert sweep(tmp_path) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == [".hidden", "visible.part"]
    assert sweep(tmp_path / "nowhere") == 0


def test_link_or_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("x")
    link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").stat().st_ino == (tmp_path / "a").stat().st_ino

    def refuse(*_: object) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    link_or_copy(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c").read_text() == "x"
    assert json.dumps((tmp_path / "c").stat().st_ino != (tmp_path / "a").stat().st_ino) == "true"
