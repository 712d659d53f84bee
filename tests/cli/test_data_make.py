"""`lmdeploy data make`: a drawn set that reads back, is checked and trained on; what is not drawn says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from lmdeploy.cli import cli
from lmdeploy.errors import InputError
from training.data import blocks
from training.data.attributes import Column, read_attributes
from training.data.sets import SETS
from training.data.sets import drawn as drawn_set


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a dozen images."""
    counts = {"train": 8, "valid": 2, "test": 2}
    made = drawn_set._set("blocks", "Blocks", "blocks6", counts, blocks.draw)
    monkeypatch.setitem(SETS, "blocks", made)


@pytest.mark.usefixtures("small")
def test_a_drawn_set_is_what_its_reader_expects(tmp_path: Path) -> None:
    found = CliRunner().invoke(cli, ["data", "make", "blocks", str(tmp_path / "b")])
    assert found.exit_code == 0, found.output
    checked = CliRunner().invoke(cli, ["data", "check", "blocks", str(tmp_path / "b")])
    assert checked.exit_code == 0, checked.output
    samples = SETS["blocks"].load(tmp_path / "b", "train").checked()
    assert [(s.box.x0, s.box.x1) for s in samples if s.box] == [(-0.5, 59.5)] * 8
    told = read_attributes(samples)
    assert told is not None
    assert told.columns == (Column("figure", 15),)
    assert np.isfinite(told.values).all()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("there", ["valid/", "another/", "notes.txt"])
def test_nothing_is_drawn_beside_or_over_what_is_there(there: str, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    folder.mkdir()
    if there.endswith("/"):
        (folder / there).mkdir()
    else:
        (folder / there).write_text("mine")
    found = CliRunner().invoke(cli, ["data", "make", "blocks", str(folder)])
    assert isinstance(found.exception, InputError) or found.exit_code == 2
    assert [path.name for path in folder.iterdir()] == [there.strip("/")]


@pytest.mark.usefixtures("small")
def test_a_file_is_no_folder_and_an_empty_folder_is_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    refused = CliRunner().invoke(cli, ["data", "make", "blocks", str(tmp_path / "file")])
    assert "choose a new one" in f"{refused.output}{refused.exception}"
    (tmp_path / "empty").mkdir()
    taken = CliRunner().invoke(cli, ["data", "make", "blocks", str(tmp_path / "empty")])
    assert taken.exit_code == 0, taken.output


def test_a_published_set_is_not_drawn(tmp_path: Path) -> None:
    found = CliRunner().invoke(cli, ["data", "make", "wflw", str(tmp_path)])
    assert "your own copy" in f"{found.output}{found.exception}"
    assert found.exit_code != 0
