"""The anchor: split by identity, copied, locked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdeploy.dataset import Sample, read_labelled
from lmdeploy.errors import InputError
from lmdeploy.schema import load_schema
from lmdeploy.site.anchor import anchor_sha256, copy_labelled, identities, split_by_identity, subgroups
from tests.site_kit import write_csv, write_folder
from tests.tiny_bundle import BLOBS3


def sample(name: str, identity: str = "") -> Sample:
    return Sample(name, Path(name), None, identity)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=40), st.integers(0, 5))
def test_split_keeps_identities_whole_and_halves_even(who: list[int], seed: int) -> None:
    samples = [sample(f"{n}.png", f"p{person}") for n, person in enumerate(who)]
    if len(set(who)) < 2:
        with pytest.raises(InputError, match="one identity only"):
            split_by_identity(samples, seed)
        return
    split = split_by_identity(samples, seed)
    person = {s.name: s.identity for s in samples}
    assert sorted(split.train + split.gate) == sorted(person)
    assert not {person[n] for n in split.train} & {person[n] for n in split.gate}
    assert split.train
    largest = max(who.count(p) for p in who)
    assert abs(len(split.gate) - len(split.train)) <= largest


def test_images_without_identity_are_their_own() -> None:
    samples = [sample(f"{n}.png") for n in range(9)]
    split = split_by_identity(samples, 0)
    assert (len(split.gate), len(split.train)) == (5, 4)
    assert len(set(identities(samples))) == 9
    assert len({*identities([sample("p"), sample("x", "p")])}) == 2


def test_split_depends_on_seed_and_names_alone() -> None:
    samples = [sample(f"{n}.png") for n in range(20)]
    assert split_by_identity(samples, 1) == split_by_identity(samples[::-1], 1)
    assert split_by_identity(samples, 1) != split_by_identity(samples, 2)


def test_copy_holds_these_samples_and_no_trace_of_others(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", range(6), per_identity=2)
    write_csv(
        source / "boxes.csv",
        ["image", "x0", "y0", "x1", "y1"],
        [["a0001.png", 1, 2, 30, 40], ["a0004.png", 5, 6, 70, 80]],
    )
    samples = read_labelled(source, BLOBS3)
    copy_labelled(source, samples[:3], tmp_path / "copy")
    again = read_labelled(tmp_path / "copy", BLOBS3)
    assert [(s.name, s.identity) for s in again] == [(s.name, s.identity) for s in samples[:3]]
    for old, new in zip(samples, again, strict=False):
        np.testing.assert_array_equal(old.points, new.points)
        assert old.box == new.box
        assert old.path.read_bytes() == new.path.read_bytes()
    everything = b"".join(p.read_bytes() for p in (tmp_path / "copy").glob("*.csv"))
    assert b"a0004" not in everything
    assert len(list((tmp_path / "copy/images").iterdir())) == 3


def test_plain_folder_without_images_subfolder_is_copied(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", range(3))
    for image in (source / "images").iterdir():
        image.rename(source / image.name)
    (source / "images").rmdir()
    (source / "manifest.csv").unlink()
    copy_labelled(source, read_labelled(source, BLOBS3), tmp_path / "copy")
    assert len(read_labelled(tmp_path / "copy", BLOBS3)) == 3


def test_hash_sees_every_change(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", range(3))
    first = anchor_sha256(folder)
    assert first == anchor_sha256(write_folder(tmp_path / "b", range(3)))
    image = folder / "images" / "a0001.png"
    content = image.read_bytes()
    seen = {first}
    for change in (lambda: image.write_bytes(content + b"x"), lambda: image.rename(image.with_name("z.png"))):
        change()
        seen.add(anchor_sha256(folder))
    (folder / "extra").write_text("")
    seen.add(anchor_sha256(folder))
    assert len(seen) == 4


def test_subgroups_are_the_manifest_column_where_there_is_one(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", range(3))
    samples = read_labelled(folder, BLOBS3)
    assert subgroups(folder, samples) == []
    write_csv(folder / "manifest.csv", ["image", "group"], [["a0000.png", "dark"], ["a0002.png", ""]])
    assert subgroups(folder, samples) == ["dark", "other", "other"]
    (folder / "manifest.csv").unlink()
    assert subgroups(folder, samples) == []
    assert load_schema("ibug68").points == 68
