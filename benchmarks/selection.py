"""What NNM costs beside entropy, and what each does with images of pure noise in the pool.

    python -m benchmarks.selection [--quick]

Speed: both from the same predicted maps, one image an evaluation as in the paper, on one thread, turn about; NNM finds
the landmark by itself. Figures: nnm_speedup, median over the pairs of entropy / NNM on 98 maps of 128 x 128 cells
(SCAF on WFLW); nnm_ms, entropy_ms; nnm_speedup_hm, the same on 68 maps of 64 x 64 (HM at 256 px). The paper has 3.5
(0.042 s against 0.012 s).
Noise: a small network trained on drawn faces chooses 10 of 100 images, 5 of them noise. Figures: planted_nnm,
planted_entropy (all 5 are to be taken), planted_nnm_discard, planted_entropy_discard (none), means over the pools.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import planted
from benchmarks.record import print_figures, write_result
from training import recipe
from training.codec.base import gaussian
from training.selection.entropy import entropy
from training.selection.nnm import nnm

SEED = 0
MAPS = {"": (98, 128, 7.0), "_hm": (68, 64, 1.5)}  # landmarks, cells, sigma of their Gaussians


@dataclass(frozen=True, slots=True)
class Plan:
    """Pairs and evaluations of each in a pair; crop side, epochs on the drawn faces and pools of the noise test."""

    pairs: int
    calls: int
    size: int
    epochs: int
    pools: int


QUICK, FULL = Plan(9, 4, 32, 200, 2), Plan(25, 20, 64, 400, 10)


def main() -> None:
    """Measure, print the figures, and in full mode write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under 50 s on 2 cores; writes no record")
    given = parser.parse_args()
    plan = QUICK if given.quick else FULL
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    details: dict[str, Any] = {"plan": asdict(plan)}
    for name, (landmarks, cells, sigma) in MAPS.items():
        pairs = interleaved(predicted(landmarks, cells, sigma), plan)
        figures[f"nnm_speedup{name}"] = float(np.median(pairs[:, 1] / pairs[:, 0]))
        figures |= {f"{key}{name}_ms": float(np.median(pairs[:, i])) for i, key in enumerate(("nnm", "entropy"))}
        details[f"pairs{name}_ms"] = pairs.tolist()
    noise = noise_found(plan)
    figures |= {f"planted_{name}": float(np.mean(found)) for name, found in noise.items()}
    if not given.quick:
        write_result("selection", figures, details | {"noise_chosen": noise}, [SEED])
    print_figures(figures)


def predicted(landmarks: int, cells: int, sigma: float) -> Tensor:
    """Maps f32[1,K,h,h] as a network draws them: a peak each, and small values of both signs elsewhere."""
    draw = torch.Generator().manual_seed(SEED)
    centres = torch.rand(1, landmarks, 2, generator=draw) * cells
    noise = 0.02 * torch.randn(1, landmarks, cells, cells, generator=draw)
    return 0.8 * gaussian(centres, torch.tensor([sigma]), cells) + noise


def interleaved(maps: Tensor, plan: Plan) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Milliseconds f64[pairs,2] of NNM and entropy; which begins alternates."""
    ways = (nnm, entropy)
    for way in ways:
        way(maps)  # warm up: allocation
    found = np.zeros((plan.pairs, 2))
    for pair in range(plan.pairs):
        for i in (0, 1) if pair % 2 == 0 else (1, 0):
            start = perf_counter()
            for _ in range(plan.calls):
                ways[i](maps)
            found[pair, i] = (perf_counter() - start) / plan.calls * 1e3
    return found


def noise_found(plan: Plan) -> dict[str, list[int]]:
    """Noise images among the 10 chosen, of each variant in each pool."""
    made = small_recipe(plan)
    with tempfile.TemporaryDirectory() as folder:
        network = planted.trained(Path(folder), made, 12)
    pools = [planted.found(network, planted.pool(100, made.crop, seed), 10) for seed in range(plan.pools)]
    return {name: [one[name].chosen for one in pools] for name in pools[0]}


def small_recipe(plan: Plan) -> recipe.Recipe:
    """Supervised training of a network of a few thousand weights on small crops."""
    base = recipe.load("face68")
    options = {"channels": [8, 8, 8, 8], "stem_type": "deep", "stem_width": 8}
    changes = {
        "network": base.network.model_copy(update={"backbone_options": options, "channels": 16}),
        "crop": base.crop.model_copy(update={"size": plan.size}),
        "schedule": base.schedule.model_copy(update={"batch": 12, "lr": 1e-2}),
        "options": {"epochs": plan.epochs, "decay_at": [], "oversample": 0},
    }
    return recipe.checked(base.model_copy(update=changes), "selection")


if __name__ == "__main__":
    main()
