"""What the package adds to the bare ONNX Runtime call.

Each pair is a block of `Landmarker.predict(frame, [box])` (crop, network, back-mapping), a block of the bare
`session.run` on the same crop, in the same session with the same threads, a block of a session whose threads wait
asleep, and one of a session whose threads wait awake, also after a call and for the next one. Then a camera gives each
session a crop every 1/30 s: what its threads cost the processor while they wait for the next one shows only there.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import Any

import numpy as np

from benchmarks.pairs import Call, Plan, as_details, quartiles, ratio, timed
from lmdeploy.backends.ort import CPU, OrtBackend, import_onnxruntime, session_options
from lmdeploy.benchmark.scene import scene
from lmdeploy.geometry import crop_image, crop_matrix
from lmdeploy.landmarker import Landmarker
from lmdeploy.single_file import read_model

__all__ = ["over_bare", "scene"]
CAMERA_HZ, CAMERA_FRAMES = 30, 60


def over_bare(model: str | Path, threads: int | None, plan: Plan) -> dict[str, Any]:
    """`overhead` (median ratio) of one model, the medians of the ways in ms, every pair; camera_cpu_ms by way."""
    frame, box = scene()
    with Landmarker.load(model, threads=threads, backend="onnxruntime") as landmarker:
        rule = landmarker.spec.crop
        crop = crop_image(frame, crop_matrix(box, rule), rule.size)[None]
        backend = landmarker.model.backend
        assert isinstance(backend, OrtBackend), "the bare call is ONNX Runtime's"
        names, session = backend.outputs, backend.session
        file = read_model(model).file("model.onnx")
        calm, restless = OrtBackend(file, backend.threads, spin=False), always_spinning(file, backend.threads)
        bare = {
            "bare": lambda: session.run(names, {"images": crop}),
            "bare_without_spinning": lambda: calm.run(crop),
            "bare_always_spinning": lambda: restless.run(names, {"images": crop}),
        }
        times = timed({"predict": lambda: landmarker.predict(frame, [box]), **bare}, plan)
        camera = {name: camera_cpu_ms(call) for name, call in bare.items()}
        about = {"size": rule.size, "threads": backend.threads, "provider": backend.provider}
    return {
        **about,
        "overhead": ratio(times["predict"], times["bare"]),
        "overhead_iqr": quartiles(times["predict"] / times["bare"]),
        **{f"{name}_ms": float(np.median(ms)) for name, ms in times.items()},
        "camera_cpu_ms": camera,
        "ways": as_details(times),
    }


def always_spinning(file: Path, threads: int) -> Any:
    """A session on the processor whose threads stay awake between calls, which is ONNX Runtime's own default."""
    options = session_options(threads, spin=True)
    options.add_session_config_entry("session.force_spinning_stop", "0")
    return import_onnxruntime().InferenceSession(str(file), options, providers=[CPU])


def camera_cpu_ms(call: Call) -> float:
    """Processor ms a frame of all threads of this process, with a call every 1/CAMERA_HZ s."""
    started, due = process_time(), perf_counter()
    for _ in range(CAMERA_FRAMES):
        call()
        due += 1 / CAMERA_HZ
        sleep(max(due - perf_counter(), 0.0))
    return 1e3 * (process_time() - started) / CAMERA_FRAMES
