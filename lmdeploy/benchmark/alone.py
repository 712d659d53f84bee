"""One way in a process of its own: whether it works, what ran, and the memory that it takes at its peak.

`python -m lmdeploy.benchmark.alone JSON` prints one JSON object. In one process one way's memory would stand in
for another's, and an engine that dies would end the others.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from lmdeploy import resident
from lmdeploy.benchmark.scene import scene
from lmdeploy.benchmark.ways import BF16, Options, Way
from lmdeploy.errors import DeviceError, LmdeployError
from lmdeploy.landmarker import Landmarker
from lmdeploy.own_process import ask

TIMEOUT_S = 900  # the first engine of TensorRT takes minutes to build


def attempt(way: Way, options: Options) -> dict[str, Any]:
    """Try a way: `problem` (empty: it works), and if it works `provider`, `start_mb` and `peak_mb`, MB (10^6 bytes).

    start_mb: before the model was opened, Python and this package; peak_mb: of the whole process, with the largest
    batch of the options. Both are None where the system does not say.
    """
    job = {"way": [way.backend, way.device, way.precision], "options": options.model_dump(mode="json")}
    return ask((sys.executable, "-m", "lmdeploy.benchmark.alone", json.dumps(job)), TIMEOUT_S)


def open_way(way: Way, options: Options) -> Landmarker:
    """A landmarker that runs in that way; DeviceError where OpenVINO leaves bf16, InputError without the file."""
    landmarker = Landmarker.load(options.model, detector=options.detector, yunet=options.yunet, **way.running(options))
    provider = landmarker.model.backend.provider
    if way.precision == BF16 and not provider.endswith(BF16):
        landmarker.close()
        raise DeviceError(
            f"{provider} ran: bf16 is missing in this processor, without use for this network, or too far from the "
            "bundle's reference.npz"
        )
    return landmarker


def try_alone(way: Way, options: Options) -> dict[str, Any]:
    """What `attempt` returns, measured in this process."""
    known = resident.is_known()
    start_mb = resident.now_mb() if known else None
    try:
        with open_way(way, options) as landmarker:
            frame, box = scene()
            for count in (1, max(options.batches)):
                landmarker.predict(frame, [box] * count)
            provider = landmarker.model.backend.provider
    except LmdeployError as error:
        return {"problem": str(error)}
    peak_mb = resident.peak_mb() if known else None
    return {"problem": "", "provider": provider, "start_mb": start_mb, "peak_mb": peak_mb}


def main(job: str) -> None:
    """Try the way of a JSON job and print the answer."""
    given = json.loads(job)
    way = Way(*given["way"])
    sys.stdout.write(json.dumps(try_alone(way, Options.model_validate(given["options"]))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
