"""CSV tables: what is wrong is named with file, line and image."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdeploy.csv_table import Row, read_table
from lmdeploy.errors import InputError


def table(tmp_path, text, columns=("a",), encoding="utf-8"):
    file = tmp_path / "t.csv"
    file.write_bytes(text.encode(encoding))
    return read_table(file, columns)


def test_columns_are_found_by_name_in_any_order(tmp_path):
    read = table(tmp_path, "b, image ,a\r\n1,x.jpg,2\r\n\r\n3,y.jpg,4\r\n")
    assert read.header == ("b", "image", "a")
    assert [(row.name, row.get("a"), row.get("absent")) for row in read.rows.values()] == [
        ("x.jpg", "2", ""),
        ("y.jpg", "4", ""),
    ]
    assert read.problems == ()


def test_a_byte_order_mark_and_quotes_are_understood(tmp_path):
    read = table(tmp_path, 'image,a\n"one, two.jpg",7\n', encoding="utf-8-sig")
    assert list(read.rows) == ["one, two.jpg"]


def test_broken_rows_are_left_out_and_named(tmp_path):
    read = table(tmp_path, "image,a\nx,1\ny\nz,1,2\n,5\nx,9\nw,3\n")
    assert list(read.rows) == ["x", "w"]
    assert read.rows["x"].get("a") == "1"
    assert read.problems == (
        "t.csv line 3 (y): 1 cells instead of 2",
        "t.csv line 4 (z): 3 cells instead of 2",
        "t.csv line 5 (no name): the image has no name",
        "t.csv line 6 (x): the image stands in the file twice",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column 'image' and 1 more"),
        ("name,a\n", "no column 'image'$"),
        ("image,b\n", "no column 'a'$"),
        ("image,a,a\n", "header twice"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        table(tmp_path, text)


def test_what_is_no_text_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a readable CSV"):
        table(tmp_path, "image,a\nü,1\n", encoding="latin-1")
    with pytest.raises(InputError, match="not a readable CSV"):
        read_table(tmp_path, ["a"])


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, width=32)), min_size=1))
def test_numbers_round_trip_and_empty_is_nan(values):
    cells = {f"c{i}": "" if value is None else repr(value) for i, value in enumerate(values)}
    read = Row("x", "t.csv line 2 (x)", cells).numbers(list(cells))
    for value, found in zip(values, read, strict=True):
        assert math.isnan(found) if value is None else found == value


@pytest.mark.parametrize("text", ["one", "nan", "inf", "-inf", "1e999", "1,5", "0x10"])
def test_what_is_no_finite_number_is_named(text):
    with pytest.raises(InputError, match=r"t.csv line 2 \(x\): x0 is .* not a finite number"):
        Row("x", "t.csv line 2 (x)", {"x0": text}).numbers(["x0"])


def test_what_a_spreadsheet_saves_otherwise_is_told(tmp_path):
    with pytest.raises(InputError, match="no column 'image' and 1 more; it is divided by ';': save it with commas"):
        table(tmp_path, "image;a\n1.png;2\n")
    with pytest.raises(InputError, match=r"it is not UTF-8\): save it as UTF-8"):
        table(tmp_path, "image,a\n1.png,2\n", encoding="utf-16")
