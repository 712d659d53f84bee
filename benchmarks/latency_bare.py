"""What the package adds to the bare ONNX Runtime call.

Each pair is a block of `Landmarker.predict(frame, [box])` (crop, network, back-mapping), a block of the bare
`session.run` on the same crop, in the same session with the same threads, and a block of a session whose threads wait
asleep.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pairs import Plan, as_details, quartiles, ratio, timed
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.benchmark.scene import scene
from lmdeploy.geometry import crop_image, crop_matrix
from lmdeploy.landmarker import Landmarker
from lmdeploy.single_file import read_model

__all__ = ["over_bare", "scene"]


def over_bare(model: str | Path, threads: int | None, plan: Plan) -> dict[str, Any]:
    """`overhead` (median ratio) of one model, the medians of the three ways in ms, spread and every pair."""
    frame, box = scene()
    with Landmarker.load(model, threads=threads, backend="onnxruntime") as landmarker:
        rule = landmarker.spec.crop
        crop = crop_image(frame, crop_matrix(box, rule), rule.size)[None]
        backend = landmarker.model.backend
        assert isinstance(backend, OrtBackend), "the bare call is ONNX Runtime's"
        names, session = backend.outputs, backend.session
        calm = OrtBackend(read_model(model).file("model.onnx"), backend.threads, spin=False)
        times = timed(
            {
                "predict": lambda: landmarker.predict(frame, [box]),
                "bare": lambda: session.run(names, {"images": crop}),
                "bare_without_spinning": lambda: calm.run(crop),
            },
            plan,
        )
        about = {"size": rule.size, "threads": backend.threads, "provider": backend.provider}
    return {
        **about,
        "overhead": ratio(times["predict"], times["bare"]),
        "overhead_iqr": quartiles(times["predict"] / times["bare"]),
        **{f"{name}_ms": float(np.median(ms)) for name, ms in times.items()},
        "ways": as_details(times),
    }
