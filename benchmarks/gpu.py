"""How fast STLD's networks are on a GPU, from a frame in host memory to landmarks in host memory.

    python -m benchmarks.gpu [--quick] [--device cpu] [--network NAME ...] [--cache FOLDER]

A 720p frame and one face's box go into `Landmarker.predict`, turn about through every way that this machine has:
ONNX Runtime's CUDA provider and TensorRT (not with --quick: its builds take minutes), in fp32 and fp16, with the crop
cut on the GPU out of the whole frame (`frames`) or before on the processor (`crops`). A way that does not start is
named on standard error and left out.

Figures, NAME of hm_r18 and tf_r18 at 256 px, with random weights:
DEVICE_NAME_ms, median of the fastest way; DEVICE_NAME_ENGINE_PRECISION_PATH_ms of each;
DEVICE_NAME_throughput, crops in host memory to points in host memory over the network alone on data that lies on the
GPU, both of the fastest engine at its best batch; DEVICE_NAME_crops_per_s of the former.
On `--device cpu` the same is measured with ONNX Runtime on the processor, whose figures are named cpu_*.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu_throughput import throughput
from benchmarks.latency_bare import scene
from benchmarks.networks import SEED, operated, spec_of
from benchmarks.pairs import FULL, QUICK, Plan, as_details, timed
from benchmarks.record import print_figures, write_result
from export.half import to_half
from export.surgery.whole_frames import take_whole_frames
from lmdeploy.backends.frames import FILES as FRAME_FILES
from lmdeploy.backends.precision import FILES
from lmdeploy.bundle import write_bundle
from lmdeploy.errors import DeviceError, LmdeployError
from lmdeploy.landmarker import Landmarker
from lmdeploy.types import U8, Box

NETWORKS = ("hm_r18", "tf_r18")


@dataclass(frozen=True, slots=True)
class Extent:
    """What is measured: engines, precisions, batch sizes of the throughput, batches in a call of it, and how long."""

    engines: tuple[str, ...]
    precisions: tuple[str, ...]
    batches: tuple[int, ...]
    turns: int
    plan: Plan


def extent(device: str, *, quick: bool) -> Extent:
    """Quick leaves TensorRT out, whose builds take minutes; a processor takes seconds for what a GPU does in one."""
    plan = QUICK if quick else FULL
    if device == "cpu":
        return Extent(("onnxruntime",), ("fp32",), (1,) if quick else (1, 4), 2, plan)
    engines = ("onnxruntime",) if quick else ("onnxruntime", "tensorrt")
    return Extent(engines, ("fp32", "fp16"), (1, 4, 16, 64), 8, plan)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the figures, and in full mode write the record."""
    given = _parsed(arguments)
    asked = extent(given.device, quick=given.quick)
    figures: dict[str, float] = {}
    details: dict[str, Any] = {"device": given.device, "extent": asdict(asked)}
    with tempfile.TemporaryDirectory() as scratch:
        for name in given.network or (NETWORKS[:1] if given.quick else NETWORKS):
            folder = Path(scratch) / name
            write_bundles(name, given.cache or Path(scratch) / "exports", folder)
            found, details[name] = measure(folder, given.device, asked)
            figures |= {f"{given.device}_{name}_{key}": value for key, value in found.items()}
    if not given.quick:
        write_result("gpu", figures, details, [SEED])
    print_figures(figures)


def write_bundles(name: str, cache: Path, folder: Path, size: int = 256) -> None:
    """Two bundles of one network in fp32 and fp16: `frames` takes whole frames, too, `crops` does not."""
    whole = operated(name, cache, size)
    files = {"fp32": whole, "fp16": to_half(whole)}
    plain = {FILES[precision]: model for precision, model in files.items()}
    framed = {FRAME_FILES[precision]: take_whole_frames(model) for precision, model in files.items()}
    write_bundle(folder / "crops", spec_of(name, size), plain)
    write_bundle(folder / "frames", spec_of(name, size), plain | framed)


def measure(folder: Path, device: str, asked: Extent) -> tuple[dict[str, float], dict[str, Any]]:
    """(figures, details) of one network's bundles."""
    with ExitStack() as stack:
        opened, left_out = _open_ways(folder, device, asked, stack)
        if not opened:
            raise SystemExit(f"nothing here runs on {device}: {left_out}")
        times = timed({way: partial(made.predict, *_scene()) for way, made in opened.items()}, asked.plan)
        medians = {way: float(np.median(ms)) for way, ms in times.items()}
        best = min(medians, key=lambda way: medians[way])
        share = throughput(opened[best].model.backend, asked.batches, asked.turns, asked.plan)
    figures = {"ms": medians[best], **share.figures(), **{f"{way}_ms": ms for way, ms in medians.items()}}
    about = {"best": best, "ways": as_details(times), "left_out": left_out, "throughput": share.details()}
    return figures, about


def _open_ways(
    folder: Path, device: str, asked: Extent, stack: ExitStack
) -> tuple[dict[str, Landmarker], dict[str, str]]:
    """Landmarkers by way, each run once, and why the others are not there."""
    opened: dict[str, Landmarker] = {}
    left_out: dict[str, str] = {}
    for engine, precision, path in product(asked.engines, asked.precisions, ("frames", "crops")):
        way = f"{engine}_{precision}_{path}"
        try:
            made = _opened(folder / path, device, engine, precision)
            stack.callback(made.close)
            if path == "frames" and _cuts_outside(made):
                raise DeviceError("this engine takes crops only")
        except LmdeployError as error:
            left_out[way] = str(error)
            sys.stderr.write(f"{way}: {error}\n")
        else:
            opened[way] = made
    return opened, left_out


def _cuts_outside(landmarker: Landmarker) -> bool:
    """Whether the crop is cut on the processor, whatever the bundle holds."""
    stages: list[str] = []
    landmarker.observe = lambda stage, _: stages.append(stage)
    landmarker.predict(*_scene())
    landmarker.observe = None
    return "crop" in stages


def _scene() -> tuple[U8, list[Box]]:
    frame, box = scene()
    return frame, [box]


def _opened(bundle: Path, device: str, engine: str, precision: str) -> Landmarker:
    running: dict[str, Any] = {"device": device, "backend": engine, "precision": precision}
    return Landmarker.load(bundle, **running)


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="HM-R18 and small batches; writes no record")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--network", action="append", choices=NETWORKS, help="default: both, with --quick the first")
    parser.add_argument("--cache", type=Path, help="keeps exports here")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
