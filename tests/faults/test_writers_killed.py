"""Writers under `kill -9`: what lies at a final name opens in its reader, and nothing that was flushed is lost."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from pycocotools.coco import COCO

from lmdeploy.images import read_image
from lmdeploy.video.file import PyAVVideo
from lmdeploy.writers.parquet import FLUSH_FACES
from lmdeploy.writers.recover import recover
from tests.faults.writers_driver import FACES, POINTS, main

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
ROOT = Path(__file__).resolve().parents[2]
NAMES = ("p.csv", "p.long.csv", "p.ndjson", "p.json", "p.parquet", "p.mp4", "pictures/")
ENDLESS = 10**6


def start(frames: int, point: str, folder: Path, names: tuple[str, ...]) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.faults.writers_driver", str(frames), point]
    return subprocess.Popen([*words, *(f"{folder}/{n}" for n in names)], stdout=subprocess.PIPE, text=True, cwd=ROOT)


def killed_after(frames: int, folder: Path, names: tuple[str, ...] = NAMES) -> int:
    """Kill an endless run once so many frames are written; how many the process says it has written."""
    process = start(ENDLESS, "", folder, names)
    assert process.stdout is not None
    for _ in range(frames):
        process.stdout.readline()
    process.kill()
    rest = process.stdout.read().splitlines()  # what it still did until the kill came
    process.stdout.close()
    assert process.wait(60) == -9
    return frames + len(rest)


def rows_of_text(path: Path) -> list[str]:
    """Whole lines; a kill within the system call itself may cut the last one."""
    return path.read_text().split("\n")[:-1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_output_of_a_killed_run_opens(tmp_path: Path, seed: int) -> None:
    """The frame at hand may be in some outputs and not in others: one more than the process told is right, too."""
    done = killed_after(random.Random(seed).randint(31, 70), tmp_path)
    for name, per_face, columns in (("p.csv", 1, 11), ("p.long.csv", 3, 11)):
        rows = list(csv.reader(rows_of_text(tmp_path / name)))[1:]
        assert {len(row) for row in rows} == {columns}
        assert done <= len(rows) / FACES / per_face <= done + 1
    found = [json.loads(line) for line in rows_of_text(tmp_path / "p.ndjson")]
    assert done <= len(found) / FACES <= done + 1
    assert not (tmp_path / "p.json").exists()
    assert not (tmp_path / "p.parquet").exists()
    assert 30 <= len(list(PyAVVideo(tmp_path / "p.mp4", av))) >= done - 31  # at most the last second is missing
    pictures = sorted(p for p in (tmp_path / "pictures").iterdir() if not p.name.startswith("."))
    assert len(pictures) in (done, done + 1)
    assert all(read_image(path).shape == (32, 32, 3) for path in pictures)


def test_coco_and_parquet_are_recovered(tmp_path: Path) -> None:
    done = killed_after(33, tmp_path, ("p.json", "p.parquet"))
    coco = COCO(str(recover(tmp_path / "p.json")))
    assert len(coco.getImgIds()) in (done, done + 1)
    assert len(coco.getAnnIds()) == FACES * len(coco.getImgIds())
    assert [a["keypoints"][0] for a in coco.loadAnns(coco.getAnnIds(imgIds=[8]))] == [
        pytest.approx(7 + n / FACES, abs=1e-3) for n in range(FACES)
    ]
    table = pq.read_table(recover(tmp_path / "p.parquet")).to_pandas()
    per_part = FLUSH_FACES // FACES
    assert len(table) / FACES in (done // per_part * per_part, (done + 1) // per_part * per_part)
    assert table.frame.tolist() == np.repeat(np.arange(len(table) // FACES), FACES).tolist()
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("name", ["p.json", "p.parquet"])
@pytest.mark.parametrize("point", [point for point in POINTS if point])
def test_killed_while_closing_leaves_all_or_nothing(tmp_path: Path, name: str, point: str) -> None:
    process = start(3, point, tmp_path, (name,))
    process.communicate()
    assert process.returncode == -9
    assert (tmp_path / name).exists() == (point != "draft complete")
    if point != "parts to be removed":
        recover(tmp_path / name)
    assert faces_in(tmp_path / name) == 3 * FACES
    main(1, "", [str(tmp_path / name)])  # the next run sweeps up
    assert faces_in(tmp_path / name) == FACES
    assert [p.name for p in tmp_path.iterdir()] == [name]


def faces_in(path: Path) -> int:
    return len(COCO(str(path)).getAnnIds()) if path.suffix == ".json" else int(pq.read_table(path).num_rows)
