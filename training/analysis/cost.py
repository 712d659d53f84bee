"""What training and inference cost (STLD, V-D, Table VI).

Training: seconds of all epochs of all stages (metrics.csv), pseudo-labelling and reading left out. Inference: median
time of one crop through the final network in PyTorch, measured now on the device that is said. Only ratios compare
with the paper's (one RTX 3090: HM 1.3 times, TF 8 times the hours of self-training with ResNet-18), and only between
runs trained on one machine.
"""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from training.analysis.figure import Frozen, Inputs, Row, canvas, collect
from training.analysis.finals import variant_of
from training.analysis.run import MissingError, Run
from training.engine.predictor import open_checkpoint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WARM_UP, REPEATS = 3, 21
BASE = "naive"  # the paper's "self-training" column


class Item(Frozen):
    """One run; ratio: hours over those of naive self-training with the same model, where such a run was given."""

    run: str
    model: str
    method: str
    hours: float
    ratio: float | None
    inference_ms: float


class Cost(Frozen):
    """All runs; device: of the inference."""

    device: str
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()

    def rows(self) -> list[Row]:
        """Hours, ratio and milliseconds."""
        found: list[Row] = []
        for item in self.items:
            found += [(item.run, "training, h", item.hours), (item.run, "inference, ms", item.inference_ms)]
            if item.ratio is not None:
                found.append((item.run, f"training / {BASE}", item.ratio))
        return found


def with_ratios(items: list[Item]) -> tuple[Item, ...]:
    """The items with `ratio` against the naive run of the same backbone (HM's, where TF has none of its own)."""
    bases = [item for item in items if item.method == BASE]

    def base(item: Item) -> Item | None:
        alike = [of for of in bases if of.model.split()[-1] == item.model.split()[-1]]
        return min(alike, key=lambda of: of.model != item.model, default=None)

    return tuple(
        item.model_copy(update={"ratio": item.hours / of.hours if (of := base(item)) else None}) for item in items
    )


def inference_ms(run: Run) -> tuple[float, str]:
    """Median milliseconds of one crop, and the device."""
    if not (run.folder / "model.safetensors").is_file():
        raise MissingError(f"{run.name}: no model.safetensors yet, so its inference cannot be timed")
    backend = open_checkpoint(run.folder).backend
    crop = np.random.default_rng(0).integers(0, 256, (1, run.spec.crop.size, run.spec.crop.size, 3), np.uint8)
    times = []
    for _ in range(WARM_UP + REPEATS):
        start = time.perf_counter()
        backend.run(crop)  # ends with a copy to the host, so the device has finished
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times[WARM_UP:])), _device(backend.provider)


def make(inputs: Inputs) -> Cost:
    """Every run that logged its seconds and is finished."""
    devices = []

    def item(run: Run) -> Item:
        hours = sum(run.seconds().values()) / 3600
        taken, device = inference_ms(run)
        devices.append(device)
        method = variant_of(run)
        return Item(run=run.name, model=run.model, method=method, hours=hours, ratio=None, inference_ms=taken)

    items, lacking = collect(item, inputs.runs)
    return Cost(device=devices[0], items=with_ratios(items), notes=lacking)


def plot(result: Cost) -> Figure:
    """Training hours and inference time as bars."""
    figure, (left, right) = canvas(2, height=1.6 + 0.45 * len(result.items))
    names = [f"{item.run}\n{item.method}, {item.model}" for item in result.items]
    hours = [item.hours for item in result.items]
    labels = [
        f"{item.hours:.3g} h" + (f", {item.ratio:.2f} x" if item.ratio is not None else "") for item in result.items
    ]
    left.bar_label(left.barh(names, hours, color="#0a5fd0"), labels, fontsize=8, padding=2)
    times = [item.inference_ms for item in result.items]
    right.bar_label(right.barh(names, times, color="#ff9f0a"), fmt="%.2f ms", fontsize=8, padding=2)
    left.set(xlabel=f"training, h (x: over {BASE})")
    right.set(xlabel="inference of one crop, ms")
    right.set_title(result.device, fontsize=8)
    right.set_yticks([])
    left.tick_params(labelsize=8)
    for axes in (left, right):
        axes.invert_yaxis()
        axes.margins(x=0.35)
    return figure


def _device(provider: str) -> str:
    if provider.endswith("cuda"):
        return torch.cuda.get_device_name()
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, PyTorch"
