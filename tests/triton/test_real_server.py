"""The repository that `lmdeploy export --triton` writes, in the real tritonserver of the wheel nvidia-pytriton.

That server has the Python backend only: NAME_python is served and queried; of NAME and NAME_tensorrt the configuration
is read with Triton's own message, and the server is seen to look for their backend and engine.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from export.triton.config import Serving
from export.triton.repository import add_to_repository
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.bundle import Bundle, read_bundle
from lmdeploy.types import U8, Array
from tests.oracles.triton_config import parse
from tests.tiny_bundle import make_tiny_bundle
from tests.triton.kit import Server, Wheel

NAMES = ("points", "score", "spread", "nnm")
AS_JSON = """
import sys
from google.protobuf import json_format, text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig
config = text_format.Parse(open(sys.argv[1]).read(), ModelConfig())
print(json_format.MessageToJson(config, preserving_proto_field_name=True))
"""


@pytest.fixture(scope="module")
def face68() -> Bundle:
    return read_bundle("face68")


@pytest.fixture(scope="module")
def repository(face68: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that ships, and a tiny one of two instances that was refreshed once."""
    folder = tmp_path_factory.mktemp("served") / "models"
    tiny = make_tiny_bundle(folder.parent / "tiny")
    add_to_repository(face68, folder, Serving(python=True))
    add_to_repository(tiny, folder, Serving(python=True, instances=2, max_batch=8))
    add_to_repository(tiny, folder, Serving(python=True, version=2))
    return folder


@pytest.fixture(scope="module")
def server(wheel: Wheel, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    words = ("--model-control-mode=explicit", "--load-model=face68_python", "--load-model=tiny_python")
    with Server(wheel, repository, tmp_path_factory.mktemp("server"), *words) as running:
        yield running
    assert running.process.returncode == 0


@pytest.fixture(scope="module")
def crops(face68: Bundle) -> U8:
    with np.load(face68.file("reference.npz")) as reference:
        return np.asarray(reference["crops"])


def answers(backend: OrtBackend, crops: U8) -> dict[str, Array]:
    found = backend.run(crops)
    return {name: np.asarray(getattr(found, name)) for name in NAMES}


def assert_same(found: dict[str, Array], wanted: dict[str, Array]) -> None:
    """Bit for bit: both sides run one file in ONNX Runtime on the CPU (measured 0.0 for 1, 4 and 16 crops)."""
    assert sorted(found) == sorted(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("count", [1, 4, 16])
def test_the_server_answers_as_our_backend_does(server: Server, face68: Bundle, crops: U8, count: int) -> None:
    wanted = answers(OrtBackend(face68.file("model.onnx"), 1, "cpu"), crops[:count])
    found = server.infer("face68_python", crops[:count])
    assert_same(found, wanted)
    assert np.ptp(wanted["points"], axis=(0, 1)).min() > 10  # the points are not all in one place


def test_concurrent_requests_share_batches_and_get_their_own_answers(
    server: Server, face68: Bundle, crops: U8
) -> None:
    backend = OrtBackend(face68.file("model.onnx"), 1, "cpu")
    wanted = [answers(backend, crops[i : i + 1]) for i in range(16)]
    before = server.get("models/face68_python/stats")["model_stats"][0]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: server.infer("face68_python", crops[i % 16 : i % 16 + 1]), range(48)))
    after = server.get("models/face68_python/stats")["model_stats"][0]
    for i, answer in enumerate(found):
        assert_same(answer, wanted[i % 16])
    assert after["inference_count"] - before["inference_count"] == 48
    assert after["execution_count"] - before["execution_count"] < 48  # measured 14
    assert any(entry["batch_size"] > 1 for entry in after["batch_stats"])


def test_the_newest_version_serves_and_single_outputs_can_be_asked_for(server: Server, repository: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    wanted = answers(OrtBackend(repository / "tiny" / "2" / "model.onnx", 1, "cpu"), images)
    assert_same(
        server.infer("tiny_python", images, "points", "spread", version=2),
        {n: wanted[n] for n in ("points", "spread")},
    )
    with pytest.raises(RuntimeError, match="version 1"):
        server.infer("tiny_python", images, version=1)


def test_the_server_read_the_configuration_as_it_is_meant(server: Server, repository: Path) -> None:
    found = server.get("models/tiny_python/config")
    assert found["max_batch_size"] == 8
    assert [(g["count"], g["kind"]) for g in found["instance_group"]] == [(2, "KIND_CPU")]
    assert found["dynamic_batching"]["preferred_batch_size"] == [4, 8]
    assert found["dynamic_batching"]["max_queue_delay_microseconds"] == 2000
    assert [(i["name"], i["data_type"], i["dims"]) for i in found["input"]] == [("images", "TYPE_UINT8", [64, 64, 3])]
    assert {o["name"]: o["dims"] for o in found["output"]} == {
        "points": [3, 2],
        "score": [3],
        "spread": [3],
        "nnm": [3],
    }


@pytest.mark.parametrize("model", ["face68", "face68_tensorrt", "face68_python", "tiny", "tiny_tensorrt"])
def test_tritons_own_message_takes_every_configuration(model: str, wheel: Wheel, repository: Path) -> None:
    file = repository / model / "config.pbtxt"
    found = json.loads(subprocess.check_output([wheel.python, "-c", AS_JSON, file], text=True))
    assert found == parse(file.read_text())
    assert found["name"] == model


def test_what_cannot_be_answered_is_refused(server: Server, crops: U8) -> None:
    with pytest.raises(RuntimeError, match="batch-size must be <= 32"):
        server.infer("face68_python", np.repeat(crops, 3, axis=0)[:33])
    with pytest.raises(RuntimeError, match=r"Expected \[-1,128,128,3\], got \[1,64,64,3\]"):
        server.infer("face68_python", crops[:1, :64, :64])


def test_the_other_models_wait_for_their_backend_and_their_engine(server: Server) -> None:
    """What the README beside the model says: load by name, and build the engine first."""
    with pytest.raises(RuntimeError, match="unable to find backend library for backend 'onnxruntime'"):
        server.post("repository/models/tiny/load")
    with pytest.raises(RuntimeError, match="at least one version must be available"):
        server.post("repository/models/tiny_tensorrt/load")


def test_a_version_added_while_the_server_runs_takes_over(wheel: Wheel, tmp_path: Path) -> None:
    tiny = make_tiny_bundle(tmp_path / "tiny")
    add_to_repository(tiny, tmp_path / "models", Serving(python=True, device="cpu"))
    words = (
        "--model-control-mode=poll",
        "--repository-poll-secs=1",
        "--exit-on-error=false",
        "--strict-readiness=false",
    )
    images = np.zeros((1, 64, 64, 3), np.uint8)
    with Server(wheel, tmp_path / "models", tmp_path, *words) as running:
        add_to_repository(tiny, tmp_path / "models", Serving(python=True, device="cpu", version=2))
        end, served = time.monotonic() + 60, "1"
        while served != "2" and time.monotonic() < end:
            running.infer("tiny_python", images)  # never fails while the versions change
            served = running.get("models/tiny_python/stats")["model_stats"][-1]["version"]
    assert served == "2"
