"""Where a benchmark ran: processor, memory, system and versions, without the host's name."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

PACKAGES = (
    "landmark-deploy", "numpy", "opencv-python-headless", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt",
    "cuda-bindings",
)  # fmt: skip


class Machine(BaseModel):
    """The machine; `label` is fit for a file's name, `memory_gb` (2^30 bytes) None where nobody says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str = Field(pattern=r"^[a-z0-9-]+$")
    cpu: str
    cores: int = Field(ge=1)
    memory_gb: float | None = Field(gt=0)
    system: str

    @property
    def memory(self) -> str:
        """Its memory in words."""
        return "memory unknown" if self.memory_gb is None else f"{self.memory_gb:g} GB memory"


def this_machine() -> Machine:
    """This machine; `cores` are the logical ones that this process may use."""
    cpu = _cpu_model()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    words = re.sub(r"\((r|tm)\)|processor|cpu|@.*", " ", cpu.lower())
    label = "-".join([*re.findall(r"[a-z0-9]+", words)[:3], f"{cores}c"])
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return Machine(label=label, cpu=cpu, cores=cores, memory_gb=_memory_gb(), system=system)


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "unknown"


def _memory_gb() -> float | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:  # as on Windows
        return None
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # either is -1 where it cannot be told
    return round(size / 2**30, 1) if size > 2**20 else None
