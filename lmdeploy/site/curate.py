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
from typing import Any, NamedTuple

from lmdeploy.atomic import write_file
from lmdeploy.errors import InputError
from lmdeploy.site.anchor import FOLDER as ANCHOR
from lmdeploy.site.anchor import anchor_part, copy_labelled
from lmdeploy.site.config import SiteConfig
from lmdeploy.site.durable import link_or_copy, publish_folder, remove_folder, replace_json, sweep
from lmdeploy.site.guard import anchor_fingerprints, nearest
from lmdeploy.site.sift import Sift, sift
from lmdeploy.site.store import FrameStore, Residual, StoredFrame

INPUTS, PROVENANCE = "inputs", "provenance.json"


class Choice(NamedTuple):
    """The frames of a refresh by sha256; with a limit on the residual also that of each frame looked at."""

    frames: list[StoredFrame]
    residuals: dict[str, Residual]
    sift: Sift | None


def choose(site: Path, config: SiteConfig, threads: int | None = None) -> Choice:
    """Frames for the next refresh: all that are sure, seen and not of the anchor, or a seeded draw of max_frames.

    threads: of the network that measures the residual. Errors: see sift.
    """
    anchor = anchor_fingerprints(site, config)
    with FrameStore(site) as store:
        good = [f for f in store.kept() if f.score >= config.min_score]
        good = [f for f in good if nearest(f.fingerprint, anchor) > config.anchor_bits]
        good = [f for f in good if store.path(f.sha256).is_file()]
    drawn = sorted(good, key=lambda f: hashlib.sha256(f"{config.seed}/{f.sha256}".encode()).hexdigest())
    residuals: dict[str, Residual] = {}
    summary: Sift | None = None
    if config.max_residual > 0:
        drawn, residuals, summary = sift(site, config, drawn, threads)
    return Choice(sorted(drawn[: config.max_frames], key=lambda f: f.sha256), residuals, summary)


def write_inputs(site: Path, config: SiteConfig, choice: Choice, refresh: Path) -> str:
    """Make REFRESH/inputs anew, all of it or nothing; returns the sha256 of its provenance.json."""
    if not choice.frames:
        raise InputError(_nothing_left(site, choice))
    sweep(refresh)
    remove_folder(refresh / INPUTS)
    draft = refresh / f".{INPUTS}.part"
    samples = anchor_part(site, config, "train")
    copy_labelled(site / ANCHOR, samples, draft / "labelled")
    (draft / "labelled.txt").write_text("".join(f"{s.name}\n" for s in samples), encoding="utf-8")
    _write_frames(site, choice.frames, draft / "unlabelled")
    replace_json(draft / PROVENANCE, provenance(config, choice))
    digest = hashlib.sha256((draft / PROVENANCE).read_bytes()).hexdigest()
    publish_folder(draft, refresh / INPUTS)
    # Beside the folder, because `forget` takes the folder away when a later refresh begins.
    write_file(refresh / PROVENANCE, (refresh / INPUTS / PROVENANCE).read_bytes())
    return digest


def provenance(config: SiteConfig, choice: Choice) -> dict[str, Any]:
    """From what a refresh is made: factory, seed, anchor and every frame (without pixels and points).

    `residuals`: of all frames looked at, those left out too, with the model that was asked.
    """
    rows = [{k: v for k, v in asdict(f).items() if k != "points"} for f in choice.frames]
    residuals = {sha256: residual._asdict() for sha256, residual in sorted(choice.residuals.items())}
    declared = config.model_dump(mode="json", exclude={"command", "collecting"})
    return {"schema_version": 1, "config": declared, "frames": rows, "residuals": residuals}


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


def _nothing_left(site: Path, choice: Choice) -> str:
    """Why there is no frame, and what to do."""
    if choice.sift is None or not choice.sift.left_out:
        return f"{site}: no frames to learn from; collect some with 'lmdeploy site collect {site} SOURCE'"
    return (
        f"{site}: no frames to learn from, {choice.sift.sentence()}; collect others with 'lmdeploy site collect "
        f"{site} SOURCE', or raise max_residual in site.toml (0 takes every frame)"
    )


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
