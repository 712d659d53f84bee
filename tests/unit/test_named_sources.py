"""Names of several sources, and what is said and shown of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lmdeploy.predict import PredictOptions, describe
from lmdeploy.video.named import named
from lmdeploy.video.pipeline import Summary
from lmdeploy.video.reading import open_reading
from lmdeploy.writers.pictures import write_image
from tests.blob_video import write_blob_video


@pytest.mark.parametrize(
    ("text", "source", "name"),
    [
        ("a/clip.mp4", "a/clip.mp4", "a/clip.mp4"),
        ("left=a/clip.mp4", "a/clip.mp4", "left"),
        ("07", "07", "camera7"),
        ("door=0", "0", "door"),
        ("rtsp://me:secret@host:554/door?key=x=1", "rtsp://me:secret@host:554/door?key=x=1", "rtsp://host:554/door"),
        ("north.2=rtsp://h/?a=b", "rtsp://h/?a=b", "north.2"),
        ("a/b=c.mp4", "a/b=c.mp4", "a/b=c.mp4"),
        ("really=so.mp4", "really=so.mp4", "really=so.mp4"),
        ("really=*.mp4", "really=*.mp4", "really=*.mp4"),
        ("all=*.mp4", "*.mp4", "all"),
    ],
)
def test_a_name_stands_before_the_first_equals_sign_unless_a_file_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, source: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "really=so.mp4").touch()
    (found,) = named([text])
    assert (found.text, found.name) == (source, name)
    assert "secret" not in found.name


def test_a_list_of_one_source_is_one_source() -> None:
    assert PredictOptions(source=("0",)) == PredictOptions(source="0")
    assert PredictOptions(source=("a", "b")).sources == ("a", "b")


@pytest.mark.parametrize(
    ("sources", "tiles"),
    [
        (["a.mp4", "shots", "x=sub/b.mp4", "photo.png"], {"a.mp4": 0, "x": 1, "shots": 2, "photo.png": 2}),
        (["shots", "photo.png"], {}),  # pages, as of one folder
        (["x=a.mp4"], {}),
    ],
)
def test_a_view_has_a_tile_for_each_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: list[str], tiles: dict[str, int]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("sub", "shots"):
        (tmp_path / folder).mkdir()
    for video in ("a.mp4", "sub/b.mp4"):
        write_blob_video(tmp_path / video, 2)
    for picture in ("photo.png", "shots/0.png"):
        write_image(tmp_path / picture, np.zeros((8, 8, 3), np.uint8))
    reading = open_reading(named(sources), None, lambda sentence: None)
    assert reading.tiles == tiles
    reading.feed.close()


def test_many_sources_are_not_listed_one_by_one() -> None:
    text = describe(Summary(by_source=dict.fromkeys(map(str, range(30)), 1) | {"empty": 0}))
    assert text.splitlines()[1:3] == ["  empty: 0 frames", "  31 sources"]
    assert len(text.splitlines()) == 4
