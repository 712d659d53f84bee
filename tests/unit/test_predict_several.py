"""`lmdeploy predict` of several sources: whose row is whose, where files go, and what is refused."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from pycocotools.coco import COCO

from lmdeploy.csv_table import read_table
from lmdeploy.errors import DataError, InputError
from lmdeploy.images import read_image
from lmdeploy.predict import PredictOptions, describe, predict_source
from lmdeploy.types import F64, U8, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.video.pipeline import Summary
from lmdeploy.writers.base import Sink
from lmdeploy.writers.pictures import write_image
from tests.blob_video import Kept, truth, write_blob_video
from tests.tiny_bundle import blob_image

FRAMES = {"a.mp4": 12, "sub/b.mp4": 7}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos, a folder of three pictures, and one more picture, whose blobs are those of other frames."""
    folder = tmp_path_factory.mktemp("home")
    for name in ("sub", "shots"):
        (folder / name).mkdir()
    for name, frames in FRAMES.items():
        write_blob_video(folder / name, frames)
    for name, index in (("shots/0.png", 20), ("shots/1.png", 30), ("shots/2.png", 40), ("photo.png", 50)):
        write_image(folder / name, blob_image(160, 160, truth(index), sigma=5.0))
    return folder


class Threads(Kept):
    """Counts the threads at each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None:
        self.seen.append(threading.active_count())


Predict = Callable[..., Summary]


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def predict(home: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]) -> Predict:
    monkeypatch.chdir(home)

    def call(*sources: str, extra: tuple[Sink, ...] = (), **options: object) -> Summary:
        given = {"model": str(bundle), "detector": "whole_image", "threads": 1, "smooth": False} | options
        return predict_source(PredictOptions.model_validate({"source": sources, **given}), told.append, extra)

    return call


def wanted(source: str, frame: int) -> F64:
    """What the blobs are."""
    first = {"shots": 20, "photo.png": 50}.get(source, 0)
    return truth(first + frame * (10 if source == "shots" else 1))


def pictures(path: Path) -> int:
    with av.open(str(path)) as video:
        return sum(1 for _ in video.decode(video=0))


def test_every_row_of_every_table_names_its_source(predict: Predict, tmp_path: Path) -> None:
    names = ["p.csv", "p.long.csv", "p.ndjson", "p.json", "p.parquet"]
    summary = predict("a.mp4", "sub/b.mp4", "shots", "photo.png", out=tuple(str(tmp_path / name) for name in names))
    counts = {**FRAMES, "shots": 3, "photo.png": 1}
    assert (summary.frames, summary.by_source, summary.problems) == (23, counts, [])
    for line in ("a.mp4: 12 frames", "photo.png: 1 frame"):
        assert line in describe(summary)
    wide = pd.read_csv(tmp_path / "p.csv")
    assert wide.columns[:3].tolist() == ["source", "image", "frame"]
    assert wide.source.value_counts().to_dict() == counts
    for row in wide.to_dict("records"):
        points = np.array([[row[f"{axis}{k}"] for axis in "xy"] for k in range(3)])
        np.testing.assert_allclose(points, wanted(row["source"], row["frame"]), atol=0.7)
    order = ["source", "frame"]
    for source in counts:  # each in its own order, whatever came between
        assert wide.frame[wide.source == source].tolist() == list(range(counts[source]))
    wide = wide.sort_values(order)
    x = wide[["x0", "x1", "x2"]].to_numpy()
    long = pd.read_csv(tmp_path / "p.long.csv")
    assert long.columns[0] == "source"
    table = long.pivot(index=order, columns="name", values="x")[["red", "green", "blue"]]
    np.testing.assert_allclose(table, x)
    parquet = pd.read_parquet(tmp_path / "p.parquet").sort_values(order)
    assert parquet.columns[0] == "source"
    np.testing.assert_allclose(np.stack(parquet.x.tolist()), x, atol=6e-4)
    lines = [json.loads(line) for line in (tmp_path / "p.ndjson").read_text().splitlines()]
    found = {(line["source"], line["frame"]): [point[0] for point in line["points"]] for line in lines}
    np.testing.assert_allclose([found[key] for key in sorted(found)], x, atol=6e-4)
    check_coco(tmp_path / "p.json", found)


def check_coco(path: Path, found: dict[tuple[str, int], list[float]]) -> None:
    coco = COCO(str(path))
    assert len(coco.imgs) == len(found)  # ids are unique: else pycocotools keeps fewer
    for image in coco.loadImgs(coco.getImgIds()):
        (annotation,) = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        np.testing.assert_allclose(annotation["keypoints"][::3], found[image["source"], image["frame"]], atol=6e-4)


def test_save_writes_a_file_of_each_into_the_folder(predict: Predict, home: Path, tmp_path: Path) -> None:
    predict(
        "a.mp4", "yard=sub/b.mp4", "shots", "photo.png", "all=shots/*.png", "one=shots/0.png", save=tmp_path / "out"
    )
    out = tmp_path / "out"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    expected = ["a.mp4", "all", "one.png", "photo.png", "shots", "yard.mp4"]
    assert sorted(path.name for path in out.iterdir()) == expected
    assert (pictures(out / "a.mp4"), pictures(out / "yard.mp4")) == (12, 7)
    assert sorted(path.name for path in (out / "shots").iterdir()) == ["0.png", "1.png", "2.png"]
    for drawn, plain in (("photo.png", "photo.png"), ("one.png", "shots/0.png"), ("shots/2.png", "shots/2.png")):
        before, after = read_image(home / plain), read_image(out / drawn)
        changed = np.abs(after.astype(int) - before).sum(axis=2) > 0
        assert 0 < changed.mean() < 0.2  # the same picture with lines in it


def test_one_source_is_written_as_ever_unless_it_has_a_name(predict: Predict, tmp_path: Path) -> None:
    predict("a.mp4", csv=tmp_path / "plain.csv", ndjson=str(tmp_path / "plain.ndjson"), save=tmp_path / "frames")
    with (tmp_path / "plain.csv").open() as file:
        assert next(csv.reader(file))[:6] == ["image", "frame", "time_ms", "track", "score", "x0"]
    assert "source" not in (tmp_path / "plain.ndjson").read_text()
    assert len(list((tmp_path / "frames").iterdir())) == 12
    predict("door=a.mp4", csv=tmp_path / "named.csv", save=tmp_path / "door.mp4")
    plain, own = ((tmp_path / f"{name}.csv").read_text().splitlines()[1:] for name in ("plain", "named"))
    assert own == [f"door,{line}" for line in plain]
    assert pictures(tmp_path / "door.mp4") == 12


def test_a_thousand_pictures_need_no_thousand_threads(predict: Predict, tmp_path: Path) -> None:
    small = blob_image(16, 16, truth(0) / 10, sigma=1.0)
    paths = [tmp_path / f"{index}.png" for index in range(40)]
    for path in paths:
        write_image(path, small)
    before, watch = threading.active_count(), Threads()
    predict(*map(str, paths), csv=tmp_path / "p.csv", extra=(watch,))
    assert len(watch.seen) == 40
    assert max(watch.seen) == before + 1  # the one that reads ahead


def test_csv_of_several_is_still_read_as_labels(predict: Predict, tmp_path: Path) -> None:
    predict("shots", "photo.png", csv=tmp_path / "p.csv")
    table = read_table(tmp_path / "p.csv", ["x0", "y0"])
    assert (sorted(table.rows), table.problems) == (["0.png", "1.png", "2.png", "photo.png"], ())


@pytest.mark.parametrize(
    ("sources", "options", "sentence"),
    [
        (["a.mp4", "a.mp4"], {}, "two sources are called a.mp4: give each a name of its own, such as door="),
        (["x=a.mp4", "x=sub/b.mp4"], {}, "two sources are called x"),
        (["rtsp://h/d?channel=1", "rtsp://h/d?channel=2"], {}, "two sources are called rtsp://h/d"),
        (["a.mp4", "sub/b.mp4"], {"save": "out.mp4"}, "out.mp4 shows one source: give a folder, such as out/"),
        (["a.mp4", "sub/b.mp4"], {"save": "."}, "a.mp4 is the source"),
        (["photo.png", "a.mp4"], {"save": "."}, "photo.png would overwrite the source's own images"),
        (["a.mp4", "shots"], {"out": ("./",)}, "a.mp4 is the source"),
        (["photo.png", "shots"], {"save": "."}, "overwrite the source's own images"),
        (
            ["a.mp4", "B=a.mp4", "A=sub/b.mp4"],
            {"save": "out"},
            r"a.mp4 and A would both be .*name, such as A2=sub/b.mp4",
        ),
        (["a.mp4", "sub/b.mp4"], {"out": ("p.csv", "p.csv")}, "asked for twice"),
    ],
)
def test_clashes_are_one_sentence_and_nothing_is_written(
    predict: Predict, home: Path, sources: list[str], options: dict[str, object], sentence: str
) -> None:
    before = sorted(home.rglob("*"))
    content = (home / "a.mp4").read_bytes()
    with pytest.raises(InputError, match=sentence):
        predict(*sources, **options)
    assert sorted(home.rglob("*")) == before
    assert (home / "a.mp4").read_bytes() == content


def test_one_that_cannot_be_opened_is_told_and_the_others_go_on(
    predict: Predict, told: list[str], home: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    summary = predict("gone.mp4", "a.mp4", str(tmp_path / "bad.mp4"), csv=tmp_path / "p.csv")
    assert [problem.partition(":")[0] for problem in summary.problems] == ["gone.mp4", str(tmp_path / "bad.mp4")]
    assert told == [f"{problem}; the others go on" for problem in summary.problems]
    assert summary.by_source == {"a.mp4": 12}
    assert pd.read_csv(tmp_path / "p.csv").source.unique().tolist() == ["a.mp4"]


def test_where_none_can_be_opened_nothing_is_written(predict: Predict, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of 2 sources can be opened") as refused:
        predict("gone.mp4", "97", csv=tmp_path / "p.csv")
    assert [problem.partition(" ")[0] for problem in refused.value.problems] == ["gone.mp4:", "camera"]
    assert list(tmp_path.iterdir()) == []


def test_broken_picture_among_several_is_listed(predict: Predict, tmp_path: Path) -> None:
    for name in ("broken", "good"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken" / "x.png").write_bytes(b"no picture")
    write_image(tmp_path / "good" / "x.png", blob_image(160, 160, truth(0), sigma=5.0))
    summary = predict(str(tmp_path / "broken"), str(tmp_path / "good"), out=(str(tmp_path / "p.ndjson"),))
    assert summary.by_source == {str(tmp_path / "broken"): 0, str(tmp_path / "good"): 1}
    assert len(summary.problems) == 1
    assert "x.png" in summary.problems[0]
