"""The folders of the refresh benchmark: labelled, gate, site frames and test, real or drawn."""

from __future__ import annotations

import hashlib
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.toy_faces import write_folder
from lmdeploy.atomic import write_file
from lmdeploy.bootstrap import bootstrap_interval, clusters_of
from lmdeploy.dataset import Sample, read_labelled, read_list, read_unlabelled, select
from lmdeploy.evaluate import evaluate
from lmdeploy.geometry import landmark_box
from lmdeploy.images import read_image
from lmdeploy.landmarker import Landmarker
from lmdeploy.model import open_model
from lmdeploy.schema import load_schema
from lmdeploy.site.measure import gate_errors
from training.data.crops import labels_csv

SITE_FRAMES = 1500


@dataclass(frozen=True, slots=True)
class Folders:
    """labelled, gate, test: points-CSV folders. site: images alone; boxes.csv is written by the champion."""

    labelled: Path
    gate: Path
    site: Path
    test: Path


def real(shared: Path, out: Path, seed: int) -> Folders:
    """Folders from faces68_300w and faces68: 60 labelled, 60 gate images, SITE_FRAMES frames drawn with the seed."""
    faces, schema = shared / "faces68_300w", load_schema("ibug68")
    train = read_labelled(faces / "train", schema)
    sixty, more = (read_list(faces / "splits" / f"labelled_{n}.txt") for n in (60, 120))
    gate = [name for name in more if name not in set(sixty)]
    rest = [sample for sample in train if sample.name not in {*sixty, *gate}]
    pool = [*rest, *read_unlabelled(shared / "faces68" / "train_unlabelled")]
    frames = random.Random(seed).sample(sorted(pool, key=lambda sample: sample.name), SITE_FRAMES)
    return Folders(
        _copy(out / "labelled", select(train, sixty)),
        _copy(out / "gate", select(train, gate)),
        _copy(out / "site", frames, labels=False),
        faces / "test_public",
    )


def drawn(out: Path) -> Folders:
    """Small folders of drawn faces, for --quick."""
    return Folders(
        write_folder(out / "labelled", 16, seed=1),
        write_folder(out / "gate", 16, seed=2),
        write_folder(out / "site", 48, seed=3, labelled=False),
        write_folder(out / "test", 24, seed=4),
    )


def nme(model: Path, folder: Path) -> float:
    """NME in per cent of a run or bundle on a labelled folder: image frame, ground-truth boxes."""
    opened = open_model(model, device="cpu")
    return evaluate(opened, read_labelled(folder, opened.spec.landmarks)).nme


def difference(model: Path, other: Path, folder: Path) -> dict[str, float]:
    """Mean over the images of NME(model) - NME(other), per cent, with its 95 % bootstrap interval by identity."""
    samples = read_labelled(folder, open_model(other, device="cpu").spec.landmarks)
    errors = gate_errors(model, samples, None) - gate_errors(other, samples, None)
    low, high = bootstrap_interval(errors, clusters_of([sample.identity for sample in samples]))
    return {"mean": float(errors.mean()), "low": low, "high": high}


def box_site_frames(folder: Path, bundle: Path, detector: str, yunet: Path | None) -> tuple[int, int]:
    """Write folder/boxes.csv: the champion's landmark box of the largest face of each frame.

    Returns how many frames have a face, and how many were dropped.
    """
    lines, frames = ["image,x0,y0,x1,y1"], read_unlabelled(folder)
    with Landmarker.load(bundle, detector=detector, yunet=yunet) as landmarker:
        for frame in frames:
            faces = landmarker.predict(read_image(frame.path))
            if faces:
                box = landmark_box(max(faces, key=lambda face: face.box.width * face.box.height).points)
                lines.append(f"{frame.name},{box.x0:.3f},{box.y0:.3f},{box.x1:.3f},{box.y1:.3f}")
    write_file(folder / "boxes.csv", ("\n".join(lines) + "\n").encode())
    return len(lines) - 1, len(frames) - len(lines) + 1


def fingerprint(folders: Folders) -> dict[str, str]:
    """sha256 over the sorted image names and sizes of each folder, for the record."""
    digests = {}
    for name in ("labelled", "gate", "site", "test"):
        files = sorted((getattr(folders, name) / "images").iterdir())
        text = "\n".join(f"{file.name} {file.stat().st_size}" for file in files)
        digests[name] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return digests


def _copy(folder: Path, samples: list[Sample], labels: bool = True) -> Path:
    """A data folder with these samples' images (and labels)."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for sample in samples:
        target = folder / "images" / sample.name
        if not target.is_file():
            shutil.copyfile(sample.path, target)
    if labels:
        points = np.stack([sample.points for sample in samples if sample.points is not None])
        write_file(folder / "landmarks.csv", labels_csv(tuple(s.name for s in samples), points).encode())
    return folder
