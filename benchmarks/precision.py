"""What surgery and int8 gain in ONNX Runtime on this processor.

    python -m benchmarks.precision [--quick] [--cache FOLDER | --hm-r18 BUNDLE] [--threads N]

HM with ResNet-18 at 256 px, random weights (they do not change the speed), one crop at a time: the file as the
exporter wrote it, the same after surgery, and both in int8 (u8 activations, s8 weights), of which the first keeps its
transposed convolutions in float. All sessions take turns; a figure is the median over the pairs of a pair's ratio.
With `--cache` the full run compares fp32 before and after surgery for the other three networks of networks.py, too.

Figures: rewrite_speedup, fp32 before over after surgery; int8_speedup, fp32 before surgery over int8 after it;
int8_over_rewritten, fp32 after surgery over int8 after it; int8_deconv_float_speedup, fp32 over int8, both before
surgery; fp32_ms, rewritten_ms, int8_ms; s8s8_slowdown, how much longer the file for TensorRT takes here than int8;
rewrite_speedup_NETWORK.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.networks import NETWORKS, SIZE, exported
from benchmarks.pairs import FULL, QUICK, Plan, as_details, interleaved, ratio, timed
from benchmarks.record import print_figures, write_result
from export.parity import generated_crops
from export.quantise.calibrate import Ranges
from export.quantise.places import measurable
from export.quantise.qdq import Scheme, quantise
from export.surgery import operate
from export.surgery.graph import Graph
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.bundle import read_bundle
from lmdeploy.types import F64, U8

RANGE_CROPS = 4  # ranges do not change the speed
MEASURED = "hm_r18"
WAYS = ("plain", "rewritten", "int8", "int8_plain", "s8s8")


def main() -> None:
    """Measure, print the figures, and in full mode write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under 50 s on 2 cores; writes no record")
    parser.add_argument("--cache", type=Path, help="keeps the export here, as latency.py does; default: nowhere")
    parser.add_argument("--hm-r18", type=Path, help="bundle of HM with ResNet-18 as the exporter wrote it; else made")
    parser.add_argument("--threads", type=int, help="threads of the network; default: cores, at most 4")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        plain, size = _plain(given.hm_r18, given.cache or Path(scratch))
        found = measure(variants(plain, size), size, given.threads, QUICK if given.quick else FULL)
    figures = found.pop("figures")
    if given.cache and not given.quick:
        times = {name: rewritten(name, given.cache, given.threads, FULL) for name in NETWORKS if name != MEASURED}
        found["networks"] = {name: as_details(one) for name, one in times.items()}
        figures |= {f"rewrite_speedup_{name}": ratio(one["plain"], one["rewritten"]) for name, one in times.items()}
    if not given.quick:
        write_result("precision", figures, found, [0])
    print_figures(figures)


def variants(plain: bytes, size: int) -> dict[str, bytes]:
    """The files to compare, by name."""
    rewritten = operate(plain)
    crops = generated_crops(size, RANGE_CROPS)
    return {
        "plain": plain,
        "rewritten": rewritten,
        "int8": _small(rewritten, "u8s8", crops),
        "int8_plain": _small(plain, "u8s8", crops),
        "s8s8": _small(rewritten, "s8s8", crops),
    }


def measure(files: dict[str, bytes], size: int, threads: int | None, plan: Plan) -> dict[str, Any]:
    """Figures, and every pair in ms."""
    crop = generated_crops(size, 1)
    backends = [OrtBackend(files[name], threads, "cpu") for name in WAYS]
    calls: list[Callable[[], object]] = [partial(backend.run, crop) for backend in backends]
    pairs = interleaved(calls, plan)
    plain, rewritten, int8, int8_plain, s8s8 = pairs.T
    ratios = {
        "rewrite_speedup": plain / rewritten,
        "int8_speedup": plain / int8,
        "int8_over_rewritten": rewritten / int8,
        "int8_deconv_float_speedup": plain / int8_plain,
        "s8s8_slowdown": s8s8 / int8,
    }
    times = {f"{name}_ms": float(np.median(pairs[:, i])) for i, name in enumerate(("fp32", "rewritten", "int8"))}
    return {
        "figures": {name: float(np.median(ratio)) for name, ratio in ratios.items()} | times,
        "iqr": {name: np.quantile(ratio, [0.25, 0.75]).tolist() for name, ratio in ratios.items()},
        "ways": list(WAYS),
        "pairs_ms": pairs.tolist(),
        "threads": backends[0].threads,
        "size": size,
    }


def rewritten(name: str, cache: Path, threads: int | None, plan: Plan) -> dict[str, F64]:
    """Times f64[pairs], ms, of one of networks.NETWORKS in fp32, `plain` as exported and `rewritten`."""
    plain = exported(name, cache)
    backends = {"plain": OrtBackend(plain, threads, "cpu"), "rewritten": OrtBackend(operate(plain), threads, "cpu")}
    return timed({way: partial(one.run, generated_crops(one.size, 1)) for way, one in backends.items()}, plan)


def _plain(bundle: Path | None, cache: Path) -> tuple[bytes, int]:
    """The file as the exporter wrote it, and the side of its crops."""
    if bundle is None:
        return exported(MEASURED, cache), SIZE
    given = read_bundle(bundle)
    return given.file("model.onnx").read_bytes(), given.spec.crop.size


def _small(model: bytes, scheme: Scheme, crops: U8) -> bytes:
    return quantise(model, scheme, Ranges(model, measurable(Graph(model)), crops))


if __name__ == "__main__":
    main()
