"""What `lmdeploy predict` is run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmdeploy.writers.pictures import write_image
from tests.blob_video import truth, write_blob_video
from tests.tiny_bundle import blob_image, make_tiny_bundle


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundle `tiny`, the video clip.mp4 of 45 frames and three pictures in `shots`."""
    folder = tmp_path_factory.mktemp("home")
    make_tiny_bundle(folder / "tiny")
    write_blob_video(folder / "clip.mp4", 45)
    (folder / "shots").mkdir()
    for index in range(3):
        write_image(folder / "shots" / f"{index}.png", blob_image(160, 160, truth(index), sigma=5.0))
    return folder
