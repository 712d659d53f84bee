"""ONNX in, engine out: parse, profiles, timing cache, progress. Only ever called on the machine that will run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lmdeploy.backends.tensorrt.library import failed, make, make_logger
from lmdeploy.backends.tensorrt.options import BuildOptions
from lmdeploy.backends.tensorrt.progress import Phases, make_monitor
from lmdeploy.backends.tensorrt.signature import signature_of_network
from lmdeploy.errors import BundleError

INPUT = "images"


@dataclass(frozen=True, slots=True)
class Built:
    """A serialised engine, and the kernel timings that make the next build faster."""

    plan: bytes
    timing: bytes


def build(trt: Any, onnx: bytes, options: BuildOptions, timing: bytes, *, origin: str, show: bool) -> Built:
    """Build an engine of an exported graph; takes minutes.

    Args:
        trt: the tensorrt module.
        onnx: the file; its types (float32, fp16, Q/DQ) are the engine's.
        options: profiles and effort.
        timing: timings of an earlier build on this GPU, or nothing.
        origin: what messages call the file.
        show: draw the progress on standard error.
    Errors: BundleError for a file that the parser does not take, DeviceError when the build fails.
    """
    logger = make_logger(trt)
    builder = make(trt.Builder, logger, "starting a build")
    network = builder.create_network(_strongly_typed(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        raise BundleError(f"{origin} is not for TensorRT: {_parse_errors(parser)}; run it with ONNX Runtime instead")
    signature = signature_of_network(trt, network, origin)
    config = _config(trt, builder, options, timing)
    if not _add_profiles(builder, config, options, signature.size):
        raise failed(f"taking the batch sizes of {options.profiles}", logger)
    phases = Phases(show=show)
    config.progress_monitor = make_monitor(trt, phases)
    with phases.bars:
        plan = builder.build_serialized_network(network, config)
    if phases.stopped:
        raise KeyboardInterrupt
    if plan is None:
        raise failed(f"building an engine of {origin}", logger)
    cache = config.get_timing_cache()
    return Built(bytes(plan), b"" if cache is None else bytes(cache.serialize()))


def _strongly_typed(trt: Any) -> int:
    """Flags of a network whose types are those of the ONNX file: asked for on 10, all that there is on 11."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _config(trt: Any, builder: Any, options: BuildOptions, timing: bytes) -> Any:
    """No precision flag (the network has types) and nothing that lets an engine leave this machine or version."""
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    config.builder_optimization_level = options.level
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)  # it is on by default
    cache = config.create_timing_cache(timing)
    if cache is None or not config.set_timing_cache(cache, False):  # of another version or GPU: start afresh
        config.set_timing_cache(config.create_timing_cache(b""), False)
    return config


def _add_profiles(builder: Any, config: Any, options: BuildOptions, size: int) -> bool:
    """Whether the library took them all."""
    numbers: list[int] = []
    for asked in options.profiles:
        profile = builder.create_optimization_profile()
        shapes = [(batch, size, size, 3) for batch in (asked.smallest, asked.best, asked.largest)]
        profile.set_shape(INPUT, *shapes)
        numbers.append(config.add_optimization_profile(profile))
    return min(numbers) >= 0


def _parse_errors(parser: Any) -> str:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    return "; ".join(str(error) for error in errors) or "the parser gives no reason"
