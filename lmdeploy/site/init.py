"""Make a site: the factory bundle, the locked anchor and its split, and what was declared."""

from __future__ import annotations

import glob
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lmdeploy.atomic import check_place
from lmdeploy.bundle import Bundle, read_bundle
from lmdeploy.dataset import Sample, read_labelled
from lmdeploy.errors import InputError
from lmdeploy.geometry import landmark_box
from lmdeploy.images import read_image
from lmdeploy.schema import BUILT_IN, load_schema
from lmdeploy.site import audit, registry
from lmdeploy.site.anchor import FOLDER, anchor_part, anchor_sha256, copy_labelled, identities, split_by_identity
from lmdeploy.site.config import SiteConfig, to_toml, write_config
from lmdeploy.site.durable import publish_folder
from lmdeploy.site.gate import MIN_IMAGES
from lmdeploy.site.measure import gate_errors
from lmdeploy.site.power import ASSUMPTION, detectable_difference, images_needed

WEIGHTS = "weights.safetensors"  # what a refresh starts from
# A frame is kept when its mean score reaches this share of the anchor's median. Measured on 330 faces of two sets with
# Haar boxes: 0.7 drops 12 of 14 frames with an error over 20 % NME and no other; 0.5 drops 4, 0.9 drops 13 and 6 % of
# the good ones.
SURE = 0.7


@dataclass(frozen=True, slots=True)
class Summary:
    """What `site init` found. nme: of the champion on the gate half, per cent; detectable: likewise.

    trainable: whether the bundle holds the weights that a refresh starts from.
    """

    gate_images: int
    gate_identities: int
    train_images: int
    nme: float
    detectable: float
    trainable: bool

    def lines(self) -> list[str]:
        """What a person should know, one sentence a line."""
        told = [
            f"anchor: {self.train_images} images for training, {self.gate_images} images of {self.gate_identities} "
            f"identities for the gate, where the champion's NME is {self.nme:.2f} %",
            f"the gate can show a gain of {self.detectable:.2f} % NME or more ({ASSUMPTION})",
        ]
        if np.isfinite(self.detectable) and self.detectable > 0:
            needed = images_needed(self.detectable, self.gate_images, self.detectable / 2)
            told.append(f"half of that needs about {needed} gate images; 'not promoted' does not mean worse")
        if self.gate_images < MIN_IMAGES:
            told.append(f"fewer than {MIN_IMAGES} gate images: this site only proposes, it never promotes by itself")
        if not self.trainable:
            told.append(f"the bundle holds no {WEIGHTS}: this site can serve and collect, but not refresh")
        return told


def init_site(
    site: Path,
    bundle: str | Path,
    anchor: Path,
    *,
    quota_mb: float = 2000.0,
    seed: int = 0,
    recipe: Path | None = None,
) -> Summary:
    """Make the site's folder, all of it or nothing.

    Args:
        site: must not exist, or be empty.
        bundle: the factory model, which serves until a refresh is shown to be better.
        anchor: labelled folder; it is copied and locked.
        quota_mb: limit of all collected frames.
        seed: of the split, the choice of frames and the training.
        recipe: TOML for `lmdeploy train`, copied; without one the package's recipe `refresh` runs.
    Errors: InputError when the folder is in use, BundleError or DataError for broken parts.
    """
    if site.exists() and (not site.is_dir() or any(site.iterdir())):
        raise InputError(f"{site} exists already and is not empty: choose another folder")
    check_place(site.absolute())
    factory = read_bundle(bundle)
    samples = read_labelled(anchor, factory.spec.landmarks)
    site = site.absolute()
    site.parent.mkdir(parents=True, exist_ok=True)
    for left in site.parent.glob(f".{glob.escape(site.name)}.*.part"):  # of a killed call
        shutil.rmtree(left, ignore_errors=True)
    draft = site.with_name(f".{site.name}.{os.getpid()}.part")
    draft.mkdir()
    try:
        config = _fill(draft, factory, anchor, samples, {"quota_mb": quota_mb, "seed": seed, "recipe": recipe})
        summary = _measure(draft, factory, config)
        publish_folder(draft, site)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return summary


def _fill(draft: Path, factory: Bundle, anchor: Path, samples: list[Sample], chosen: dict[str, object]) -> SiteConfig:
    copy_labelled(anchor, samples, draft / FOLDER)
    schema = factory.spec.landmarks
    built_in = schema.name in BUILT_IN and load_schema(schema.name) == schema
    if not built_in:
        (draft / "schema.toml").write_text(to_toml(schema.model_dump(mode="json")), encoding="utf-8")
    recipe = chosen.pop("recipe")
    if recipe is not None:
        shutil.copyfile(str(recipe), draft / "recipe.toml")
    config = SiteConfig(
        name=factory.spec.name,
        factory=factory.digest,
        landmarks=schema.name if built_in else "schema.toml",
        anchor_sha256=anchor_sha256(draft / FOLDER),
        min_score=round(SURE * _median_score(factory, samples), 3),
        split=split_by_identity(samples, int(str(chosen["seed"]))),
        recipe="recipe.toml" if recipe is not None else "",
        **chosen,
    )
    write_config(draft, config)
    registry.add_bundle(draft, factory.path)
    alias = registry.Alias(digest=factory.digest, origin="site init")
    registry.set_alias(draft, "factory", alias)
    registry.set_alias(draft, "champion", alias)
    facts = {"factory": factory.digest, "anchor": config.anchor_sha256, "gate_images": len(config.split.gate)}
    audit.append(draft, "init", {**facts, "digest": factory.digest, "serial": 0}, key="champion-0")
    return config


def _median_score(factory: Bundle, samples: list[Sample]) -> float:
    """Median over the anchor of the champion's mean score, on ground-truth boxes."""
    from lmdeploy.landmarker import Landmarker  # loads ONNX Runtime

    with Landmarker.load(factory.path, device="cpu", backend="onnxruntime") as landmarker:
        boxed = [(s.path, landmark_box(s.points)) for s in samples if s.points is not None]
        found = [landmarker.predict(read_image(path), [box])[0] for path, box in boxed]
    return float(np.median([landmarks.score.mean() for landmarks in found]))


def _measure(draft: Path, factory: Bundle, config: SiteConfig) -> Summary:
    gate = anchor_part(draft, config, "gate")
    errors, who = gate_errors(factory.path, gate, None), identities(gate)
    return Summary(
        gate_images=len(gate),
        gate_identities=len(set(who)),
        train_images=len(config.split.train),
        nme=float(errors.mean()),
        trainable=WEIGHTS in factory.manifest.files,
        detectable=detectable_difference(errors, who, config.gate.alpha),
    )
