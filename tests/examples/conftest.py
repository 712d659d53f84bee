"""What the examples and the guide are run on: a public-domain portrait, still and moving, and a process for each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lmdeploy.bundle import read_bundle
from lmdeploy.demo import portrait_path, write_portrait_video
from lmdeploy.images import read_image
from lmdeploy.landmarker import Landmarker
from lmdeploy.site.registry import Alias, add_bundle, set_alias
from lmdeploy.types import Box
from lmdeploy.writers.pictures import write_image

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FACE = Box(178, 168, 356, 333)  # of the portrait, from ear to ear and brows to chin, read off by eye
FRAMES = {"clip.mp4": 12, "other.mp4": 6}
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photo.jpg, pair.jpg (the face, and to the right at half the size), images/ with a broken one, and videos."""
    folder = tmp_path_factory.mktemp("made")
    portrait = read_image(portrait_path())
    shutil.copy(portrait_path(), folder / "photo.jpg")
    small = np.zeros_like(portrait)
    half = cv2.resize(portrait, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    small[: half.shape[0], : half.shape[1]] = half
    write_image(folder / "pair.jpg", np.concatenate([portrait, small], axis=1))
    (folder / "images").mkdir()
    shutil.copy(folder / "photo.jpg", folder / "images" / "a.jpg")
    shutil.copy(folder / "pair.jpg", folder / "images" / "c.jpg")
    (folder / "images" / "b.jpg").write_bytes((folder / "photo.jpg").read_bytes()[:9000])
    for name, frames in FRAMES.items():
        write_portrait_video(folder / name, frames / 30)
    return folder


@pytest.fixture(scope="session")
def prepared(made: Path) -> Path:
    """The same, and what the guide speaks of: LABELLED (the model's own points, a pixel off) and SITE."""
    bundle = read_bundle("face68")
    with Landmarker.load("face68") as landmarker:
        (face,) = landmarker.predict(read_image(made / "photo.jpg"), [FACE])
    cells = ",".join(f"{value + 1:.3f}" for value in face.points.ravel())
    header = ",".join(["image", *(f"{axis}{k}" for k in range(68) for axis in "xy")])
    (made / "LABELLED" / "images").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(made / "photo.jpg", made / "LABELLED" / "images" / name)
    (made / "LABELLED" / "landmarks.csv").write_text(f"{header}\na.jpg,{cells}\nb.jpg,{cells}\n")
    (made / "SITE").mkdir()
    add_bundle(made / "SITE", bundle.path)
    set_alias(made / "SITE", "champion", Alias(digest=bundle.digest, serial=1, event="promote"))
    return made


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Run:
    """Run an example on what was made, in a folder of its own, as a person would."""

    def call(name: str, *words: str) -> subprocess.CompletedProcess[str]:
        given = [str(made / word) if (made / word).exists() else word for word in words]
        return subprocess.run(
            [sys.executable, str(EXAMPLES / name), *given],
            cwd=tmp_path,
            env={**os.environ, "PYTHONWARNINGS": "error"},
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )

    return call
