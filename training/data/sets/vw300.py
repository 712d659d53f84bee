"""300-VW: 114 videos, every frame with the 68 points of iBUG (Shen et al. 2015).

Frames are decoded once to PNG files under ROOT/unpacked (a lossless frame takes about 1 MB; all videos have some
218,000). Frame n of vid.avi, counted from 1, belongs to annot/<n, six digits>.pts; frames behind the last
annotation are not used. Sample names are <video>/<frame>.png, and the video counts as the person. The .pts files are
1-based; 1 is subtracted. `300vw` has all 68 points; `300vw_49` the 49 inner ones that TS3 measures.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError
from lmdeploy.video.source import open_source
from training.data.sets.base import DataSet, collect, need_image
from training.data.sets.pts import read_pts
from training.data.sets.unpack import cache_folder, write_png

# 68 points without the jaw 0..16 and without the inner corners of the mouth 60 and 64
INNER_49 = tuple(k for k in range(17, 68) if k not in (60, 64))
VIDEOS = {
    "train": (
        "001 002 003 004 007 009 010 011 013 015 016 017 018 019 020 022 025 027 028 029 031 033 034 035 037 "
        "039 041 043 044 046 047 048 049 053 057 059 112 113 115 119 120 123 138 143 144 160 204 205 223 225"
    ),
    "category_a": (
        "114 124 125 126 150 158 401 402 505 506 507 508 509 510 511 514 515 518 519 520 521 522 524 525 537 "
        "538 540 541 546 547 548"
    ),
    "category_b": "203 208 211 212 213 214 218 224 403 404 405 406 407 408 409 412 550 551 553",
    "category_c": "410 411 516 517 526 528 529 530 531 533 557 558 559 562",
}
LAYOUT = """\
  <video>/vid.avi               114 folders 001, 002, ...
  <video>/annot/000001.pts      one a frame"""


def read(root: Path, split: str) -> Loaded:
    """Samples of a split, video by video, frame by frame; its frames are unpacked on the first call."""
    parts = [_read_video(root, video) for video in VIDEOS[split].split()]
    samples = tuple(sample for part in parts for sample in part.samples)
    return Loaded(root, samples, tuple(line for part in parts for line in part.problems))


def read_49(root: Path, split: str) -> Loaded:
    """As `read`, with the 49 inner points f32[49,2]."""
    loaded = read(root, split)
    inner = [replace(s, points=s.points[list(INNER_49)]) for s in loaded.samples if s.points is not None]
    return replace(loaded, samples=tuple(inner))


def _read_video(root: Path, video: str) -> Loaded:
    container, labels = root / video / "vid.avi", sorted((root / video / "annot").glob("*.pts"))
    if not container.is_file() or not labels:
        return Loaded(root / video, (), (f"{root / video}: no vid.avi, or no annot/*.pts",))
    folder = cache_folder(root, container)
    targets = {label: folder / f"{label.stem}.png" for label in labels}
    problems = _unpack_video(container, list(targets.values()))
    loaded = collect(container, targets.items(), lambda item: _sample(video, *item))
    return Loaded(container, loaded.samples, (*problems, *loaded.problems))


def _unpack_video(container: Path, targets: list[Path]) -> tuple[str, ...]:
    """Decode the frames that are not there yet; what the decoder says about damage."""
    missing = {path.stem: path for path in targets if not path.is_file()}
    if not missing:
        return ()
    try:
        source = open_source(container)
    except InputError as error:
        return (str(error),)
    try:
        for frame in source:
            path = missing.pop(f"{frame.index + 1:06d}", None)
            if path is not None:
                write_png(path, frame.image)
            if not missing:
                break
    finally:
        source.close()
    return tuple(source.problems)


def _sample(video: str, label: Path, image: Path) -> Sample:
    need_image(image, f"{label}: the video has no such frame")
    return Sample(f"{video}/{image.name}", image, read_pts(label, 68), identity=video)


VW300 = DataSet(
    name="300vw",
    title="300-VW",
    schema="ibug68",
    splits={"train": 95192, "category_a": None, "category_b": None, "category_c": 26338},
    read=read,
    crop="ts3",
    normaliser="inter-ocular",
    layout=LAYOUT,
)
VW300_49 = DataSet(
    name="300vw_49",
    title="300-VW, 49 points",
    schema="ibug49",
    splits=VW300.splits,
    read=read_49,
    crop="ts3",
    normaliser="inter-ocular",
    layout=LAYOUT,
)
