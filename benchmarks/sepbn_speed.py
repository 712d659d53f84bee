"""What SepBN adds to the inference time of a network on the processor, SepBN and BN turn about in each engine.

    python -m benchmarks.sepbn_speed [--quick] [--threads N] [--networks vanilla resnext50 ... hm_r18]

Both graphs are what `lmdeploy export` writes, of the same network with random weights: its speed does not depend on
them. A pair is a block of calls with BN and one with SepBN on the same crop, which goes first alternates; a pair's
ratio is the ratio of the blocks' medians. Where BN is folded into a convolution before it (both engines do that), it
costs nothing, so the ratio is the whole price of SepBN.

Figures: sepbn_overhead_NETWORK, the median ratio over all pairs in ONNX Runtime (1.15: 15 % more time), and
sepbn_overhead_openvino_NETWORK in OpenVINO with fp32. Vanilla CNN, ResNeXt-50 and MobileNetV2 at 128 px as in the
paper (all norms, the third ones, the third ones); the latter two at 256 px, too, the package's own crop
(mobilenetv2_256, resnext50_256); HM-R18 at 256 px (the last norm of each block). `--quick` takes the Vanilla CNN and
HM-R18, whose exports are the shortest.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.pairs import FULL, Plan, interleaved
from benchmarks.record import print_figures, write_result
from export.to_onnx import to_onnx
from lmdeploy.backends.openvino import OpenVINOBackend
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.bundle import ModelSpec
from lmdeploy.geometry import CropRule
from lmdeploy.schema import load_schema
from lmdeploy.types import U8
from training.models import NetworkConfig, build, heatmap, regression
from training.models.base import OnBackbone
from training.models.sepbn import Options

SEED = 0
QUICK = Plan(pairs=9, block_s=0.15)  # two exports of each network take most of the time
LAST = Options(places=(3,))
NETWORKS: dict[str, tuple[NetworkConfig, int, Options]] = {
    "vanilla": (regression.Config(), 128, Options()),
    "mobilenetv2": (regression.Config(backbone="mobilenetv2_100"), 128, LAST),
    "resnext50": (regression.Config(backbone="resnext50_32x4d"), 128, LAST),
    "mobilenetv2_256": (regression.Config(backbone="mobilenetv2_100"), 256, LAST),
    "resnext50_256": (regression.Config(backbone="resnext50_32x4d"), 256, LAST),
    "hm_r18": (heatmap.Config(), 256, LAST),
}
IN_QUICK = ("vanilla", "hm_r18")


def main() -> None:
    """Measure, print the figures, and in full mode write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two networks, under 50 s on 2 cores; writes no record")
    parser.add_argument("--threads", type=int, help="threads of the network; default: cores, at most 4")
    parser.add_argument("--networks", nargs="+", choices=sorted(NETWORKS), help="default: all, with --quick two")
    given = parser.parse_args()
    plan = QUICK if given.quick else FULL
    names = given.networks or (IN_QUICK if given.quick else tuple(NETWORKS))
    found = {name: measure(name, given.threads, plan) for name in names}
    figures = {
        f"sepbn_overhead_{prefix}{name}": of_engine["overhead"]
        for name, one in found.items()
        for prefix, of_engine in one.items()
    }
    if not given.quick:
        write_result("sepbn_speed", figures, {"pairs": plan.pairs, "block_s": plan.block_s} | found, [SEED])
    print_figures(figures)


def measure(name: str, threads: int | None, plan: Plan) -> dict[str, dict[str, Any]]:
    """Of each engine ("" is ONNX Runtime) the median ratio, spread, ms of both and every pair of one network."""
    cfg, size, options = NETWORKS[name]
    assert isinstance(cfg, OnBackbone)
    graphs = [exported(c, size) for c in (cfg, cfg.model_copy(update={"sepbn": options}))]
    crop = np.random.default_rng(SEED).integers(0, 256, (1, size, size, 3), np.uint8)
    return {
        "": compared([OrtBackend(graph, threads) for graph in graphs], crop, plan),
        "openvino_": compared([OpenVINOBackend(graph, threads, "fp32") for graph in graphs], crop, plan),
    }


def compared(engines: Sequence[OrtBackend | OpenVINOBackend], crop: U8, plan: Plan) -> dict[str, Any]:
    """The network with BN and the one with SepBN in one engine, turn about; both are closed."""
    plain, ours = engines
    pairs = interleaved([lambda: plain.run(crop), lambda: ours.run(crop)], plan)
    ratios = pairs[:, 1] / pairs[:, 0]
    found = {
        "overhead": float(np.median(ratios)),
        "overhead_iqr": np.quantile(ratios, [0.25, 0.75]).tolist(),
        "bn_ms": float(np.median(pairs[:, 0])),
        "sepbn_ms": float(np.median(pairs[:, 1])),
        "provider": plain.provider,
        "size": crop.shape[1],
        "threads": plain.threads,
        "pairs_ms": pairs.tolist(),
    }
    for engine in engines:
        engine.close()
    return found


def exported(cfg: NetworkConfig, size: int) -> bytes:
    """ONNX bytes of the network with random weights, 68 landmarks."""
    torch.manual_seed(SEED)
    spec = ModelSpec(
        name="speed", landmarks=load_schema("ibug68"), crop=CropRule(size=size), codec=cfg.codecs[0], method="none"
    )
    return to_onnx(build(cfg, spec.landmarks.points), spec)


if __name__ == "__main__":
    main()
