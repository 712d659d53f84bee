"""A refreshed model has the files that the champion has: what serves a site must not vanish by a promotion."""

from __future__ import annotations

from pathlib import Path

from lmdeploy.backends.frames import FILES as WHOLE_FRAMES
from lmdeploy.backends.precision import held
from lmdeploy.bundle import read_bundle


def export_options(champion: Path) -> list[str]:
    """Options of the export command for the champion's precisions and, where it has one, its file for whole frames."""
    bundle = read_bundle(champion)
    precisions = held(bundle)
    options = [] if precisions == ["fp32"] else ["--precision", ",".join(precisions)]
    return [*options, *(["--frame"] if WHOLE_FRAMES["fp32"] in bundle.manifest.files else [])]
