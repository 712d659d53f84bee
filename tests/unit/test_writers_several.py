"""Writers: the files of a run, from a loop of one's own, equal to those of `lmdeploy predict`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lmdeploy import Frame, InputError, Landmarker, Writers, read_image, write_image
from lmdeploy.predict import PredictOptions, predict_source
from lmdeploy.types import U8, Landmarks
from lmdeploy.writers import choose
from tests.blob_video import truth, write_blob_video
from tests.tiny_bundle import blob_image


@pytest.fixture
def landmarker(bundle: Path) -> Landmarker:
    return Landmarker.load(bundle, threads=1, detector="whole_image")


def test_files_are_those_of_the_command(landmarker: Landmarker, bundle: Path, tmp_path: Path) -> None:
    video = write_blob_video(tmp_path / "blobs.mp4", 6)
    names = ["points.csv", "points.long.csv", "points.ndjson", "coco.json"]
    with Writers(landmarker, *(tmp_path / name for name in names)) as writers, landmarker.stream(video) as stream:
        for seen in stream:
            writers.write(seen.frame, seen.faces)
    own = [(tmp_path / name).read_text() for name in names]
    out = tuple(str(tmp_path / f"command-{name}") for name in names)
    options = PredictOptions(source=str(video), model=str(bundle), detector="whole_image", threads=1, out=out)
    predict_source(options, lambda _: None)
    assert own == [Path(name).read_text() for name in out]
    assert len(own[0].splitlines()) == 7


def test_pictures_are_annotated_and_the_frame_is_left_alone(landmarker: Landmarker, tmp_path: Path) -> None:
    image = blob_image(160, 160, truth(0), sigma=5.0)
    before = image.copy()
    with Writers(landmarker, f"{tmp_path}/out/") as writers:
        writers.write(Frame(image, 0, None, "photo.png"), landmarker.predict(image))
    np.testing.assert_array_equal(image, before)
    drawn = read_image(tmp_path / "out" / "photo.png")
    assert drawn.shape == image.shape
    assert (drawn != image).any()


def test_nothing_is_drawn_for_tables(landmarker: Landmarker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmdeploy.writers.several.draw_faces", None)
    with Writers(landmarker, tmp_path / "a.csv") as writers:
        writers.write(Frame(np.zeros((9, 9, 3), np.uint8), 0, None, "a"), [])


def test_one_name_too_bad_and_nothing_is_opened(landmarker: Landmarker, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"out\.xls"):
        Writers(landmarker, tmp_path / "a.csv", tmp_path / "out.xls")
    with pytest.raises(InputError, match="asked for twice"):
        Writers(landmarker, tmp_path / "a.csv", tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


def test_all_are_closed_even_where_one_fails(
    landmarker: Landmarker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        drawn = False

        def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None: ...

        def close(self) -> None:
            raise InputError("full")

    monkeypatch.setitem(choose.OPEN, "csv", lambda path, about: Broken())
    writers = Writers(landmarker, tmp_path / "a.csv", tmp_path / "b.json", tmp_path / "c.csv")
    with pytest.raises(InputError, match="full"):
        writers.close()
    assert (tmp_path / "b.json").exists()


def test_a_picture_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.png cannot be written"):
        write_image(str(tmp_path / "missing" / "a.png"), np.zeros((4, 4, 3), np.uint8))
