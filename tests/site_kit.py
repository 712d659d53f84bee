"""Small real sites for tests: textured pictures with three blobs, an anchor, and bundles that differ."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from lmdeploy.bundle import Bundle, read_bundle, write_bundle
from lmdeploy.dataset import Sample
from lmdeploy.site import collect, curate
from lmdeploy.site.config import SiteConfig, read_config, write_config
from lmdeploy.site.fingerprint import U64
from lmdeploy.site.guard import Predict, anchor_fingerprints
from lmdeploy.site.init import init_site
from lmdeploy.types import F32, F64, U8, Array, Box, Landmarks
from lmdeploy.video.frame import Frame
from tests.tiny_bundle import blob_image, make_tiny_bundle, tiny_onnx

STAND_IN = Path(__file__).with_name("stand_in.py")


def picture(seed: int, side: int = 128) -> tuple[U8, F32]:
    """A grey texture of its own for every seed, u8[side,side,3], and its three blobs f32[3,2], px."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0.3 * side, 0.7 * side, (3, 2))
    while min(np.linalg.norm(points[a] - points[b]) for a, b in ((0, 1), (0, 2), (1, 2))) < 0.15 * side:
        points = rng.uniform(0.3 * side, 0.7 * side, (3, 2))
    coarse = rng.uniform(20, 235, (7, 7)).astype(np.float32)
    texture = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)[..., None]
    blobs = blob_image(side, side, points, sigma=4.0, grey=0).astype(np.float32)
    return np.clip(texture * (1 - blobs.max(axis=2, keepdims=True) / 190) + blobs, 0, 255).astype(
        np.uint8
    ), points.astype(np.float32)


def write_folder(folder: Path, seeds: Sequence[int], *, per_identity: int = 1, noise: float = 0.5) -> Path:
    """A labelled folder whose labels are the blobs and a little noise, px; identity p0, p1, ..."""
    (folder / "images").mkdir(parents=True)
    names, rows, people = [], [], []
    for number, seed in enumerate(seeds):
        image, points = picture(seed)
        names.append(f"a{seed:04d}.png")
        cv2.imwrite(str(folder / "images" / names[-1]), image[..., ::-1])
        label = points + np.random.default_rng(seed + 1).normal(0, noise, points.shape)
        rows.append([names[-1], *label.ravel().round(3)])
        people.append([names[-1], f"p{number // per_identity}"])
    write_csv(folder / "landmarks.csv", ["image", *(f"{a}{k}" for k in range(3) for a in "xy")], rows)
    write_csv(folder / "manifest.csv", ["image", "identity"], people)
    return folder


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *rows])


def frames(seeds: Sequence[int]) -> Iterator[Frame]:
    """Frames of pictures that are not of any anchor made from other seeds."""
    for index, seed in enumerate(seeds):
        yield Frame(picture(seed)[0], index, index * 40.0, f"{seed}.png")


def see_blobs(image: U8, score: float = 0.9) -> list[Landmarks]:
    """A champion written in NumPy: centroids of the coloured blobs; nothing on a grey picture."""
    excess = np.clip(image.astype(float) * 1.5 - image.sum(axis=2, keepdims=True) * 0.5 - 25, 0, None)
    if (excess.sum(axis=(0, 1)) < 50).any():
        return []
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    spots = [[(excess[..., c] * axis).sum() / excess[..., c].sum() for axis in (x, y)] for c in range(3)]
    return [landmarks_at(np.array(spots, np.float32), score)]


def landmarks_at(points: F32, score: float = 0.9) -> Landmarks:
    box = Box(*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
    return Landmarks(points, points, np.full(len(points), score, np.float32), np.ones(len(points), np.float32), box)


def other_bundle(base: Bundle, path: Path, version: str) -> Bundle:
    """The same network under another version, so with another digest."""
    files = {name: base.file(name).read_bytes() for name in base.manifest.files}
    return write_bundle(path, base.spec.model_copy(update={"version": version}), files)


def biased_bundle(path: Path, size: int = 64, pull: float = 0.2) -> Bundle:
    """A blob network that is really worse: each point is pulled towards the mean of all three."""
    mix: Array = (np.eye(3) * (1 - pull) + pull / 3).astype(np.float32)
    good = make_tiny_bundle(path.with_name(path.name + "-good"), size=size)
    files = {"model.onnx": tiny_onnx(size, mix)}
    return write_bundle(path, good.spec.model_copy(update={"name": "biased"}), files)


def make_site(folder: Path, *, images: int = 60, per_identity: int = 1, bundle: Path | None = None) -> Path:
    """A site in folder/site with the anchor of seeds 0..images-1, whose refresh calls the stand-in."""
    made = bundle or make_tiny_bundle(folder / "factory").path
    anchor = write_folder(folder / "labelled", range(images), per_identity=per_identity)
    init_site(folder / "site", made, anchor)
    change_config(folder / "site", command=(sys.executable, str(STAND_IN)), reserve_mb=0.0)
    return folder / "site"


def copy_site(site: Path, target: Path) -> Path:
    """A fresh copy of a prepared site, cheaper than making one."""
    return Path(shutil.copytree(site, target))


def remember_anchor(patch: pytest.MonkeyPatch) -> None:
    """Take the fingerprints of equal anchors once: they are the slowest part of a small refresh."""
    known: dict[tuple[str, bool], U64] = {}

    def cached(site: Path, config: SiteConfig, predict: Predict | None = None) -> U64:
        key = config.anchor_sha256, predict is None
        if key not in known:
            known[key] = anchor_fingerprints(site, config, predict)
        return known[key]

    patch.setattr(curate, "anchor_fingerprints", cached)
    patch.setattr(collect, "anchor_fingerprints", cached)


def factory_of(site: Path) -> str:
    """Digest of the bundle that the site began with."""
    return read_config(site).factory


def change_config(site: Path, **change: object) -> SiteConfig:
    """Edit site.toml as a person would."""
    config = SiteConfig.model_validate({**read_config(site).model_dump(), **change})
    write_config(site, config)
    return config


def better_errors(bundle: Path, samples: list[Sample], threads: int | None) -> F64:
    """Planted gate errors, per cent: 5 for the factory's version 0.1.0, 4 for everything else, with paired noise."""
    level = 5.0 if read_bundle(bundle).spec.version == "0.1.0" else 4.0
    return level + np.random.default_rng(7).normal(0, 0.3, len(samples))


def worse_errors(bundle: Path, samples: list[Sample], threads: int | None) -> F64:
    """Planted gate errors: the candidate is worse."""
    return 9.0 - better_errors(bundle, samples, threads)
