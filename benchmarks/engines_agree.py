"""How far the engine that `auto` takes on this processor is from ONNX Runtime in fp32, and how much faster.

    python -m benchmarks.engines_agree --data LABELLED [--quick] [NAME=]BUNDLE ...

Both run the same model.onnx on crops around the true boxes. Figures of each bundle, by the name before the equals sign
(default: the bundle's own): nme_loss_NAME, NME of that engine less that in fp32, per cent, the schema's normaliser;
distance_p99_NAME and distance_max_NAME between the two engines' points, crop px; speedup_NAME, how many times faster
one crop is than in ONNX Runtime, and for an HM or TF whose bundle has its weights speedup_eager_NAME, than in PyTorch
eager as STLD's authors run it (authors_way.py), all turn about. `--quick`: the first 40 images, shorter turns.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.authors_way import as_released, authors_call
from benchmarks.pairs import FULL, QUICK, Call, Plan, as_details, ratio, timed
from benchmarks.record import print_figures, write_result
from export.parity import generated_crops
from lmdeploy.backends.base import BackendName
from lmdeploy.backends.cores import default_threads
from lmdeploy.boxes import boxes_for
from lmdeploy.bundle import read_bundle
from lmdeploy.dataset import read_labelled
from lmdeploy.evaluate import measure
from lmdeploy.model import open_model
from lmdeploy.outcome import Outcome, predict_samples
from training.engine import checkpoint
from training.engine.predictor import network_of
from training.models.end_to_end import as_input
from training.models.heatmap import Heatmap
from training.models.transformer import Transformer

ENGINES: tuple[BackendName, ...] = ("auto", "onnxruntime")
IN_QUICK = 40
FIGURES = ("nme_loss", "distance_p99", "distance_max", "speedup", "speedup_eager")
WEIGHTS = "weights.safetensors"


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
        one = agreement(bundle, given.data, IN_QUICK if given.quick else None)
        found[name or Path(bundle).name] = one | speed(bundle, QUICK if given.quick else FULL)
    figures = {f"{figure}_{name}": one[figure] for name, one in found.items() for figure in FIGURES if figure in one}
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


def speed(model: str, plan: Plan) -> dict[str, Any]:
    """How many times faster one crop is, and every pair that was timed, ms."""
    opened = {backend: open_model(model, device="cpu", backend=backend) for backend in ENGINES}
    best, plain = (opened[backend].backend for backend in ENGINES)
    crops = generated_crops(opened["auto"].spec.crop.size, 1)
    ways: dict[str, Call] = {"best": partial(best.run, crops), "onnxruntime": partial(plain.run, crops)}
    bundle = read_bundle(model)
    if WEIGHTS in bundle.manifest.files:
        torch.set_num_threads(default_threads())
        network = network_of(checkpoint.read(bundle.file(WEIGHTS)))
        if isinstance(network, Heatmap | Transformer):
            images = as_input(torch.from_numpy(crops)).contiguous()
            ways["eager"] = partial(authors_call, as_released(network), images)
    times = timed(ways, plan)
    for one in opened.values():
        one.backend.close()
    found: dict[str, Any] = {"speedup": ratio(times["onnxruntime"], times["best"]), "ways": as_details(times)}
    if "eager" in times:
        found["speedup_eager"] = ratio(times["eager"], times["best"])
    return found


def _outcome(model: str, data: Path, backend: BackendName, most: int | None) -> Outcome:
    opened = open_model(model, device="cpu", backend=backend)
    samples = read_labelled(data, opened.spec.landmarks)[:most]
    outcome = predict_samples(opened, boxes_for(samples, "gt"))
    opened.backend.close()
    return outcome


if __name__ == "__main__":
    main()
