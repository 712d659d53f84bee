"""`lmdeploy benchmark` as one call: a bundle in, a report back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lmdeploy.backends.precision import file_of
from lmdeploy.benchmark.accuracy import accuracies, labelled
from lmdeploy.benchmark.alone import attempt, open_way
from lmdeploy.benchmark.machine import PACKAGES, this_machine
from lmdeploy.benchmark.measure import FULL, QUICK, Timed, Watch, time_all
from lmdeploy.benchmark.report import Accuracy, Failed, Measured, Report, speedup_of
from lmdeploy.benchmark.scene import FRAME_HW
from lmdeploy.benchmark.ways import BF16, Options, Way, candidates
from lmdeploy.bundle import Bundle
from lmdeploy.detect import check_detector
from lmdeploy.doctor import gpu
from lmdeploy.errors import DeviceError, InputError, LmdeployError
from lmdeploy.installed import installed_versions
from lmdeploy.landmarker import Landmarker
from lmdeploy.single_file import read_model


@dataclass(frozen=True, slots=True)
class _Open:
    """A way that works, open, and what came of trying it alone."""

    way: Way
    landmarker: Landmarker
    alone: dict[str, Any]


def run_benchmark(options: Options, watch: Watch) -> Report:
    """Try every way alone, then time those that work side by side, and measure how right they are.

    Errors: InputError and BundleError for what cannot be used; DeviceError when nothing runs, with every reason.
    """
    _check(options)
    with ExitStack() as closing:
        ways, failed = _working(options, watch, closing)
        if not ways:
            raise DeviceError("no way runs here: " + "; ".join(f"{_name(f)}: {f.reason}" for f in failed))
        landmarkers = [one.landmarker for one in ways]
        boxed = labelled(options, landmarkers[0].spec)
        plans = QUICK if options.quick else FULL
        timed = time_all(landmarkers, options.batches, plans, watch)
        measured = _measured(ways, timed, accuracies(landmarkers, boxed, watch))
        return _report(options, measured, failed, plans.frames.pairs)


def _check(options: Options) -> None:
    """Refuse what would only fail after minutes."""
    read_model(options.model)
    check_detector(options.detector, options.yunet)
    if not candidates(options):
        raise InputError(f"{options.backend} on {options.device} has no {options.precision}: leave one of them open")


def _working(options: Options, watch: Watch, closing: ExitStack) -> tuple[list[_Open], list[Failed]]:
    """Every way, tried in a process of its own, and opened here where it works."""
    found: list[_Open] = []
    failed: list[Failed] = []
    ways, bundle = candidates(options), read_model(options.model)
    for number, way in enumerate(ways):
        watch(f"trying {way.name}", number, len(ways))
        answer = _known_reason(way, bundle, failed) or attempt(way, options)
        try:
            if answer["problem"]:
                raise DeviceError(answer["problem"])
            landmarker = closing.enter_context(open_way(way, options))
        except LmdeployError as error:
            failed.append(Failed(**_about(way), reason=str(error)))
        else:
            found.append(_Open(way, landmarker, answer))
    watch("trying", len(ways), len(ways))
    return found, failed


def _known_reason(way: Way, bundle: Bundle, failed: list[Failed]) -> dict[str, Any] | None:
    """What needs no try: a file that the bundle lacks, and an engine whose fp32 does not run on that device."""
    try:
        file_of(bundle, "fp32" if way.precision == BF16 else way.precision, tensorrt=way.backend == "tensorrt")
    except InputError as error:
        return {"problem": str(error)}
    for one in failed:
        if (one.backend, one.device, one.precision) == (way.backend, way.device, "fp32"):
            return {"problem": one.reason}
    return None


def _measured(ways: list[_Open], timed: list[Timed], right: Sequence[Accuracy | None]) -> list[Measured]:
    """One row a way; the first, plain float32 on the processor where that was asked for, is what others compare to."""
    first = timed[0].known_box
    return [
        Measured(
            **_about(one.way),
            provider=one.landmarker.model.backend.provider,
            threads=getattr(one.landmarker.model.backend, "threads", None),
            stages=times.stages,
            known_box=times.known_box,
            found_box=times.found_box,
            batches=times.batches,
            speedup=None if one is ways[0] else speedup_of(first, times.known_box),
            start_mb=one.alone["start_mb"],
            peak_mb=one.alone["peak_mb"],
            accuracy=accuracy,
        )
        for one, times, accuracy in zip(ways, timed, right, strict=True)
    ]


def _report(options: Options, ways: list[Measured], failed: list[Failed], pairs: int) -> Report:
    bundle = read_model(options.model)
    return Report(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        model=f"{bundle.spec.name} {bundle.spec.version}",
        digest=bundle.digest,
        landmarks=options.schema_name or bundle.spec.landmarks.name,
        crop_px=bundle.spec.crop.size,
        frame=FRAME_HW,
        detector=options.detector,
        quick=options.quick,
        data=None if options.data is None else options.data.name,
        machine=this_machine(),
        gpu=gpu(),
        versions=installed_versions(PACKAGES),
        pairs=pairs,
        compared_with=ways[0].provider,
        ways=tuple(ways),
        failed=tuple(failed),
    )


def _about(way: Way) -> dict[str, str]:
    return {"backend": way.backend, "device": way.device, "precision": way.precision}


def _name(failed: Failed) -> str:
    return f"{failed.backend} {failed.device} {failed.precision}"
