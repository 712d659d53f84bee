"""Multi-PIE in its official layout, made here: subjects, cameras, one illumination a view, broken labels."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from lmdeploy.errors import InputError
from tests.odd_images import smooth_picture
from training.data.sets.multipie import CAMERAS, MULTIPIE, emotion, read


def raw_points(name):
    return np.random.default_rng(sum(name.encode())).uniform([10, 8], [70, 50], (68, 2)).round(4)


def write_view(root, name, points=None):
    """A picture and its label; name: subject_session_recording_camera_illumination."""
    subject, session, recording, camera, _ = name.split("_")
    folder = root / "data" / f"session{session}" / "multiview" / subject / recording / f"{camera[:2]}_{camera[2]}"
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(smooth_picture(60, 80, seed=1)).save(folder / f"{name}.png")
    (root / "labels" / camera).mkdir(parents=True, exist_ok=True)
    savemat(root / "labels" / camera / f"{name}_lm.mat", {"pts": raw_points(name) if points is None else points})


@pytest.fixture
def root(tmp_path):
    for subject in ("001", "150", "151", "200", "201", "337"):
        for camera in ("051", "130"):
            for light in ("00", "07", "13"):
                write_view(tmp_path, f"{subject}_01_02_{camera}_{light}")
    write_view(tmp_path, "001_04_02_050_00")
    write_view(tmp_path, "001_01_01_190_00", np.zeros((39, 2)))  # a profile camera, which is not used
    return tmp_path


def test_subjects_make_the_splits_and_each_view_comes_once(root):
    found = {split: read(root, split) for split in MULTIPIE.splits}
    people = {split: Counter(sample.identity for sample in loaded.samples) for split, loaded in found.items()}
    assert people == {"train": {"001": 3, "150": 2}, "valid": {"151": 2, "200": 2}, "test": {"201": 2, "337": 2}}
    assert all(loaded.problems == () for loaded in found.values())
    views = [sample.name[:13] for loaded in found.values() for sample in loaded.samples]
    assert len(set(views)) == len(views)
    lights = {sample.name[-6:-4] for loaded in found.values() for sample in loaded.samples}
    assert len(lights) > 1  # drawn, not the first of every view


def test_points_names_and_emotions(root):
    for sample in read(root, "train").samples:
        np.testing.assert_allclose(sample.points, raw_points(sample.name[:-4]) - 1, atol=1e-5)
        assert sample.path.name == sample.name
        assert emotion(sample) == ("scream" if sample.name[4:6] == "04" else "smile")


def test_the_draw_is_the_same_on_every_call_and_independent_of_other_people(root):
    before = [sample.name for sample in read(root, "test").samples]
    for path in (root / "labels").rglob("001_*"):
        path.unlink()
    assert [sample.name for sample in read(root, "test").samples] == before


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (np.zeros((39, 2)), "(39, 2) instead of 68"),
        (np.full((68, 2), np.nan), "instead of 68 finite"),
        (np.array([["a", "b"]] * 68), "instead of 68 finite"),
    ],
)
def test_a_wrong_label_is_named(root, points, said):
    write_view(root, "001_04_02_050_00", points)
    loaded = read(root, "train")
    assert len(loaded.samples) == 4
    assert "001_04_02_050_00_lm.mat" in loaded.problems[0]
    assert said in loaded.problems[0]


def test_a_truncated_label_a_missing_image_and_an_odd_name_are_named(root):
    label = root / "labels" / "050" / "001_04_02_050_00_lm.mat"
    label.write_bytes(label.read_bytes()[:150])
    (root / "labels" / "051" / "copy_of_001_lm.mat").write_bytes(b"")
    for image in (root / "data").rglob("150_01_02_130_*.png"):
        image.unlink()
    loaded = read(root, "train")
    assert len(loaded.samples) == 3
    said = "\n".join(loaded.problems)
    assert len(loaded.problems) == 3
    assert "copy_of_001_lm.mat: the name is not" in said
    assert "050_00_lm.mat: " in said
    assert "no such image" in said


def test_a_missing_folder_shows_the_layout(tmp_path):
    with pytest.raises(InputError, match="subject, session, recording, camera"):
        read(tmp_path, "train")
    assert set(CAMERAS) == {"041", "050", "051", "140", "130"}
