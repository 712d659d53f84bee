"""A process that wants an engine: `python -m tests.tensorrt_kit.one_build FOLDER LOG SECONDS_A_STEP`.

It writes a line to LOG when a build starts and one when the engine is there.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from tests.tensorrt_kit.installed import install
from tests.tiny_bundle import mixing, tiny_onnx


def main(folder: str, log: str, wait_s: str) -> None:
    """Open a backend on the stand-ins, slowly."""
    trt = install()
    started = iter(["build"])

    def step() -> None:
        for word in started:
            note(log, word)
        time.sleep(float(wait_s))

    trt.on_step = step
    from lmdeploy.backends.tensorrt import BuildOptions, Profile, TensorRTBackend

    options = BuildOptions(profiles=(Profile(smallest=1, best=1, largest=1),))
    backend = TensorRTBackend(tiny_onnx(32, mixing(3)), options, buckets=(1,), cache=Path(folder), show=False)
    backend.run(np.zeros((1, 32, 32, 3), np.uint8))
    note(log, "ready")


def note(log: str, word: str) -> None:
    """One line, whole, whoever else writes."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(handle, f"{word}\n".encode())
    os.close(handle)


if __name__ == "__main__":
    main(*sys.argv[1:])
