"""A refreshed model has the files that the champion has: what serves a site must not vanish by a promotion."""

from __future__ import annotations

from pathlib import Path

from lmdeploy.backends.frames import FILES as WHOLE_FRAMES
from lmdeploy.backends.precision import held
from lmdeploy.bundle import read_bundle


def export_options(champion: Path, labelled: Path) -> list[str]:
    """What the export is told: images to compare on, the champion's precisions, a file for whole frames if it has one.

    labelled: the folder that training has its labels from. 8-bit ranges are of crops by its boxes, as they are served:
    those of whole pictures would be other ranges.
    """
    bundle = read_bundle(champion)
    precisions = held(bundle)
    options = ["--data", str(labelled)] if "int8" in precisions else ["--images", str(labelled / "images")]
    options += [] if precisions == ["fp32"] else ["--precision", ",".join(precisions)]
    return [*options, *(["--frame"] if WHOLE_FRAMES["fp32"] in bundle.manifest.files else [])]
