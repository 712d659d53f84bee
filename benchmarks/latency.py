"""How much the package adds to the bare ONNX Runtime call, and how fast the default model is.

    python -m benchmarks.latency [--quick] [--model BUNDLE] [--hm-r18 BUNDLE]

Each pair is a block of `Landmarker.predict(frame, [box])` (crop, network, back-mapping) and a block of the bare
`session.run` on the same crop, turn about, in the same session with the same threads; which of the two goes first
alternates. A pair's ratio is the ratio of the blocks' medians; `overhead` is the median ratio over all pairs.

Figures: overhead, frame and box to landmarks over the bare call, of HM with ResNet-18 at 256 px (--hm-r18, or made
with random weights); hm_r18_ms, median ms of that; face68_ms and face68_overhead, the same of --model; face68_bare_ms
and face68_no_spin_ms, the bare call with threads that wait awake (the default) or asleep.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.hm_r18 import make_hm_r18
from benchmarks.record import print_figures, write_result
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.bundle import read_bundle
from lmdeploy.geometry import crop_image, crop_matrix
from lmdeploy.landmarker import Landmarker
from lmdeploy.types import U8, Box

FRAME_HW = (720, 1280)
FACE_PX = 260  # the landmark box's side: a person at a desk in a 720p picture
SEED = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """Pairs of blocks, and seconds of calls in each block."""

    pairs: int
    block_s: float


QUICK, FULL = Plan(pairs=9, block_s=0.35), Plan(pairs=15, block_s=1.0)


def main() -> None:
    """Measure, print the figures, and in full mode write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under 50 s on 2 cores; writes no record")
    parser.add_argument("--model", default="face68", help="the default model, a bundle")
    parser.add_argument("--hm-r18", type=Path, help="bundle of HM with ResNet-18 at 256 px; made when not given")
    parser.add_argument("--threads", type=int, help="threads of the network; default: cores, at most 4")
    given = parser.parse_args()
    plan = QUICK if given.quick else FULL
    with tempfile.TemporaryDirectory() as scratch:
        heavy_model = given.hm_r18 or make_hm_r18(Path(scratch) / "hm-r18").path
        light, heavy = (measure(model, given.threads, plan) for model in (given.model, heavy_model))
    figures = {
        "overhead": heavy["overhead"],
        "hm_r18_ms": heavy["predict_ms"],
        "face68_ms": light["predict_ms"],
        "face68_overhead": light["overhead"],
        "face68_bare_ms": light["bare_ms"],
        "face68_no_spin_ms": light["bare_without_spinning_ms"],
    }
    if not given.quick:
        details = {"pairs": plan.pairs, "block_s": plan.block_s, "face68": light, "hm_r18": heavy}
        write_result("latency", figures, details, [SEED])
    print_figures(figures)


def measure(model: str | Path, threads: int | None, plan: Plan) -> dict[str, Any]:
    """Medians, spread and every pair of one model."""
    frame, box = scene()
    with Landmarker.load(model, threads=threads, backend="onnxruntime") as landmarker:
        rule = landmarker.spec.crop
        crop = crop_image(frame, crop_matrix(box, rule), rule.size)[None]
        backend = landmarker.model.backend
        assert isinstance(backend, OrtBackend), "the bare call is ONNX Runtime's"
        names, session = backend.outputs, backend.session
        calm = OrtBackend(read_bundle(model).file("model.onnx"), backend.threads, spin=False)
        ways: list[Callable[[], object]] = [
            lambda: landmarker.predict(frame, [box]),
            lambda: session.run(names, {"images": crop}),
            lambda: calm.run(crop),
        ]
        pairs = interleaved(ways, plan)
        about = {"size": rule.size, "threads": backend.threads, "provider": backend.provider}
    ours, bare = pairs[:, 0], pairs[:, 1]
    ratios = ours / bare
    return {
        **about,
        "overhead": float(np.median(ratios)),
        "overhead_iqr": np.quantile(ratios, [0.25, 0.75]).tolist(),
        "predict_ms": float(np.median(ours)),
        "bare_ms": float(np.median(bare)),
        "bare_without_spinning_ms": float(np.median(pairs[:, 2])),
        "pairs_ms": pairs.tolist(),
    }


def interleaved(ways: list[Callable[[], object]], plan: Plan) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Median ms of each way in each pair, f64[pairs, ways]; calls turn about inside a pair, its start alternates."""
    for way in ways:
        _block(way, plan.block_s / 2)  # warm up
    found = np.zeros((plan.pairs, len(ways)))
    for pair in range(plan.pairs):
        order = range(len(ways)) if pair % 2 == 0 else reversed(range(len(ways)))
        for index in order:
            found[pair, index] = _block(ways[index], plan.block_s)
    return found


def scene() -> tuple[U8, Box]:
    """A 720p frame of smooth noise and a face-sized box; what is in the picture does not change the time."""
    import cv2

    rng = np.random.default_rng(SEED)
    small = rng.integers(0, 255, (45, 80, 3), np.uint8)
    frame = np.asarray(cv2.resize(small, FRAME_HW[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    return frame, Box(500.0, 220.0, 500.0 + FACE_PX, 220.0 + FACE_PX)


def _block(way: Callable[[], object], seconds: float) -> float:
    """Median ms of a call, over as many as fit into `seconds`, at least five."""
    times: list[float] = []
    end = perf_counter() + seconds
    while len(times) < 5 or perf_counter() < end:
        start = perf_counter()
        way()
        times.append(1e3 * (perf_counter() - start))
    return float(np.median(times))


if __name__ == "__main__":
    main()
