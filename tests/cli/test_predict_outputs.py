"""`lmdeploy predict -o`: the kind of an output is told from its name, and several are written at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pandas as pd
from pycocotools.coco import COCO

from lmdeploy.bundle import read_bundle
from lmdeploy.video.file import PyAVVideo
from tests.blob_video import truth, write_blob_video
from tests.tiny_bundle import make_tiny_bundle

RUN = [sys.executable, "-c", "from lmdeploy.cli import main; main()", "predict"]
FRAMES = 20


def test_all_outputs_of_one_run_agree(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "tiny")
    write_blob_video(tmp_path / "clip.mp4", FRAMES)
    names = ["p.csv", "p.long.csv", "p.ndjson", "p.json", "p.parquet", "p.mp4", "pictures", "-"]
    words = [word for name in names for word in ("-o", name)]
    common = ["--model", "tiny", "--detector", "whole", "--threads", "1"]
    done = subprocess.run(
        [*RUN, "clip.mp4", *words, *common], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob(".*")) == []
    wide = pd.read_csv(tmp_path / "p.csv")
    assert wide.frame.tolist() == list(range(FRAMES))
    x = wide[["x0", "x1", "x2"]].to_numpy()
    np.testing.assert_allclose(x, [truth(i)[:, 0] for i in range(FRAMES)], atol=2.0)
    long = pd.read_csv(tmp_path / "p.long.csv")
    np.testing.assert_allclose(long.pivot(index="frame", columns="name", values="x")[["red", "green", "blue"]], x)
    parquet = pd.read_parquet(tmp_path / "p.parquet")
    np.testing.assert_allclose(np.stack(parquet.x), x, atol=6e-4)
    assert parquet.digest.unique().tolist() == [read_bundle(tmp_path / "tiny").digest]
    coco = COCO(str(tmp_path / "p.json"))
    np.testing.assert_allclose([a["keypoints"][::3] for a in coco.loadAnns(coco.getAnnIds())], x, atol=6e-4)
    assert [i["file_name"] for i in coco.loadImgs(coco.getImgIds())] == sorted(
        p.name for p in (tmp_path / "pictures").iterdir()
    )
    assert (tmp_path / "p.ndjson").read_text() == done.stdout
    assert [json.loads(line)["frame"] for line in done.stdout.splitlines()] == list(range(FRAMES))
    assert len(list(PyAVVideo(tmp_path / "p.mp4", av))) == FRAMES
