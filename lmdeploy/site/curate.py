"""Which collected frames go into a refresh, and the folders that training reads.

labelled/     the anchor's training half alone: the gate half is not within training's reach
labelled.txt  its image names
unlabelled/   images/ + boxes.csv: the frames, with the boxes that the champion gave
provenance.json   every frame with its source, the champion that found it, and the anchor's hash
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lmdeploy.atomic import write_file
from lmdeploy.errors import InputError
from lmdeploy.site.anchor import FOLDER as ANCHOR
from lmdeploy.site.anchor import anchor_part, copy_labelled
from lmdeploy.site.config import SiteConfig
from lmdeploy.site.durable import link_or_copy, publish_folder, remove_folder, replace_json, sweep
from lmdeploy.site.guard import anchor_fingerprints, nearest
from lmdeploy.site.store import FrameStore, StoredFrame

INPUTS, PROVENANCE = "inputs", "provenance.json"


def choose(site: Path, config: SiteConfig) -> list[StoredFrame]:
    """Frames for the next refresh: all that are sure and not of the anchor, or a seeded draw of max_frames of them."""
    anchor = anchor_fingerprints(site, config)
    with FrameStore(site) as store:
        good = [f for f in store.kept() if f.score >= config.min_score]
        good = [f for f in good if nearest(f.fingerprint, anchor) > config.anchor_bits]
        good = [f for f in good if store.path(f.sha256).is_file()]
    drawn = sorted(good, key=lambda f: hashlib.sha256(f"{config.seed}/{f.sha256}".encode()).hexdigest())
    return sorted(drawn[: config.max_frames], key=lambda f: f.sha256)


def write_inputs(site: Path, config: SiteConfig, frames: Sequence[StoredFrame], refresh: Path) -> str:
    """Make REFRESH/inputs anew, all of it or nothing; returns the sha256 of its provenance.json."""
    if not frames:
        raise InputError(f"{site}: no frames to learn from; collect some with 'lmdeploy site collect {site} SOURCE'")
    sweep(refresh)
    remove_folder(refresh / INPUTS)
    draft = refresh / f".{INPUTS}.part"
    samples = anchor_part(site, config, "train")
    copy_labelled(site / ANCHOR, samples, draft / "labelled")
    (draft / "labelled.txt").write_text("".join(f"{s.name}\n" for s in samples), encoding="utf-8")
    _write_frames(site, frames, draft / "unlabelled")
    replace_json(draft / PROVENANCE, provenance(config, frames))
    digest = hashlib.sha256((draft / PROVENANCE).read_bytes()).hexdigest()
    publish_folder(draft, refresh / INPUTS)
    # Beside the folder, because `forget` takes the folder away when a later refresh begins.
    write_file(refresh / PROVENANCE, (refresh / INPUTS / PROVENANCE).read_bytes())
    return digest


def provenance(config: SiteConfig, frames: Sequence[StoredFrame]) -> dict[str, Any]:
    """From what a refresh is made: factory, seed, anchor and every frame (without pixels and points)."""
    rows = [{k: v for k, v in asdict(f).items() if k != "points"} for f in frames]
    declared = config.model_dump(mode="json", exclude={"command", "collecting"})
    return {"schema_version": 1, "config": declared, "frames": rows}


def inputs_sha256(site: Path, config: SiteConfig, frames: Sequence[StoredFrame]) -> str:
    """Hash of everything that the candidate and its gate depend on."""
    recipe = (site / config.recipe).read_bytes() if config.recipe else b""
    declared = config.model_dump_json(include={"factory", "anchor_sha256", "seed", "split", "landmarks", "gate"})
    names = "".join(f"{f.sha256}\n" for f in frames)
    return hashlib.sha256(b"\0".join([recipe, declared.encode(), names.encode()])).hexdigest()


def forget(refresh: Path) -> None:
    """Free the bulk of a finished refresh: pictures, weights, bundle. Provenance, gate, logs and tables stay."""
    remove_folder(refresh / INPUTS)
    remove_folder(refresh / "bundle")
    for weights in (refresh / "run").rglob("*.safetensors"):
        weights.unlink()


def _write_frames(site: Path, frames: Sequence[StoredFrame], folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    with FrameStore(site) as store:
        for frame in frames:
            try:
                link_or_copy(store.path(frame.sha256), folder / "images" / f"{frame.sha256}.jpg")
            except FileNotFoundError as error:
                raise InputError(
                    f"{error.filename}: a collector evicted it just now; call the refresh again"
                ) from error
    rows = [[f"{f.sha256}.jpg", *(f"{v:.3f}" for v in (f.box.x0, f.box.y0, f.box.x1, f.box.y1))] for f in frames]
    with (folder / "boxes.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([["image", "x0", "y0", "x1", "y1"], *rows])
