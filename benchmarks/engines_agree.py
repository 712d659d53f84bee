"""How far the engine that `auto` takes on this processor is from ONNX Runtime in fp32, on a labelled folder.

    python -m benchmarks.engines_agree --data LABELLED [--quick] [NAME=]BUNDLE ...

Both run the same model.onnx on crops around the true boxes. Figures of each bundle, by the name before the equals sign
(default: the bundle's own): nme_loss_NAME, NME of that engine less that in fp32, per cent, the schema's normaliser;
distance_p99_NAME and distance_max_NAME between the two engines' points, crop px. `--quick`: the first 40 images.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import print_figures, write_result
from lmdeploy.backends.base import BackendName
from lmdeploy.boxes import boxes_for
from lmdeploy.dataset import read_labelled
from lmdeploy.evaluate import measure
from lmdeploy.model import open_model
from lmdeploy.outcome import Outcome, predict_samples

ENGINES: tuple[BackendName, ...] = ("auto", "onnxruntime")
IN_QUICK = 40


def main() -> None:
    """Measure, print the figures, and in full mode write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+", metavar="[NAME=]BUNDLE")
    parser.add_argument("--data", type=Path, required=True, help="a folder labelled with the bundles' schema")
    parser.add_argument("--quick", action="store_true", help="the first images; writes no record")
    given = parser.parse_args()
    found = {}
    for word in given.bundles:
        name, _, bundle = word.rpartition("=")
        found[name or Path(bundle).name] = agreement(bundle, given.data, IN_QUICK if given.quick else None)
    figures = {
        f"{figure}_{name}": one[figure]
        for name, one in found.items()
        for figure in ("nme_loss", "distance_p99", "distance_max")
    }
    if not given.quick:
        write_result("engines_agree", figures, found, [])
    print_figures(figures)


def agreement(model: str, data: Path, most: int | None = None) -> dict[str, Any]:
    """Figures of one bundle and what they come from; `most`: how many images, default all."""
    outcomes = {backend: _outcome(model, data, backend, most) for backend in ENGINES}
    best, plain = (measure(outcomes[backend]) for backend in ENGINES)
    ours, theirs = (outcomes[backend].to_crop(outcomes[backend].points_image) for backend in ENGINES)
    far = np.linalg.norm(ours - theirs, axis=-1)
    return {
        "nme_loss": best.nme - plain.nme,
        "distance_p99": float(np.percentile(far, 99)),
        "distance_max": float(far.max()),
        "nme": {best.provider: best.nme, plain.provider: plain.nme},
        "images": plain.images,
        "normaliser": plain.normaliser,
        "boxes": plain.boxes,
    }


def _outcome(model: str, data: Path, backend: BackendName, most: int | None) -> Outcome:
    opened = open_model(model, device="cpu", backend=backend)
    samples = read_labelled(data, opened.spec.landmarks)[:most]
    outcome = predict_samples(opened, boxes_for(samples, "gt"))
    opened.backend.close()
    return outcome


if __name__ == "__main__":
    main()
