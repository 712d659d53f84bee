"""What a run keeps for the analyses: the confidence of its pseudo-labels and the time of its epochs."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from lmdeploy.dataset import read_labelled
from lmdeploy.schema import load_schema
from tests.unit.training.conftest import tiny_request
from training import job
from training.data.crops import labels_csv


def test_every_pseudo_labelled_image_has_its_mean_confidence(toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "naive"))
    assert ready.unlabelled is not None
    found = ready.trainer.pseudo_label(ready.trainer.new_network(), ready.unlabelled, "round0")
    assert found.score is not None
    with (tmp_path / "pseudo" / "round0" / "landmarks.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["image"] for row in rows] == list(found.names)
    np.testing.assert_allclose([float(row["score"]) for row in rows], found.score.mean(axis=1), atol=1e-4)


def test_labels_with_a_score_still_read_as_labels(toy: Path) -> None:
    names = tuple(sorted(path.name for path in (toy / "labelled" / "images").iterdir()))
    points = np.random.default_rng(0).uniform(0, 100, (len(names), 68, 2)).astype(np.float32)
    text = labels_csv(names, points, np.full((len(names), 68), 0.25, np.float32))
    assert text.splitlines()[0].startswith("image,score,x0,y0")
    folder = toy / "scored"
    folder.mkdir()
    (folder / "images").symlink_to(toy / "labelled" / "images")
    (folder / "landmarks.csv").write_text(text)
    read = [sample.points for sample in read_labelled(folder, load_schema("ibug68"))]
    np.testing.assert_allclose(np.stack([p for p in read if p is not None]), points, atol=1e-3)


def test_the_seconds_of_every_epoch_are_logged(toy: Path, tmp_path: Path) -> None:
    job.run(tiny_request(toy, tmp_path, "naive"), lambda _: None)
    with (tmp_path / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    seconds = {(row["stage"], row["epoch"]): float(row["value"]) for row in rows if row["name"] == "epoch_s"}
    speed = {(row["stage"], row["epoch"]): float(row["value"]) for row in rows if row["name"] == "images_per_s"}
    assert list(seconds) == [(f"round{t}", str(e)) for t in range(3) for e in (1, 2)]
    images = [seconds[key] * speed[key] for key in seconds]
    assert images == pytest.approx([12] * 2 + [22] * 4, rel=1e-4)
