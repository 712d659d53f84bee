"""Every figure of speed on a processor: the package, the networks, tracking and video.

    python -m benchmarks.latency [--quick] [--cache FOLDER] [--data LABELLED] [--compile] [--model BUNDLE]

What is compared runs side by side in interleaved pairs (pairs.py), batch 1, with the same threads; a figure is the
median over the pairs of a pair's ratio. Networks: HM and TF on ResNet-18 and HRNet-W18, 68 points at 256 px, random
weights (networks.py); `--quick` takes HM-R18 alone. Each group is explained in the file that measures it.

latency_bare.py   overhead: frame and box to landmarks over the bare ONNX Runtime call, HM-R18; face68_overhead: of
                  --model; face68_ms, face68_bare_ms, face68_no_spin_ms, face68_always_spin_ms: its medians, the last
                  two with threads that wait asleep, and awake for the next call, too; face68_camera_cpu_ms,
                  face68_camera_no_spin_cpu_ms, face68_camera_always_spin_cpu_ms: processor ms a frame where one comes
                  every 1/30 s
latency_ways.py   speedup_ort_NETWORK, speedup_best_cpu_NETWORK: ONNX Runtime in fp32, and the engine that `auto` takes
                  (OpenVINO in bf16), over PyTorch eager with decoding on the host, as STLD's authors run it;
                  speedup_channels_last_NETWORK, speedup_compiled_NETWORK, speedup_lean_NETWORK: PyTorch's other ways
                  over the same; NETWORK_WAY_ms: medians.
                  conv_rate_share: multiply-adds per second of HM-R18 in the best engine over those of plain
                  convolutions in it; conv_gflops: the latter
latency_video.py  face68_track_ms: decoded 720p frame to smoothed landmarks of one tracked face, median;
                  face68_track_p99_ms, face68_track_ort_ms; video_fps: 720p H.264 to annotated MP4, the whole command.
                  best_cpu_nme_loss: NME of --model in the best engine less that in fp32, per cent, on --data

What int8 and graph surgery gain stands in precision.py.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.engines_agree import agreement
from benchmarks.latency_bare import over_bare
from benchmarks.latency_video import make_video, tracked, whole_file
from benchmarks.latency_ways import SLOWER, of_network, share_of_rate
from benchmarks.networks import NETWORKS, SEED, make_bundle, operated
from benchmarks.pairs import FULL, QUICK, Plan
from benchmarks.record import print_figures, write_result
from lmdeploy.predict import PredictOptions

IN_QUICK = "hm_r18"
Found = dict[str, Any]


def main() -> None:
    """Measure, print the figures, and in full mode write the record."""
    given = _options()
    plan = QUICK if given.quick else FULL
    with tempfile.TemporaryDirectory() as scratch:
        figures, details = measure(given, plan, Path(scratch))
    if not given.quick:
        write_result("latency", figures, {"pairs": plan.pairs, "block_s": plan.block_s} | details, [SEED])
    print_figures(figures)


def measure(given: argparse.Namespace, plan: Plan, scratch: Path) -> tuple[dict[str, float], Found]:
    """Figures by name, and what they were computed from."""
    cache = given.cache or scratch / "exports"
    heavy = make_bundle(IN_QUICK, cache, scratch / IN_QUICK).path
    bare = {"hm_r18": over_bare(heavy, given.threads, plan), "face68": over_bare(given.model, given.threads, plan)}
    names = [IN_QUICK] if given.quick else list(NETWORKS)
    ways = {
        name: of_network(name, operated(name, cache), given.threads, plan, compile_too=given.compile) for name in names
    }
    rate = share_of_rate(operated(IN_QUICK, cache), given.threads, plan)
    mode = "quick" if given.quick else "full"
    video = make_video(scratch / "portrait.mp4", mode)
    track = tracked(given.model, given.threads, video, mode)
    command = PredictOptions(
        source=str(video), model=given.model, save=scratch / "annotated.mp4", threads=given.threads
    )
    file = whole_file(command, mode)
    figures = _of_package(bare) | _of_networks(ways) | _of_video(track, file)
    figures |= {"conv_rate_share": rate["share"], "conv_gflops": rate["gflops"]["convolutions"]}
    details: Found = {"bare": bare, "networks": ways, "conv_rate": rate, "track": track, "video": file}
    if given.data:
        details["nme"] = agreement(given.model, given.data)
        figures["best_cpu_nme_loss"] = details["nme"]["nme_loss"]
    return figures, details


def _of_package(bare: Found) -> dict[str, float]:
    light = bare["face68"]
    camera = light["camera_cpu_ms"]
    return {
        "overhead": bare["hm_r18"]["overhead"],
        "hm_r18_ms": bare["hm_r18"]["predict_ms"],
        "face68_ms": light["predict_ms"],
        "face68_overhead": light["overhead"],
        "face68_bare_ms": light["bare_ms"],
        "face68_no_spin_ms": light["bare_without_spinning_ms"],
        "face68_always_spin_ms": light["bare_always_spinning_ms"],
        "face68_camera_cpu_ms": camera["bare"],
        "face68_camera_no_spin_cpu_ms": camera["bare_without_spinning"],
        "face68_camera_always_spin_cpu_ms": camera["bare_always_spinning"],
    }


def _of_networks(ways: Found) -> dict[str, float]:
    kinds = ("speedup_ort", "speedup_best_cpu", *(f"speedup_{way}" for way in SLOWER))
    speedups = {f"{kind}_{name}": one[kind] for name, one in ways.items() for kind in kinds if kind in one}
    return speedups | {f"{name}_{way}_ms": one[f"{way}_ms"] for name, one in ways.items() for way in one["ways"]}


def _of_video(track: Found, file: Found) -> dict[str, float]:
    return {
        "face68_track_ms": track["auto"]["median_ms"],
        "face68_track_p99_ms": track["auto"]["p99_ms"],
        "face68_track_ort_ms": track["onnxruntime"]["median_ms"],
        "video_fps": file["fps"],
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="HM-R18, under 50 s on 2 cores; writes no record")
    parser.add_argument("--cache", type=Path, help="keeps exports here: an HRNet's takes minutes; default: nowhere")
    parser.add_argument("--data", type=Path, help="a folder labelled with --model's schema, for best_cpu_nme_loss")
    parser.add_argument("--compile", action="store_true", help="torch.compile, too: minutes of compiling")
    parser.add_argument("--model", default="face68", help="the default model, a bundle")
    parser.add_argument("--threads", type=int, help="threads of the network; default: cores, at most 4")
    return parser.parse_args()


if __name__ == "__main__":
    main()
