"""One crop through one network in every way, turn about in one process with the same threads.

    eager          PyTorch as STLD's authors run it (authors_way.py): images f32[1,3,S,S] that are normalised already,
                   plain NCHW, both heads, the maps decoded on the host as in the release
    channels_last  the same, images and weights in channels-last order
    compiled       the same through torch.compile (only where asked for: it compiles for minutes)
    lean           eager PyTorch without what serving does not need: our own modules, the main head alone, and the
                   decoding as a gather around each peak
    onnxruntime    the exported file, fp32, in ONNX Runtime
    best           the same file in what `auto` takes on this processor: OpenVINO in bf16, else ONNX Runtime

PyTorch's images are ready in all of these, ours are uint8 crops that are converted and normalised inside the call; and
ours gives scores and spreads beside the points.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.authors_way import STRIDE, as_released, authors_call
from benchmarks.conv_rate import conv_chain, gmacs
from benchmarks.networks import network
from benchmarks.pairs import Call, Plan, as_details, ratio, timed
from export.parity import generated_crops
from lmdeploy.backends.base import Engine
from lmdeploy.backends.cores import default_threads
from lmdeploy.backends.openvino import OpenVINOBackend, has_bf16, the_core
from lmdeploy.backends.openvino_products import SHARES
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.errors import MissingExtraError
from lmdeploy.types import F32, F64
from training.codec import stld
from training.models import Network
from training.models.end_to_end import as_input
from training.models.heatmap import Heatmap
from training.models.transformer import Transformer

SLOWER = ("channels_last", "compiled", "lean")  # further ways of PyTorch


def lean_call(net: Network, images: Tensor) -> F32:
    """Landmarks f32[B,K,2], crop px, of images f32[B,3,S,S] by the rule of the release."""
    with torch.no_grad():
        out = net.predict(images)
        points = stld.decode(out, STRIDE) if out.dim() == 4 else out * images.shape[-1] - 0.5
    found: F32 = points.numpy()
    return found


def best_engine(model: bytes, threads: int | None) -> Engine:
    """What `auto` takes on this processor, for a network without trained weights, which has no reference to pass."""
    try:
        if has_bf16(the_core()):
            return OpenVINOBackend(model, threads, share=SHARES[0])
    except MissingExtraError:
        pass
    return OrtBackend(model, threads, "cpu")


def of_network(name: str, model: bytes, threads: int | None, plan: Plan, *, compile_too: bool) -> dict[str, Any]:
    """Ratios, medians and every pair of one of networks.NETWORKS; `model` is its exported file after surgery."""
    threads = threads or default_threads()
    torch.set_num_threads(threads)
    engines = {"onnxruntime": OrtBackend(model, threads, "cpu"), "best": best_engine(model, threads)}
    crops = generated_crops(engines["best"].size, 1)
    images = as_input(torch.from_numpy(crops)).contiguous()
    ways = _of_pytorch(name, images, compile_too) | {way: partial(one.run, crops) for way, one in engines.items()}
    times = timed(ways, plan)
    providers = {way: engine.provider for way, engine in engines.items()}
    for engine in engines.values():
        engine.close()
    about = {"size": crops.shape[1], "threads": threads, "gmacs": gmacs(model), "providers": providers}
    return ratios(times) | about | {"ways": as_details(times)}


def ratios(times: Mapping[str, F64]) -> dict[str, float]:
    """Figures of one network from ms f64[pairs] by way: how many times faster than eager, and medians."""
    eager = times["eager"]
    speedups = {"speedup_ort": "onnxruntime", "speedup_best_cpu": "best"}
    speedups |= {f"speedup_{way}": way for way in SLOWER if way in times}
    found = {figure: ratio(eager, times[way]) for figure, way in speedups.items()}
    return found | {f"{way}_ms": float(np.median(ms)) for way, ms in times.items()}


def share_of_rate(model: bytes, threads: int | None, plan: Plan) -> dict[str, Any]:
    """How near the best engine brings a network to the processor's own rate of convolution; see conv_rate.

    Both run through the same engine with the same options, turn about; a rate is twice the multiply-adds a second.
    """
    chain = conv_chain()
    engines = {"network": best_engine(model, threads), "convolutions": best_engine(chain, threads)}
    crops = {way: generated_crops(engine.size, 1) for way, engine in engines.items()}
    times = timed({way: partial(engine.run, crops[way]) for way, engine in engines.items()}, plan)
    macs = {"network": gmacs(model), "convolutions": gmacs(chain)}
    rates = {way: 2e3 * macs[way] / ms for way, ms in times.items()}  # GFLOP/s
    provider = engines["network"].provider
    for engine in engines.values():
        engine.close()
    return {
        "share": ratio(rates["network"], rates["convolutions"]),
        "gflops": {way: float(np.median(rate)) for way, rate in rates.items()},
        "gmacs": macs,
        "provider": provider,
        "ways": as_details(times),
    }


def _of_pytorch(name: str, images: Tensor, compile_too: bool) -> dict[str, Call]:
    last = images.contiguous(memory_format=torch.channels_last)
    ways: dict[str, Call] = {
        "eager": partial(authors_call, _released(name), images),
        "channels_last": partial(authors_call, _released(name).to(memory_format=torch.channels_last), last),
        "lean": partial(lean_call, network(name), images),
    }
    if compile_too:
        net = _released(name)
        net.compile()
        ways["compiled"] = partial(authors_call, net, images)
    return ways


def _released(name: str) -> nn.Module:
    net = network(name)
    assert isinstance(net, Heatmap | Transformer), f"{name} is not one of STLD's networks"
    return as_released(net)
