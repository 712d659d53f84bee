"""The table for people says what the figures rest on, and keeps off standard output."""

from __future__ import annotations

import pytest
from rich.console import Console

from lmdeploy.evaluate import Evaluation
from lmdeploy.evaluation_table import evaluation_table, print_evaluation
from lmdeploy.schema import load_schema


@pytest.fixture
def result():
    return Evaluation(
        model="face",
        digest="abcdef0123456789" * 4,
        provider="CPUExecutionProvider",
        landmarks="ibug68",
        normaliser="inter-ocular",
        frame="crop",
        boxes="haar",
        images=153,
        dropped=12,
        dropped_images=("a",) * 12,
        nme=4.5678,
        nme_ci=(4.1, 5.02),
        fr=1.5,
        auc=0.54321,
        per_landmark=(None, *(n / 10 for n in range(67))),
        nme_51=3.9,
        mre_mm=0.75,
        sdr={"2": 0.955, "2.5": 0.97},
    )


def text_of(result, names):
    console = Console(width=160)
    with console.capture() as captured:
        console.print(evaluation_table(result, names))
    return captured.get()


def test_everything_that_is_needed_to_read_the_figures_is_there(result):
    text = text_of(result, load_schema("ibug68").names)
    for said in (
        "4.568 % of inter-ocular (95 % interval 4.100 to 5.020)",
        "1.50 % of images above 10 % of inter-ocular",
        "0.5432 up to 10 %",
        "3.900 % of inter-ocular (without the jaw)",
        "153 measured, 12 dropped",
        "haar",
        "crop",
        "CPUExecutionProvider",
        "abcdef012345",
        "0.750 mm",
        "95.5 % within 2 mm, 97.0 % within 2.5 mm",
    ):
        assert said in text


def test_every_landmark_s_error_is_printed_once(result):
    rows = [line for line in text_of(result, load_schema("ibug68").names).splitlines() if "│" in line]
    cells = {row.split("│")[1].strip(): row.split("│")[2].split() for row in rows}
    assert cells["jaw"] == ["-", *(f"{n / 10:.1f}" for n in range(16))]
    assert cells["lip_inner"] == [f"{n / 10:.1f}" for n in range(59, 67)]
    groups = [
        "jaw",
        "brow_left",
        "brow_right",
        "nose_bridge",
        "nostril",
        "eye_left",
        "eye_right",
        "lip_outer",
        "lip_inner",
    ]
    assert sum(len(cells[group]) for group in groups) == 68


def test_figures_that_the_schema_does_not_have_are_left_out(result):
    text = text_of(
        result.model_copy(update={"nme_51": None, "mre_mm": None, "sdr": None}), load_schema("ibug68").names
    )
    assert "51 points" not in text
    assert "mm" not in text


def test_it_is_printed_on_standard_error(result, capsys):
    print_evaluation(result, load_schema("ibug68").names)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "inter-ocular" in captured.err
