"""YuNet in ONNX Runtime: equal to slow loops and to OpenCV's own FaceDetectorYN, for files of any kind of input."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from lmdeploy.detect import open_detector
from lmdeploy.detect.base import bounded_size
from lmdeploy.detect.free_sides import with_free_sides
from lmdeploy.detect.yunet import LONGER_SIDE, YuNet
from lmdeploy.detect.yunet_heads import candidates, suppress
from lmdeploy.errors import InputError
from lmdeploy.images import read_image
from lmdeploy.types import U8, Box
from tests.oracles.yunet import found_in, planted, yunet_onnx
from tests.tiny_bundle import make_tiny_bundle

REAL = "models/face_detection_yunet_2023mar.onnx"


@pytest.fixture(scope="module")
def planted_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("y") / "planted.onnx"
    path.write_bytes(yunet_onnx())
    return path


@pytest.fixture(scope="module")
def yunet(planted_file: Path) -> YuNet:
    return YuNet(planted_file, threads=1)


def rows(boxes: list[Box]) -> np.ndarray:
    """(x, y, w, h, score) with the edge of the first pixel at 0, as YuNet counts."""
    return np.array([[b.x0 + 0.5, b.y0 + 0.5, b.width, b.height, b.score] for b in boxes]).reshape(-1, 5)


def opencv(path: Path, image: U8, **how: float) -> np.ndarray:
    net = cv2.FaceDetectorYN.create(str(path), "", image.shape[1::-1], **how)
    found = net.detect(np.ascontiguousarray(image[..., ::-1]))[1]
    return np.empty((0, 5)) if found is None else found[:, [0, 1, 2, 3, 14]]


@pytest.mark.parametrize("seed", range(20))  # not hypothesis: it finds equal scores, which float32 orders at will
def test_boxes_are_those_of_the_slow_loops(planted_file: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(1, 150)), int(rng.integers(1, 200))
    score, overlap, top_k = rng.uniform(0.5, 0.85), rng.uniform(0.1, 0.7), (3, 20, 5000)[seed % 3]
    image = planted(rng, height, width)
    padded = np.zeros((-(-height // 32) * 32, -(-width // 32) * 32, 3), np.uint8)
    padded[:height, :width] = image[..., ::-1]
    detector = YuNet(planted_file, score_threshold=score, nms_threshold=overlap, top_k=top_k, threads=1)
    wanted = np.reshape(found_in(padded, score, overlap, top_k), (-1, 5))
    np.testing.assert_allclose(rows(detector.detect(image)), wanted, atol=0.01)  # px; float32 against float64


@pytest.mark.parametrize(("height", "width"), [(128, 192), (100, 130), (160, 96), (97, 191), (270, 480)])
@pytest.mark.parametrize(("score", "overlap", "top_k"), [(0.6, 0.3, 5000), (0.7, 0.6, 5000), (0.5, 0.3, 12)])
def test_boxes_and_their_order_are_those_of_opencv(
    planted_file: Path, height: int, width: int, score: float, overlap: float, top_k: int
) -> None:
    image = planted(np.random.default_rng(height + top_k), height, width)
    detector = YuNet(planted_file, score_threshold=score, nms_threshold=overlap, top_k=top_k, threads=1)
    wanted = opencv(planted_file, image, score_threshold=score, nms_threshold=overlap, top_k=top_k)
    assert len(wanted) > 2
    np.testing.assert_allclose(rows(detector.detect(image)), wanted, atol=0.01)  # px; measured 1e-4


@pytest.mark.data
def test_the_real_file_s_boxes_are_those_of_opencv(shared_data: Path) -> None:
    detector = YuNet(shared_data / REAL, threads=1)
    for path in sorted((shared_data / "faces68_300w" / "test_public" / "images").iterdir())[:20]:
        image = read_image(path)
        small = bounded_size(image.shape[:2], LONGER_SIDE)
        image = np.asarray(cv2.resize(image, small[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        wanted = opencv(shared_data / REAL, image, score_threshold=0.6, nms_threshold=0.3)
        assert len(wanted) > 0
        np.testing.assert_allclose(rows(detector.detect(image)), wanted, atol=0.01)  # px; measured 3e-5


@pytest.mark.parametrize("size", [(640, 640), ("height", "width"), (320, 96)])
def test_what_a_file_says_of_its_size_does_not_matter(yunet: YuNet, tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "other.onnx").write_bytes(yunet_onnx(size))
    image = planted(np.random.default_rng(5), 200, 300)
    assert len(yunet.detect(image)) > 2
    assert YuNet(tmp_path / "other.onnx", threads=1).detect(image) == yunet.detect(image)


@pytest.mark.parametrize(("height", "width"), [(96, 160), (50, 160), (96, 20)])
def test_a_file_that_truly_takes_one_size_is_given_that_size(
    yunet: YuNet, tmp_path: Path, height: int, width: int
) -> None:
    (tmp_path / "rigid.onnx").write_bytes(yunet_onnx((96, 160), rigid=True))
    image = planted(np.random.default_rng(6), height, width)
    detector = YuNet(tmp_path / "rigid.onnx", threads=1)
    assert detector.detect(image) == yunet.detect(image)
    large = cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
    for box, third in zip(detector.detect(np.asarray(large, np.uint8)), rows(detector.detect(image)), strict=True):
        np.testing.assert_allclose(rows([box])[0, :4], 3 * third[:4], atol=1e-3)


def test_a_frame_s_channels_are_turned(yunet: YuNet) -> None:
    """White in the planted network's first two channels is a face; they are blue and green."""
    assert yunet.detect(np.full((64, 64, 3), (0, 255, 255), np.uint8)) != []
    assert yunet.detect(np.full((64, 64, 3), (255, 255, 0), np.uint8)) == []


