"""The TS3 benchmark: rows alike in all but the method, and what it says of a choice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.toy_faces import write_folder
from benchmarks.ts3_faces import Case, choice
from benchmarks.ts3_rows import ALONE, LARGE, LIGHT, ROWS, TINY, Size, of_row
from lmdeploy.dataset import read_labelled
from lmdeploy.schema import load_schema
from training.data.crops import labels_csv


@pytest.mark.parametrize("size", [LIGHT, LARGE, TINY], ids=["light", "large", "tiny"])
def test_rows_differ_in_method_and_students_alone(size: Size) -> None:
    made = {row: of_row(row, size) for row in ROWS}
    assert {row: recipe.method for row, recipe in made.items()} == {
        "supervised": "ts3", "cpm": "ts3", "hourglass": "ts3", "ts3": "ts3", "spl": "spl", "spaco": "spaco",
    }  # fmt: skip
    for row, recipe in made.items():
        assert len(recipe.options["students"]) == (1 if row in ALONE else 2)
        assert {one["epochs"] for one in recipe.options["students"]} == {size.epochs}
        assert recipe.options["steps"] == (0 if row == "supervised" else size.steps)
        assert (recipe.options["r"], recipe.options["oversample"]) == (size.r, size.oversample)
    assert made["spl"].options["students"] == made["ts3"].options["students"]


def test_a_choice_is_measured_against_the_truth(tmp_path: Path) -> None:
    """Two of four labels are off by 1 and 2 px, the others by 4 and 8; the first two are chosen."""
    data = write_folder(tmp_path / "train", 4, seed=1)
    samples = read_labelled(data, load_schema("ibug68"))
    true = np.stack([sample.points for sample in samples if sample.points is not None])
    shift = np.array([1, 2, 4, 8], np.float32)
    wrong = true + np.stack([shift, np.zeros(4, np.float32)], axis=1)[:, None]
    names = tuple(sample.name for sample in samples)
    folder = tmp_path / "runs" / "ts3" / "pseudo" / "round1-student1"
    folder.mkdir(parents=True)
    (folder / "landmarks.csv").write_text(labels_csv(names, wrong, np.ones((4, 68), np.float32)))
    (folder / "chosen.txt").write_text(f"{names[0]}\n{names[1]}\n")
    case = Case("4", 1, data, "4", data, None, tmp_path / "runs", "cpu")
    found = choice(case, "ts3")["round1-student1"]
    each = 100 * shift / np.linalg.norm(true[:, 36] - true[:, 45], axis=1)
    assert found["all"] == pytest.approx(each.mean(), rel=1e-3)
    assert found["chosen"] == pytest.approx(each[:2].mean(), rel=1e-3)
    assert (found["images"], found["chosen_images"]) == (4, 2)
