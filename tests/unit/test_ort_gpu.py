"""ONNX Runtime's GPU path on a stand-in whose work waits on its stream: crops and whole frames, lanes and shapes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from export.surgery.whole_frames import take_whole_frames
from lmdeploy.backends import ort_gpu
from lmdeploy.backends.frames import TakesFrames
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.backends.ort_gpu import OrtGpu, on_gpu
from lmdeploy.backends.part import PartBackend
from lmdeploy.bundle import Bundle, write_bundle
from lmdeploy.errors import DeviceError, InputError
from lmdeploy.geometry import CropRule, crop_image, crop_matrix
from lmdeploy.landmarker import Landmarker
from lmdeploy.types import F64, U8, Box
from tests.gpu_kit.fake_ort import FakeOrt
from tests.tensorrt_kit.fake_cuda import FakeCuda
from tests.tensorrt_kit.fake_tensorrt import FakeTensorRT
from tests.tensorrt_kit.installed import modules
from tests.tiny_bundle import blob_image, make_tiny_bundle, mixing, tiny_onnx

SIZE = 32
RULE = CropRule(size=SIZE, scale=1.25)
NETWORK = tiny_onnx(SIZE, mixing(3))
FRAMED = take_whole_frames(NETWORK)


@pytest.fixture
def ort(monkeypatch: pytest.MonkeyPatch) -> FakeOrt:
    """A GPU that is not there, and batches of 1, 2 and 4."""
    cuda = FakeCuda()
    fake = FakeOrt(cuda)
    for name, module in modules(cuda, FakeTensorRT(cuda)).items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    monkeypatch.setattr(ort_gpu, "BUCKETS", (1, 2, 4))
    return fake


def files(folder: Path) -> tuple[Path, Path]:
    for name, content in (("plain", NETWORK), ("framed", FRAMED)):
        (folder / name).write_bytes(content)
    return folder / "plain", folder / "framed"


def gpu(folder: Path) -> OrtGpu:
    network, frames = files(folder)
    return OrtGpu(OrtBackend(network, 1, "cuda"), network, frames)


def scene(count: int, height: int = 90, width: int = 120) -> list[U8]:
    base = np.array([[40.0, 35.0], [70.0, 37.0], [55.0, 60.0]])
    return [blob_image(height, width, base + 1.7 * i) for i in range(count)]


def boxes(count: int, side: float = 50.0) -> list[F64]:
    return [crop_matrix(Box(30.0 + i, 25.0, 30.0 + i + side, 25.0 + side), RULE) for i in range(count)]


def outside(frames: list[U8], index: list[int], matrices: list[F64]) -> np.ndarray:
    """Crops cut by crop_image, given to the network on the processor."""
    crops = np.stack([crop_image(frames[i], m, SIZE) for i, m in zip(index, matrices, strict=True)])
    return OrtBackend(NETWORK, 1, "cpu").run(crops).points


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 13])
def test_crops_in_any_number_equal_the_plain_session(ort: FakeOrt, tmp_path: Path, count: int) -> None:
    crops = np.stack([crop_image(f, m, SIZE) for f, m in zip(scene(count), boxes(count), strict=True)])
    with_gpu = gpu(tmp_path)
    for _ in range(2):
        found, wanted = with_gpu.run(crops), OrtBackend(NETWORK, 1, "cpu").run(crops)
        for name in ("points", "score", "spread", "nnm"):
            np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), atol=1e-4)
    assert with_gpu.run(crops[:0]).points.shape == (0, 3, 2)


@pytest.mark.parametrize(("frames", "faces"), [(1, 1), (1, 3), (2, 2), (3, 7), (4, 9)])
def test_faces_of_several_frames_equal_crops_cut_outside(
    ort: FakeOrt, tmp_path: Path, frames: int, faces: int
) -> None:
    pictures, matrices = scene(frames), boxes(faces)
    index = [(2 * i) % frames for i in range(faces)]
    with_gpu = gpu(tmp_path)
    for _ in range(2):
        found = with_gpu.run_frames(pictures, index, matrices)
        assert found is not None
        np.testing.assert_allclose(found.points, outside(pictures, index, matrices), atol=1e-3)


def test_a_frame_is_sent_once_for_all_its_faces(ort: FakeOrt, tmp_path: Path) -> None:
    with_gpu, picture = gpu(tmp_path), scene(1)
    with_gpu.run_frames(picture, [0] * 4, boxes(4))
    before, runs = ort.cuda.count("cudaMemcpyAsync"), ort.runs
    with_gpu.run_frames(picture, [0] * 4, boxes(4))
    assert ort.runs - runs == 1
    assert ort.cuda.count("cudaMemcpyAsync") - before == 4 + 4  # frames, matrices, index, taps; four outputs


def test_a_shape_that_came_before_allocates_and_opens_nothing(ort: FakeOrt, tmp_path: Path) -> None:
    with_gpu, picture = gpu(tmp_path), scene(1)
    with_gpu.run_frames(picture, [0], boxes(1))
    held, opened = dict(ort.cuda.memory), len(ort.sessions)
    for side in (45.0, 50.0, 51.0):
        with_gpu.run_frames(picture, [0], boxes(1, side))
    assert (dict(ort.cuda.memory), len(ort.sessions)) == (held, opened)


def test_two_lanes_take_turns_in_one_large_call(ort: FakeOrt, tmp_path: Path) -> None:
    """The second batch is queued before the first is waited for, on a stream of its own."""
    crops = np.stack([crop_image(f, m, SIZE) for f, m in zip(scene(12), boxes(12), strict=True)])
    with_gpu = gpu(tmp_path)
    with_gpu.run(crops)
    ort.cuda.calls.clear()
    with_gpu.run(crops)
    waits = [i for i, call in enumerate(ort.cuda.calls) if call == "cudaStreamSynchronize"]
    copies = [i for i, call in enumerate(ort.cuda.calls) if call == "cudaMemcpyAsync"]
    assert len(waits) == 3
    assert sum(i < waits[0] for i in copies) == 2 * 5
    lanes = ort.sessions[1:]
    assert len(lanes) == len({about["user_compute_stream"] for about in lanes}) == 2


def test_large_faces_take_more_taps_and_too_large_ones_are_not_for_it(ort: FakeOrt, tmp_path: Path) -> None:
    pictures = scene(1, 700, 700)
    with_gpu = gpu(tmp_path)
    for side, taken in ((60.0, True), (200.0, True), (600.0, False)):
        matrices = boxes(1, side)
        found = with_gpu.run_frames(pictures, [0], matrices)
        assert (found is not None) is taken
        if found is not None:
            np.testing.assert_allclose(found.points, outside(pictures, [0], matrices), atol=1e-3)


def test_what_is_not_for_it_is_left_to_crops(ort: FakeOrt, tmp_path: Path) -> None:
    with_gpu, two = gpu(tmp_path), boxes(2)
    assert with_gpu.run_frames([scene(1)[0], scene(1, 80, 120)[0]], [0, 1], two) is None
    assert with_gpu.run_frames(scene(5), [0, 4], two) is None
    assert with_gpu.run_frames(scene(1), [], []) is None
    network, _ = files(tmp_path)
    assert OrtGpu(OrtBackend(network, 1, "cuda"), network, None).run_frames(scene(1), [0, 0], two) is None


def test_seldom_shapes_give_their_memory_back(ort: FakeOrt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort_gpu, "MOST_SHAPES", 2)
    with_gpu = gpu(tmp_path)
    for height in (60, 61, 62, 63, 64):
        with_gpu.run_frames(scene(1, height), [0], boxes(1))
    assert len(ort.cuda.streams) == 2
    with_gpu.close()
    with_gpu.close()
    assert (ort.cuda.memory, ort.cuda.streams) == ({}, {})
    with pytest.raises(InputError, match="closed"):
        with_gpu.run(np.zeros((1, SIZE, SIZE, 3), np.uint8))


@pytest.mark.parametrize("broken", ["open", "run", "memory"])
def test_a_gpu_that_takes_no_lanes_runs_plainly(
    ort: FakeOrt, tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    with_gpu = gpu(tmp_path)
    ort.fail_open = RuntimeError("graphs are not for me") if broken == "open" else None
    ort.fail_run = RuntimeError("no kernel for it") if broken == "run" else None
    ort.cuda.fail = {"cudaMalloc": 2} if broken == "memory" else {}
    crop = crop_image(scene(1)[0], boxes(1)[0], SIZE)[None]
    for _ in range(2):
        assert with_gpu.run_frames(scene(1), [0], boxes(1)) is None
        np.testing.assert_allclose(with_gpu.run(crop).points, outside(scene(1), [0], boxes(1)), atol=1e-3)
    assert len(caplog.records) == 2  # once for frames, once for crops
    assert (ort.cuda.memory, ort.cuda.streams) == ({}, {})


def test_without_cuda_bindings_the_engine_stays_as_it_is(
    ort: FakeOrt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    network, frames = files(tmp_path)
    engine = OrtBackend(network, 1, "cuda")
    assert on_gpu(engine, network, frames, None, 0.02) is engine
    assert not isinstance(engine, TakesFrames)


def framed_bundle(folder: Path, framed: bytes = FRAMED) -> Bundle:
    plain = make_tiny_bundle(folder / "plain", size=SIZE, scale=1.25)
    crops = np.stack([crop_image(f, m, SIZE) for f, m in zip(scene(3), boxes(3), strict=True)])
    points = OrtBackend(NETWORK, 1, "cpu").run(crops).points
    np.savez(folder / "reference.npz", crops=crops, points=points)
    files = {
        "model.onnx": NETWORK,
        "model.frame.onnx": framed,
        "reference.npz": (folder / "reference.npz").read_bytes(),
    }
    return write_bundle(folder / "framed", plain.spec, files)


def landmarks(bundle: Path, device: str) -> list[np.ndarray]:
    found = [Box(30.0, 25.0, 80.0, 75.0), Box(28.0, 24.0, 79.0, 76.0)]
    with Landmarker.load(bundle, device=device, backend="onnxruntime", threads=1) as landmarker:  # type: ignore[arg-type]  # of two names
        stages: list[str] = []
        landmarker.observe = lambda stage, _: stages.append(stage)
        faces = landmarker.predict_batch(scene(2), [found, found[:1]])
        grey = landmarker.predict(scene(1)[0].mean(axis=2).astype(np.uint8), found)
        landmarker.predict(scene(1)[0][..., ::-1].copy(), found, color="bgr")
        return [*(face.points for some in faces for face in some), *(face.points for face in grey), stages]  # type: ignore[list-item]  # told last


def test_a_landmarker_sends_frames_where_the_bundle_has_a_file_for_them(ort: FakeOrt, tmp_path: Path) -> None:
    bundle = framed_bundle(tmp_path)
    *found, on_gpu_stages = landmarks(bundle.path, "cuda")
    *wanted, stages = landmarks(bundle.path, "cpu")
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-2)
    assert on_gpu_stages == ["network", "back_map", *["crop", "network", "back_map"] * 2]
    assert stages == ["crop", "network", "back_map"] * 3
    assert (ort.cuda.memory, ort.cuda.streams) == ({}, {})


def test_a_file_for_frames_that_is_off_the_reference_is_not_used(
    ort: FakeOrt, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = take_whole_frames(tiny_onnx(SIZE, mixing(3)[[1, 0, 2]]))
    *found, stages = landmarks(framed_bundle(tmp_path, other).path, "cuda")
    assert stages == ["crop", "network", "back_map"] * 3
    assert "px off on whole frames: crops are cut outside" in caplog.text
    np.testing.assert_allclose(found[0], landmarks(tmp_path / "framed", "cpu")[0], atol=1e-2)


def test_a_file_with_other_inputs_is_no_file_for_frames(ort: FakeOrt, tmp_path: Path) -> None:
    network, _ = files(tmp_path)
    with_gpu = OrtGpu(OrtBackend(network, 1, "cuda"), network, network)
    assert with_gpu.run_frames(scene(1), [0], boxes(1)) is None
    with pytest.raises(DeviceError, match=r"takes \['images'\], not"):
        ort_gpu.OrtLane(with_gpu._device, network, ort_gpu.Sizes({"frames": (1, 9, 9, 3)}, {}))


def test_a_part_of_a_network_takes_frames_where_the_network_does(ort: FakeOrt, tmp_path: Path) -> None:
    part, plain = PartBackend(gpu(tmp_path), slice(1, 3)), PartBackend(OrtBackend(NETWORK, 1, "cpu"), slice(1, 3))
    found = part.run_frames(scene(1), [0], boxes(1))
    assert found is not None
    np.testing.assert_allclose(found.points, outside(scene(1), [0], boxes(1))[:, 1:3], atol=1e-3)
    assert plain.run_frames(scene(1), [0], boxes(1)) is None
