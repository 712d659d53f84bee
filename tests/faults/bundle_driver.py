"""A child process that opens broken bundles one after another, and says on a line of its own what came of each.

A mutant that ends the process (a signal, more memory than allowed, more processor time than allowed) leaves its line
out, by which the parent knows it.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from pathlib import Path

import numpy as np

from lmdeploy.backends.reference import distance_px
from lmdeploy.errors import LmdeployError
from lmdeploy.geometry import whole_image_box
from lmdeploy.landmarker import Landmarker
from lmdeploy.resident import peak_mb
from tests.mutants import Files, mutant

MEMORY = 4 << 30  # address space; ONNX Runtime alone takes less than one
SECONDS = 10.0  # of processor time for one mutant
PICTURE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)


def main(base: Path, work: Path, start: int, stop: int) -> None:
    """Mutants start..stop-1 of the bundles under `base`, which take turns."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bases: list[Files] = [
        {file.name: file.read_bytes() for file in folder.iterdir()} for folder in sorted(base.iterdir())
    ]
    for number in range(start, stop):
        kind, files, alone = mutant(bases[number % len(bases)], number)
        for name, content in files.items():
            (work / name).write_bytes(content)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        outcome, message = open_and_run(work / "model.onnx" if alone else work, kind)
        signal.setitimer(signal.ITIMER_PROF, 0)
        line = {"number": number, "kind": kind, "outcome": outcome, "message": message, "peak_mb": peak_mb()}
        print(json.dumps(line), flush=True)  # noqa: T201 - the parent reads it


def open_and_run(ref: Path, kind: str) -> tuple[str, str]:
    """(ran, refused, or what is wrong; the sentence)."""
    try:
        with Landmarker.load(ref, threads=1, device="cpu", backend="onnxruntime") as landmarker:
            (found,) = landmarker.predict(PICTURE, [whole_image_box(*PICTURE.shape[:2])])
            if kind == "npz":
                distance_px(landmarker.model.backend, ref / "reference.npz")
    except LmdeployError as error:
        text = str(error)
        one_sentence = text.isprintable() and 30 < len(text) < 400
        return ("refused" if one_sentence and error.exit_code == 2 else "not one sentence"), text
    except Exception as error:  # noqa: BLE001 - whatever else comes out is what is looked for
        return "bug", f"{type(error).__name__}: {error}"
    return ("ran" if np.isfinite(found.points).all() else "not finite"), ""


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
