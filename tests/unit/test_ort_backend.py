"""The ONNX Runtime backend: right numbers, and a clear refusal of whatever is not an exported graph."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lmdeploy.backends import cores
from lmdeploy.backends.ort import CPU, OrtBackend
from lmdeploy.bundle import read_bundle
from lmdeploy.errors import BundleError, DeviceError, InputError
from tests.tiny_bundle import blob_image, mixing, tiny_onnx

POINTS = np.array([[20.3, 22.0], [40.7, 20.0], [30.0, 45.5]])


@pytest.fixture(scope="module")
def content() -> bytes:
    return tiny_onnx(64, mixing(5))


def test_finds_the_points_that_were_drawn(content: bytes) -> None:
    backend = OrtBackend(content, threads=1, device="cpu")
    out = backend.run(blob_image(64, 64, POINTS)[None])
    np.testing.assert_allclose(out.points[0, :3], POINTS, atol=0.01)  # px; measured 0.004
    np.testing.assert_allclose(out.points[0, 3:], mixing(5)[3:] @ POINTS, atol=0.01)
    assert out.score.shape == (1, 5)
    assert out.nnm is not None
    assert 2.5 < out.spread[0, 0] < 4.3  # sigma 3 drawn: sqrt(2) sigma = 4.2 before the floor cuts the tails


def test_batch_rows_are_independent(content: bytes) -> None:
    backend = OrtBackend(content, threads=1)
    images = np.stack([blob_image(64, 64, POINTS + d) for d in (0, 3, -4)])
    together = backend.run(images)
    for row, image in enumerate(images):
        np.testing.assert_allclose(together.points[row], backend.run(image[None]).points[0], atol=1e-4)


def test_model_without_nnm_gives_none() -> None:
    backend = OrtBackend(tiny_onnx(64, mixing(3), nnm=False), threads=1)
    assert backend.run(blob_image(64, 64, POINTS)[None]).nnm is None


def test_threads_that_sleep_give_the_same_points(content: bytes) -> None:
    image = blob_image(64, 64, POINTS)[None]
    awake, asleep = (OrtBackend(content, threads=2, spin=spin).run(image) for spin in (True, False))
    np.testing.assert_array_equal(awake.points, asleep.points)


def test_between_calls_threads_take_no_processor() -> None:
    """As they come they would spin for the next call through all of this tenth of a second."""
    backend = OrtBackend(read_bundle("face68").file("model.onnx"), threads=2)
    crops = np.zeros((1, backend.size, backend.size, 3), np.uint8)
    for _ in range(5):
        backend.run(crops)
    before = time.process_time()
    time.sleep(0.1)
    assert time.process_time() - before < 0.02


def test_provider_is_the_one_in_use(content: bytes) -> None:
    assert OrtBackend(content, threads=1, device="cpu").provider == CPU


def test_closed_backend_refuses_and_closes_twice(content: bytes) -> None:
    backend = OrtBackend(content, threads=1)
    backend.close()
    backend.close()
    with pytest.raises(InputError, match="closed"):
        backend.run(np.zeros((1, 64, 64, 3), np.uint8))


@pytest.mark.parametrize(
    "crops",
    [np.zeros((1, 64, 64, 3), np.float32), np.zeros((64, 64, 3), np.uint8), np.zeros((1, 32, 64, 3), np.uint8)],
    ids=["dtype", "rank", "size"],
)
def test_wrong_crops_are_named(content: bytes, crops: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"crops must be uint8 \[B,64,64,3\]"):
        OrtBackend(content, threads=1).run(crops)


def test_cuda_that_is_not_there_is_a_device_error(content: bytes) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(DeviceError, match="ask for device cpu") as caught:
        OrtBackend(content, device="cuda")
    assert caught.value.exit_code == 4


def test_unknown_device_and_threads_are_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="none of auto, cpu, cuda"):
        OrtBackend(content, device="tpu")  # type: ignore[arg-type]  # what a user may type
    with pytest.raises(InputError, match="threads"):
        OrtBackend(content, threads=0)


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_broken_bytes_are_a_bundle_error_and_nothing_is_printed(
    content: bytes, cut: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BundleError, match="export the model again"):
        OrtBackend(content[:cut], threads=1)
    assert capfd.readouterr() == ("", "")


def test_missing_file_with_percent_in_its_name(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"100%s\.onnx"):
        OrtBackend(tmp_path / "100%s.onnx", threads=1)


def _foreign(input_name: str, dtype: int, shape: list[object], outputs: dict[str, list[object]]) -> bytes:
    """A valid ONNX graph whose outputs are constants."""
    nodes, infos = [], []
    for name, out_shape in outputs.items():
        sizes = [s if isinstance(s, int) else 1 for s in out_shape]
        value = helper.make_tensor(f"{name}_value", TensorProto.FLOAT, sizes, np.zeros(sizes).ravel())
        nodes.append(helper.make_node("Constant", [], [name], value=value))
        infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, out_shape))
    source = helper.make_tensor_value_info(input_name, dtype, shape)
    graph = helper.make_graph(nodes, "foreign", [source], infos)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


GOOD: dict[str, list[object]] = {"points": ["B", 4, 2], "score": ["B", 4], "spread": ["B", 4]}
SHAPE: list[object] = ["B", 64, 64, 3]


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (("pixels", TensorProto.UINT8, SHAPE, GOOD), "only input must be uint8 'images'"),
        (("images", TensorProto.FLOAT, SHAPE, GOOD), "only input must be uint8 'images'"),
        (("images", TensorProto.UINT8, ["B", 3, 64, 64], GOOD), r"\[B,S,S,3\]"),
        (("images", TensorProto.UINT8, ["B", "H", "H", 3], GOOD), "fixed S"),
        (("images", TensorProto.UINT8, SHAPE, {"points": ["B", 4, 2]}), "no output score, spread"),
        (("images", TensorProto.UINT8, SHAPE, {**GOOD, "score": ["B", 5]}), "'score' must be float32"),
        (("images", TensorProto.UINT8, SHAPE, {**GOOD, "points": ["B", 4, 3]}), "'points' must be float32"),
        (("images", TensorProto.UINT8, SHAPE, {**GOOD, "points": ["B", 4]}), "fixed K"),
    ],
)
def test_foreign_graph_is_refused(graph: tuple[str, int, list[object], dict[str, list[object]]], message: str) -> None:
    content = _foreign(*graph)
    onnx.checker.check_model(onnx.load_from_string(content))
    with pytest.raises(BundleError, match=message):
        OrtBackend(content, threads=1)


def test_good_constant_graph_is_accepted() -> None:
    assert OrtBackend(_foreign("images", TensorProto.UINT8, SHAPE, GOOD), threads=1).points == 4


def test_default_threads_count_cores_not_hyper_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for cpu in range(4):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "physical_package_id").write_text("0\n")
        (folder / "core_id").write_text(f"{cpu % 2}\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    assert cores.physical_cores(tmp_path) == 2
    assert cores.physical_cores(tmp_path / "unknown") == 4


def test_default_threads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "physical_cores", lambda: 64)
    assert cores.default_threads() == 4
