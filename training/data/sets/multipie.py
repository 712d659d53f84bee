"""CMU Multi-PIE with its 68-point labels, as the SMT paper uses it (Honari et al. 2018, 4.4).

Five cameras (frontal, 15 and 30 degrees to either side); of every subject, session, recording and camera one
illumination, drawn by a hash of its name among those that are labelled [R: the paper's own draw is not published].
Subjects 1-150 train, 151-200 validate, 201-337 test; the subject is the identity. Labels are Matlab's, so 1 is
subtracted [R]. No box is given: policies take the landmarks' own [R].
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError
from training.data.sets.base import DataSet, collect, need_folder, need_image
from training.data.sets.mat import read_mat

FIRST_PIXEL = 1.0
CAMERAS = ("041", "050", "051", "140", "130")  # +30, +15, 0, -15, -30 degrees
SUBJECTS = {"train": range(1, 151), "valid": range(151, 201), "test": range(201, 338)}
EMOTIONS = {
    "01": {"01": "neutral", "02": "smile"},
    "02": {"01": "neutral", "02": "surprise", "03": "squint"},
    "03": {"01": "neutral", "02": "smile", "03": "disgust"},
    "04": {"01": "neutral", "02": "scream", "03": "neutral"},
}
LAYOUT = """\
  data/session01/multiview/001/01/05_1/001_01_01_051_07.png     subject, session, recording, camera, illumination
  labels/051/001_01_01_051_07_lm.mat                            pts [68,2]"""


def read(root: Path, split: str) -> Loaded:
    """Samples of a split by name: one illumination of each labelled view."""
    labels = need_folder(root / "labels", LAYOUT)
    problems, views = [], dict[str, list[Path]]()
    for path in sorted(path for camera in CAMERAS for path in (labels / camera).glob("*_lm.mat")):
        parts = path.name.split("_")
        if len(parts) != 6 or not all(part.isdigit() for part in parts[:5]):
            problems.append(f"{path}: the name is not subject_session_recording_camera_illumination_lm.mat")
        elif int(parts[0]) in SUBJECTS[split]:
            views.setdefault("_".join(parts[:4]), []).append(path)
    loaded = collect(labels, [min(paths, key=_rank) for paths in views.values()], lambda path: _sample(root, path))
    return Loaded(labels, loaded.samples, (*problems, *loaded.problems))


def emotion(sample: Sample) -> str:
    """One of neutral, smile, surprise, squint, disgust, scream; "" for a recording that the set does not name."""
    _, session, recording = sample.name.split("_")[:3]
    return EMOTIONS.get(session, {}).get(recording, "")


def _rank(path: Path) -> str:
    return hashlib.sha256(path.name.encode()).hexdigest()


def _sample(root: Path, label: Path) -> Sample:
    name = label.name.removesuffix("_lm.mat")
    subject, session, recording, camera, _ = name.split("_")
    folder = root / "data" / f"session{session}" / "multiview" / subject / recording / f"{camera[:2]}_{camera[2]}"
    path = need_image(folder / f"{name}.png", str(label))
    points = np.asarray(read_mat(label, ["pts"])["pts"])
    if points.shape != (68, 2) or not np.issubdtype(points.dtype, np.number) or not np.isfinite(points).all():
        raise InputError(f"{label}: pts is {points.dtype} {points.shape} instead of 68 finite x, y")
    return Sample(path.name, path, (points - FIRST_PIXEL).astype(np.float32), subject)


MULTIPIE = DataSet(
    name="multipie",
    title="CMU Multi-PIE",
    schema="ibug68",
    splits={"train": None, "valid": None, "test": None},
    read=read,
    crop="smt",
    normaliser="inter-ocular",
    layout=LAYOUT,
    remarks={"train": "SMT counts 1,875", "valid": "SMT counts 579", "test": "SMT counts 1,054"},
)
