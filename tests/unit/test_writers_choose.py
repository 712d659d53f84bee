"""Names of outputs: each gets its writer, and what cannot be written is said before a file is touched."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lmdeploy.errors import InputError, MissingExtraError
from lmdeploy.writers.base import About
from lmdeploy.writers.choose import Output, open_sinks, output_of
from tests.tiny_bundle import BLOBS3

ABOUT = About(BLOBS3)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("p.csv", "csv"),
        ("P.CSV", "csv"),
        ("deep/p.long.csv", "long"),
        ("long.csv", "csv"),
        ("p.ndjson", "ndjson"),
        ("p.jsonl", "ndjson"),
        ("-", "ndjson"),
        ("p.json", "coco"),
        ("p.parquet", "parquet"),
        ("p.mp4", "mp4"),
        ("out", "images"),
        ("out.csv/", "images"),
    ],
)
def test_the_name_says_the_kind(text: str, kind: str) -> None:
    assert output_of(text).kind == kind


def test_an_existing_folder_takes_pictures_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "out.v2").mkdir()
    assert output_of(str(tmp_path / "out.v2")) == Output("images", tmp_path / "out.v2")


@pytest.mark.parametrize("text", ["p.avi", "p.xml", "photo.jpg", ""])
def test_other_endings_are_refused_with_those_that_exist(text: str) -> None:
    with pytest.raises(InputError, match=r"\.long\.csv.*\.mp4"):
        output_of(text)


def test_one_place_for_two_outputs_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    outputs = [output_of(str(tmp_path / "p.csv")), output_of(str(tmp_path / "x" / ".." / "p.csv"))]
    with pytest.raises(InputError, match=r"p\.csv is asked for twice"):
        open_sinks(outputs, ABOUT)
    with pytest.raises(InputError, match="standard output is asked for twice"):
        open_sinks([output_of("-"), output_of("-")], ABOUT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file/x.ndjson", "file/deep/x.json", "file/pictures/"])
def test_a_place_that_cannot_be_written_is_said_before_an_old_file_goes(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "old.json").write_text("results of an earlier run")
    outputs = [output_of(str(tmp_path / "old.json")), output_of(f"{tmp_path}/{name}")]
    with pytest.raises(InputError, match=f"{Path(name).name} cannot be written"):
        open_sinks(outputs, ABOUT)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "old.json"]


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    outputs = [output_of(str(tmp_path / name)) for name in ("p.csv", "p.parquet")]
    with pytest.raises(MissingExtraError, match=r"pip install 'landmark-deploy\[parquet\]'"):
        open_sinks(outputs, ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_when_one_cannot_be_opened_those_before_it_are_closed(tmp_path: Path) -> None:
    (tmp_path / ".x.csv.part").mkdir()  # in the way of its draft
    with pytest.raises(InputError, match=r"x\.csv cannot be written"):  # an open file would be a ResourceWarning
        open_sinks([output_of(str(tmp_path / "p.csv")), Output("csv", tmp_path / "x.csv")], ABOUT)


def test_all_are_opened_in_order(tmp_path: Path) -> None:
    names = ["p.csv", "p.long.csv", "p.ndjson", "p.json", "p.parquet", "p.mp4", "out"]
    sinks = open_sinks([output_of(str(tmp_path / name)) for name in names], ABOUT)
    kinds = [type(sink).__name__ for sink in sinks]
    expected = ["CsvSink", "LongCsvSink", "NdjsonSink", "CocoSink", "ParquetSink", "Behind", "ImageSink"]
    assert kinds == expected
    assert [sink.drawn for sink in sinks] == [False, False, False, False, False, True, True]
    for sink in sinks:
        sink.close()
