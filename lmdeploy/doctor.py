"""What is installed, what of it really works on this machine, and what to install for the rest."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from lmdeploy import __version__
from lmdeploy.backends.cores import default_threads
from lmdeploy.errors import DeviceError, LmdeployError
from lmdeploy.installed import installed, installed_versions
from lmdeploy.own_process import ask
from lmdeploy.probe import ENGINES

TIMEOUT_S = 900  # the first engine of TensorRT takes minutes to build
REQUIRED = "ONNX Runtime CPU"

SAME_FOLDER = {
    "cv2": ("opencv-python-headless", "opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"),
}
"""Packages that install into one folder: with two of them, parts of each are left."""

PACKAGES = {
    "numpy": ("cpu", "everything"),
    "openvino": ("openvino", "processors with bf16"),
    "tensorrt": ("tensorrt", "the fastest on NVIDIA GPUs"),
    "cuda-bindings": ("tensorrt", "GPU memory and streams"),
    "av": ("video", "MP4 files, network cameras"),
    "torch": ("train", "training, checkpoints"),
    "onnx": ("export", "lmdeploy export"),
    "matplotlib": ("plots", "plots, lmdeploy demo"),
    "pyarrow": ("parquet", "Parquet files"),
}
"""Package -> the extra that brings it, and what it is for."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Trial(_Frozen):
    """What came of running a tiny graph on one engine; `problem` says why not and what to do, and is else empty."""

    engine: str
    works: bool
    provider: str
    problem: str
    libraries: tuple[str, ...] = ()


class Report(_Frozen):
    """Versions by package (None: not installed), GPU, a trial of every engine, clashes, what could be installed."""

    machine: str
    threads: int
    gpu: str
    versions: dict[str, str | None]
    trials: tuple[Trial, ...]
    clashes: tuple[str, ...]
    missing: dict[str, str]

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps the runtime from working: clashing packages, or no engine that every machine must have."""
        broken = [t.problem for t in self.trials if t.engine == REQUIRED and not t.works]
        return (*self.clashes, *broken)

    def to_json(self) -> str:
        """One JSON object, indented."""
        return self.model_dump_json(indent=1) + "\n"


def examine() -> Report:
    """Look at this environment and try every engine, each in a process of its own."""
    versions: dict[str, str | None] = {"lmdeploy": __version__, "python": platform.python_version()}
    versions |= installed_versions(name for names in SAME_FOLDER.values() for name in names)
    versions |= {name: installed(name) for name in PACKAGES}
    return Report(
        machine=f"{platform.system()} {platform.machine()}",
        threads=default_threads(),
        gpu=gpu(),
        versions=versions,
        trials=tuple(attempt(name) for name in ENGINES),
        clashes=clashes([name for name, found in versions.items() if found]),
        missing={name: _advice(*about) for name, about in PACKAGES.items() if not versions[name]},
    )


def check_report(report: Report) -> None:
    """DeviceError (exit code 4) when something is broken; engines that are merely not installed are no problem."""
    if report.problems:
        raise DeviceError("; ".join(report.problems))


def clashes(packages: Sequence[str]) -> tuple[str, ...]:
    """One sentence for every folder that several of these packages own."""
    found = []
    for folder, owners in SAME_FOLDER.items():
        both = [name for name in owners if name in packages]
        if len(both) > 1:
            found.append(
                f"{' and '.join(both)} are both installed and write into the same folder {folder}: "
                f"pip uninstall {' '.join(both)}, then install the one that is wanted again"
            )
    return tuple(found)


def attempt(name: str, command: Sequence[str] = (sys.executable, "-m", "lmdeploy.probe")) -> Trial:
    """Try one engine in a process of its own: one that dies or hangs is a result, too."""
    answer = ask([*command, name], TIMEOUT_S)
    return Trial(**{"engine": name, "works": not answer["problem"], "provider": "", **answer})


def _advice(extra: str, purpose: str) -> str:
    return f"pip install 'landmark-deploy[{extra}]', for {purpose}"


def gpu() -> str:
    """The first GPU and what its driver supports, or why there is none."""
    try:
        from lmdeploy.backends.cuda import Device

        found = Device(0).gpu
    except LmdeployError as error:
        return f"none: {error}"
    return f"{found.name}, compute capability {found.sm}, driver for CUDA {found.driver}"
