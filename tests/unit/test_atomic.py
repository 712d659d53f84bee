"""A file is there complete or not at all."""

from __future__ import annotations

import pytest

import lmdeploy.atomic as atomic_file
from lmdeploy.atomic import write_file
from lmdeploy.errors import InputError


def test_folders_are_made_and_old_content_is_replaced(tmp_path):
    target = tmp_path / "deep" / "list.txt"
    write_file(target, b"one")
    write_file(str(target), b"two")
    assert target.read_bytes() == b"two"
    assert [path.name for path in target.parent.iterdir()] == ["list.txt"]


def test_a_full_disk_leaves_the_old_content_and_no_draft(tmp_path, monkeypatch):
    target = tmp_path / "list.txt"
    write_file(target, b"old")

    def full(path, content):
        path.write_bytes(content[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_file, "write_synced", full)
    with pytest.raises(InputError, match=r"list\.txt cannot be written \(No space left on device\)"):
        write_file(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["list.txt"]


def test_a_place_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="choose another place"):
        write_file(tmp_path / "file" / "list.txt", b"x")
    with pytest.raises(InputError, match="choose another place"):
        write_file(tmp_path, b"x")
