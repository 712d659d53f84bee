"""The anchor: the small labelled set of a site, split once by identity and locked by its hash."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path

from lmdeploy.bundle import sha256_file
from lmdeploy.dataset import Sample, image_folder, read_labelled, select
from lmdeploy.errors import InputError
from lmdeploy.schema import LandmarkSchema, load_schema
from lmdeploy.site.config import SiteConfig, Split
from lmdeploy.site.durable import link_or_copy

FOLDER = "anchor"
TABLES = ("landmarks.csv", "manifest.csv", "boxes.csv")


def split_by_identity(samples: Sequence[Sample], seed: int) -> Split:
    """Half for training and half for the gate; no identity stands on both sides.

    An image without identity counts as its own. Identities go, largest first and then by a hash of the seed, to the
    side with fewer images; the gate takes the first. InputError when there are fewer than two identities.
    """
    groups: dict[str, list[str]] = {}
    for sample, who in zip(samples, identities(samples), strict=True):
        groups.setdefault(who, []).append(sample.name)
    if len(groups) < 2:
        raise InputError("the anchor shows one identity only: it cannot be split into a training and a gate half")
    order = sorted(groups, key=lambda who: (-len(groups[who]), hashlib.sha256(f"{seed}/{who}".encode()).hexdigest()))
    gate: list[str] = []
    train: list[str] = []
    for who in order:
        (gate if len(gate) <= len(train) else train).extend(groups[who])
    return Split(train=tuple(sorted(train)), gate=tuple(sorted(gate)))


def identities(samples: Sequence[Sample]) -> list[str]:
    """One cluster name a sample: its identity, or the image itself where that is unknown."""
    return [f"person {s.identity}" if s.identity else f"image {s.name}" for s in samples]


def subgroups(folder: Path, samples: Sequence[Sample]) -> list[str]:
    """The `group` column of manifest.csv for each sample; empty when it has none, so that no subgroup is tested."""
    path = folder / "manifest.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = {row.get("image", ""): row.get("group") or "" for row in csv.DictReader(stream)}
    groups = [rows.get(s.name, "") for s in samples]
    return [group or "other" for group in groups] if any(groups) else []


def copy_labelled(source: Path, samples: Sequence[Sample], target: Path) -> None:
    """A labelled folder at `target` that holds just these samples; images are linked where the disk can."""
    names = {sample.name for sample in samples}
    for sample in samples:
        image = target / "images" / sample.name
        image.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(image_folder(source) / sample.name, image)
    for table in TABLES:
        if (source / table).is_file():
            _copy_rows(source / table, names, target / table)


def anchor_sha256(folder: Path) -> str:
    """One hash of every file's name and content."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    lines = [f"{p.relative_to(folder).as_posix()} {sha256_file(p)}\n" for p in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check_anchor(site: Path, config: SiteConfig) -> None:
    """InputError when a file of the anchor was changed, added or removed since `site init`."""
    if anchor_sha256(site / FOLDER) != config.anchor_sha256:
        raise InputError(f"{site / FOLDER}: the anchor was changed after 'site init'; restore it, or make a new site")


def site_schema(site: Path, config: SiteConfig) -> LandmarkSchema:
    """The site's landmark schema."""
    return load_schema(schema_argument(site, config))


def schema_argument(site: Path, config: SiteConfig) -> str:
    """What `--schema` takes: a built-in name, or the path of the site's own file."""
    return str(site / config.landmarks) if config.landmarks.endswith(".toml") else config.landmarks


def anchor_part(site: Path, config: SiteConfig, part: str) -> list[Sample]:
    """The labelled samples of `train` or `gate`, in the order of site.toml."""
    names: Collection[str] = config.split.gate if part == "gate" else config.split.train
    return select(read_labelled(site / FOLDER, site_schema(site, config)), names)


def _copy_rows(source: Path, names: set[str], target: Path) -> None:
    with source.open(newline="", encoding="utf-8-sig") as stream:
        header, *rows = [[cell.strip() for cell in row] for row in csv.reader(stream) if row]
    column = header.index("image")
    with target.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *(row for row in rows if row[column] in names)])
