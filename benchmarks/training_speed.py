"""How fast a training step is, augmentation and targets included, against the authors' step in the same run.

    python -m benchmarks.training_speed [--quick] [--device cuda] [--batch 16] [--compile]

Ways, turn about in pairs: `authors` (benchmarks/authors_step.py: PIL loader, fp32, NCHW); `ours` (the package's own:
batched augmentation, channels-last, bf16 autocast where the processor has it); `channels_last` (ours in fp32);
`compiled` (ours through torch.compile; CUDA graphs on a GPU; --compile, always in full mode on a GPU). Figures:
speedup_hm_r18, speedup_tf_r18: median over the pairs of authors / ours; augmentation_share: share of our HM step that
augmentation and targets take; images_per_s_*; on a GPU also at batch 128. Peak memory of each model and batch in the
record (resident memory of a process of its own, or what the GPU's allocator held).
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from benchmarks.authors_step import AuthorsLoader, authors_step
from benchmarks.record import print_figures, write_result
from benchmarks.training_ways import Way, Work, faces, our_step
from lmdeploy import resident
from training.models import build

ROOT = Path(__file__).parent.parent
MODELS = ("hm_r18", "tf_r18")
SEED = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """Crop side, px; pairs and steps of each way in a pair; batch."""

    size: int
    pairs: int
    steps: int
    batch: int


QUICK, FULL = Plan(size=64, pairs=7, steps=1, batch=8), Plan(size=256, pairs=9, steps=2, batch=16)


def main() -> None:
    """Measure, print the figures, and in full mode write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="64 px crops, under 50 s on 2 cores; writes no record")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, help="images per step; default 16")
    parser.add_argument("--compile", action="store_true", help="also the way through torch.compile")
    parser.add_argument("--memory", choices=MODELS, help="only print the peak memory of this model's step, MB")
    given = parser.parse_args()
    plan = QUICK if given.quick else FULL
    plan = dataclasses.replace(plan, batch=given.batch or plan.batch)
    device = torch.device(given.device)
    if given.memory:
        sys.stdout.write(f"{peak_mb(given.memory, plan, device):.1f}\n")
        return
    ways = [Way("ours"), Way("channels_last", bf16=False)]
    if given.compile or (device.type == "cuda" and not given.quick):
        ways.append(Way("compiled", compiled=True))
    figures, details = compare(plan, device, ways)
    if device.type == "cuda" and not given.quick:
        wide, more = compare(dataclasses.replace(plan, batch=128), device, ways)
        figures |= {f"{name}_batch128": value for name, value in wide.items()}
        details["batch128"] = more
    if not given.quick:
        details["peak_mb"] = {f"{m}_batch{b}": memory_of(m, b, given.device) for m in MODELS for b in (16, 64)}
        name = "training_speed" if device.type == "cpu" else "training_speed_gpu"
        write_result(name, figures, details | {"plan": dataclasses.asdict(plan)}, [SEED])
    print_figures(figures)


def compare(plan: Plan, device: torch.device, ways: list[Way]) -> tuple[dict[str, float], dict[str, Any]]:
    """Figures and the numbers behind them, both models."""
    figures: dict[str, float] = {}
    details: dict[str, Any] = {}
    for model in MODELS:
        found = interleaved(model, plan, device, ways)
        ours = found["ours"]
        figures[f"speedup_{model}"] = float(np.median(np.array(found["authors"]) / np.array(ours)))
        for name in ("authors", *(way.name for way in ways)):
            figures[f"images_per_s_{model}_{name}"] = plan.batch / float(np.median(found[name]))
        details[model] = {"seconds_per_step": found, "threads": torch.get_num_threads(), "device": str(device)}
        if model == "hm_r18":
            figures["augmentation_share"] = float(np.median(np.array(found["ours_drawing"]) / np.array(ours)))
    return figures, details


def interleaved(model: str, plan: Plan, device: torch.device, ways: list[Way]) -> dict[str, list[float]]:
    """Seconds of a step of each way in each pair, and of our drawing alone; the way that begins alternates."""
    work = faces(model, plan.size, SEED)
    steps = {
        "authors": authors_step(build(work.network, work.spec.landmarks.points), _loader(work), plan.batch, device)
    }
    drawn: list[float] = []
    for way in ways:
        steps[way.name] = our_step(work, way, plan.batch, device, drawn if way.name == "ours" else [])
    for step in steps.values():
        step()
        step()  # warm up: compilation, allocation
    drawn.clear()
    found: dict[str, list[float]] = {name: [] for name in steps}
    found["ours_drawing"] = []
    for pair in range(plan.pairs):
        for name in list(steps) if pair % 2 == 0 else list(steps)[::-1]:
            found[name].append(_seconds(steps[name], plan.steps, device))
        found["ours_drawing"].append(float(np.mean(drawn)))
        drawn.clear()
    return found


def peak_mb(model: str, plan: Plan, device: torch.device) -> float:
    """Peak memory of our step, MB: the process's, or what the GPU's allocator held."""
    step = our_step(faces(model, plan.size, SEED), Way("ours"), plan.batch, device, [])
    for _ in range(3):
        step()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    return resident.peak_mb()


def memory_of(model: str, batch: int, device: str) -> float:
    """`peak_mb` in a process of its own."""
    words = ["-m", "benchmarks.training_speed", "--memory", model, "--batch", str(batch), "--device", device]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _loader(work: Work) -> AuthorsLoader:
    crops, points = work.plain()
    return AuthorsLoader(crops, points, list(work.spec.landmarks.flip_index), maps=work.network.kind == "heatmap")


def _seconds(step: Any, count: int, device: torch.device) -> float:
    start = perf_counter()
    for _ in range(count):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (perf_counter() - start) / count


if __name__ == "__main__":
    main()
