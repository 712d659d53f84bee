"""RSNA's images with and without the challenge's CSV file."""

from __future__ import annotations

import pytest
from PIL import Image

from lmdeploy.errors import InputError
from lmdeploy.types import Box
from tests.odd_images import encoded, smooth_picture
from training.data.sets.rsna import FOLDER, RSNA, read

NAMES = ["1377.png", "1378.png", "1379.png", "10000.png"]


@pytest.fixture
def root(tmp_path):
    (tmp_path / FOLDER).mkdir()
    for number, name in enumerate(NAMES):
        image = Image.fromarray(smooth_picture(50 + number, 40)[:, :, 0])
        (tmp_path / FOLDER / name).write_bytes(encoded(image, "PNG"))
    return tmp_path


def write_table(root, ids=("1378", "1377", "10000", "1379")):
    rows = [f"{name},{90 + n},{n % 2 == 0}" for n, name in enumerate(ids)]
    (root / f"{FOLDER}.csv").write_text("\n".join(["id,boneage,male", *rows]) + "\n", encoding="utf-8")


def test_all_images_are_unlabelled_and_whole(root):
    loaded = RSNA.load(root, "train")
    assert loaded.problems == ()
    assert [sample.name for sample in loaded.samples] == NAMES
    assert {sample.points for sample in loaded.samples} == {None}
    assert [sample.box for sample in loaded.samples] == [Box(-0.5, -0.5, 39.5, 49.5 + n) for n in range(4)]
    assert (RSNA.rule.kind, RSNA.rule.size) == ("stretch", 512)
    assert RSNA.splits == {"train": 12611}


def test_the_images_may_lie_one_folder_deeper(root):
    (root / FOLDER).rename(root / "inner")
    (root / FOLDER).mkdir()
    (root / "inner").rename(root / FOLDER / FOLDER)
    assert [sample.name for sample in read(root, "train").samples] == NAMES


def test_with_the_csv_file_an_image_that_is_missing_is_named(root):
    write_table(root)
    assert [sample.name for sample in read(root, "train").samples] == ["1378.png", "1377.png", "10000.png", "1379.png"]
    (root / FOLDER / "1377.png").unlink()
    loaded = read(root, "train")
    assert len(loaded.samples) == 3
    assert len(loaded.problems) == 1
    assert f"{FOLDER}.csv line 3: no such image" in loaded.problems[0]


def test_broken_rows_are_named_and_the_others_stay(root):
    write_table(root)
    table = root / f"{FOLDER}.csv"
    table.write_text(table.read_text() + "1377\n,1,True\n")
    loaded = read(root, "train")
    assert len(loaded.samples) == 4
    assert "line 6: the row has not as many cells" in loaded.problems[0]
    assert "line 7: '' is no id" in loaded.problems[1]


def test_a_broken_image_is_named(root):
    (root / FOLDER / "1379.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    loaded = RSNA.load(root, "train")
    assert len(loaded.samples) == 3
    assert "1379.png: the image is truncated" in loaded.problems[0]


@pytest.mark.parametrize(
    ("text", "said"), [("case,boneage\n1,2\n", "the header has no column 'id'"), (b"\xff\xfe\x00id", "not a readable")]
)
def test_another_file_in_the_table_s_place_is_an_error(root, text, said):
    (root / f"{FOLDER}.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=said):
        read(root, "train")


def test_a_missing_or_empty_folder_shows_the_layout(root):
    with pytest.raises(InputError, match=r"no such folder(.|\n)*12,611 images"):
        read(root / FOLDER, "train")
    for name in NAMES:
        (root / FOLDER / name).unlink()
    with pytest.raises(InputError, match=r"no \.png file in it(.|\n)*12,611 images"):
        read(root, "train")
