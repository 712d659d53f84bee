"""Attributes travel from attributes.csv to the batch; whatever is wrong with the file is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lmdeploy.dataset import read_labelled, read_unlabelled
from lmdeploy.errors import DataError, InputError
from lmdeploy.schema import load_schema
from tests.unit.training.conftest import tiny_request
from training import job
from training.data.attributes import Column, read_attributes
from training.data.blocks import draw
from training.data.drawn import write_folder
from training.engine.streams import split
from training.engine.train_set import Part, TrainSet
from training.losses.attribute_loss import attribute_loss


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "blocks", draw(8, 3))


def samples(folder: Path) -> list[object]:
    return list(read_labelled(folder, load_schema("blocks6")))


def told(folder: Path, text: str) -> object:
    (folder / "attributes.csv").write_text(text)
    return read_attributes(read_labelled(folder, load_schema("blocks6")))


def test_classes_real_values_and_gaps(folder: Path) -> None:
    found = told(folder, "image,pose:3,yaw\n00001.png,2,-3.5\n00000.png,,1\n00003.png,0,\n")
    assert found.columns == (Column("pose", 3), Column("yaw", 0))
    nan = float("nan")
    np.testing.assert_array_equal(found.values[:4], [[nan, 1], [2, -3.5], [nan, nan], [0, nan]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,pose:1\n", "NAME:CLASSES"),
        ("image,pose:x\n", "NAME:CLASSES"),
        ("image,:3\n", "NAME:CLASSES"),
        ("image\n", "no attribute"),
        ("name,pose:3\n", "no column 'image'"),
    ],
)
def test_a_header_that_makes_no_sense(folder: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        told(folder, text)


def test_every_broken_row_is_named(folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        told(folder, "image,pose:3,yaw\n00000.png,3,0\n00001.png,0.5,0\n00002.png,1,left\n00003.png,1,0\n")
    for words in ("line 2", "line 3", "line 4", "pose is 3, not a class index 0..2", "yaw is 'left'"):
        assert words in str(caught.value)
    assert "line 5" not in str(caught.value)


def test_a_folder_without_the_file_tells_nothing(folder: Path, toy: Path) -> None:
    assert read_attributes(read_unlabelled(toy / "unlabelled")) is None
    mixed = read_attributes([*read_labelled(folder, load_schema("blocks6")), *read_unlabelled(toy / "unlabelled")])
    assert mixed is not None
    assert np.isfinite(mixed.values[:8]).all()
    assert np.isnan(mixed.values[8:]).all()


def test_folders_that_disagree_are_an_error(folder: Path, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "more", draw(2, 4))
    (other / "attributes.csv").write_text("image,figure:3\n00000.png,2\n")
    with pytest.raises(InputError, match="figure"):
        read_attributes(
            [*read_labelled(folder, load_schema("blocks6")), *read_labelled(other, load_schema("blocks6"))]
        )


def test_they_reach_the_batch_beside_their_images(toy: Path, tmp_path: Path) -> None:
    """Over two parts, one of which tells nothing, in both streams and in another view."""
    rows = [f"toy_1_{i:04d}.png,{i % 3},{i / 2}" for i in range(12)]
    data = tmp_path / "data"
    data.mkdir()
    for name in ("images", "landmarks.csv", "manifest.csv"):
        (data / name).symlink_to(toy / "labelled" / name)
    (data / "attributes.csv").write_text("\n".join(["image,turn:3,age", *rows]) + "\n")
    request = tiny_request(toy, tmp_path / "run", "naive")
    ready = job.prepare(job.Request(**{f: getattr(request, f) for f in request.__dataclass_fields__} | {"data": data}))
    assert ready.unlabelled is not None
    assert ready.labelled.rows(3, 5).attributes is not None
    parts = [Part(ready.labelled), Part(ready.unlabelled, pseudo=True)]
    drawer = ready.trainer.drawer(parts)
    batch = drawer.draw(torch.tensor([4, 1, 13, 12]), torch.Generator().manual_seed(0))
    nan = float("nan")
    wanted = torch.tensor([[1, 2.0], [1, 0.5], [nan, nan], [nan, nan]])
    torch.testing.assert_close(batch.attributes, wanted, equal_nan=True)
    torch.testing.assert_close(batch.view(drawer.cfg).attributes, wanted, equal_nan=True)
    torch.testing.assert_close(split(batch, 1)[0].attributes, wanted[:2], equal_nan=True)
    assert TrainSet(parts).columns == (Column("turn", 3), Column("age", 0))
    assert TrainSet(parts[1:]).gather(torch.tensor([0])).attributes is None


def test_the_loss_by_hand() -> None:
    nan = float("nan")
    logits = torch.log(torch.tensor([[0.25, 0.75], [0.9, 0.1], [0.5, 0.5]]))
    values = torch.tensor([[1.0], [4.0], [9.0]])
    wanted = torch.tensor([[1.0, nan], [nan, 2.0], [nan, 8.0]])
    loss = attribute_loss([logits, values], wanted)
    assert float(loss) == pytest.approx(-np.log(0.75) + (2 + 1) / 2, rel=1e-6)
    assert float(attribute_loss([logits, values], torch.full((3, 2), nan))) == 0.0