def test_freed_network_is_a_valid_one_that_says_no_size() -> None:
    freed = onnx.load_from_string(with_free_sides(yunet_onnx()))
    onnx.checker.check_model(freed)
    dims = freed.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == [1, 3, "height", "width"]
    assert not any(dim.dim_value for output in freed.graph.output for dim in output.type.tensor_type.shape.dim)
    plain = onnx.load_from_string(yunet_onnx())
    assert list(freed.graph.node) == list(plain.graph.node)
    assert list(freed.graph.initializer) == list(plain.graph.initializer)
    assert (freed.ir_version, freed.opset_import) == (plain.ir_version, plain.opset_import)


def test_infinite_and_missing_numbers_are_no_boxes() -> None:
    heads = {f"{h}_{s}": np.ones((64 // s) ** 2, np.float32) for s in (8, 16, 32) for h in ("cls", "obj")}
    heads |= {f"bbox_{s}": np.full(((64 // s) ** 2, 4), v, np.float32) for s, v in ((8, np.nan), (16, 1e9), (32, 0))}
    heads["cls_32"][1:] = np.nan
    assert candidates(heads, 64, 0.6).tolist() == [[-16, -16, 32, 32, 1]]


def test_boxes_without_area_and_equal_scores_keep_their_order() -> None:
    boxes = np.array([[0, 0, 0.4, 0.4, 0.7], [0, 0, 0.2, 0.2, 0.9], [50, 50, 9, 9, 0.7], [70, 50, 9, 9, 0.7]])
    assert suppress(boxes, 0.3, 10)[:, 0].tolist() == [0, 50, 70]
    assert suppress(boxes, 0.3, 2)[:, 4].tolist() == [0.9]


def without(head: str) -> bytes:
    model = onnx.load_from_string(yunet_onnx())
    (gone,) = [output for output in model.graph.output if output.name == head]
    model.graph.output.remove(gone)
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no ONNX file but an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"not a network", "is no ONNX file"),
        (yunet_onnx()[:-900], "is no ONNX file, or is damaged"),
        (without("obj_16"), "has no output obj_16"),
        (yunet_onnx((100, 100), rigid=True), "does not work as a YuNet face detector"),
    ],
)
def test_a_wrong_file_gets_one_sentence_that_names_the_right_one(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "wrong.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"face_detection_yunet_2023mar\.onnx") as caught:
        open_detector("yunet", tmp_path / "wrong.onnx")
    assert words in str(caught.value)
    assert "wrong.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_landmark_model_is_no_face_detector(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "tiny")
    with pytest.raises(InputError, match=r"no output cls_8.*2026may"):
        YuNet(bundle.file("model.onnx"))
    with pytest.raises(InputError, match="no such YuNet model file"):
        YuNet(tmp_path)


def test_opencv_s_own_detector_is_not_needed(planted_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FaceDetectorYN", "dnn"):
        monkeypatch.delattr(cv2, name)
    image = planted(np.random.default_rng(7), 64, 64)
    assert len(YuNet(planted_file, threads=1).detect(image)) > 0
