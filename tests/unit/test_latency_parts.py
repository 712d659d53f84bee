"""What benchmarks/latency.py is made of: networks and their cache, counted multiply-adds, the authors' way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from benchmarks import authors_way, latency_bare, latency_ways, networks
from benchmarks.conv_rate import conv_chain, gmacs
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.model import open_model
from lmdeploy.types import F32
from tests.tiny_bundle import make_tiny_bundle
from tests.unit.training.conftest import SMALL_RESNET
from training.models import Network, build, heatmap, transformer


def test_scene_holds_its_box() -> None:
    frame, box = latency_bare.scene()
    assert frame.shape == (720, 1280, 3)
    assert frame.dtype == np.uint8
    assert 0 < box.x0 < box.x1 < 1280
    assert 0 < box.y0 < box.y1 < 720


def test_threads_that_always_spin_find_the_same_points(tmp_path: Path) -> None:
    file = make_tiny_bundle(tmp_path / "tiny", size=32).file("model.onnx")
    session = latency_bare.always_spinning(file, 2)
    options = session.get_session_options()
    assert options.get_session_config_entry("session.force_spinning_stop") == "0"
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "1"
    crops = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    (points,) = session.run(["points"], {"images": crops})
    np.testing.assert_array_equal(points, OrtBackend(file, 2, "cpu").run(crops).points)


def test_a_camera_s_frame_costs_its_processor_time_and_not_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def five_ms() -> None:
        end = process_time() + 0.005
        while process_time() < end:
            pass

    monkeypatch.setattr(latency_bare, "CAMERA_FRAMES", 5)
    started = perf_counter()
    assert 5 <= latency_bare.camera_cpu_ms(five_ms) < 10  # of the 33 ms between frames
    assert perf_counter() - started >= 5 / latency_bare.CAMERA_HZ


def test_ratios_are_medians_of_each_pair_s_ratio() -> None:
    times = {"eager": [8.0, 9.0, 20.0], "onnxruntime": [4.0, 3.0, 5.0], "best": [2.0, 2.0, 2.0]}
    found = latency_ways.ratios({way: np.array(ms) for way, ms in times.items()})
    assert found == {
        "speedup_ort": 3.0, "speedup_best_cpu": 4.5, "eager_ms": 9.0, "onnxruntime_ms": 4.0, "best_ms": 2.0,
    }  # fmt: skip


def test_multiply_adds_of_each_operator_by_hand() -> None:
    """Conv 2 -> 5, 3x3 on 8x8: 8*8*5*2*9. ConvTranspose 5 -> 3, 4x4 on 8x8: 8*8*5*3*16. MatMul 16x16 by 16x7, x3."""
    weights = {"w": (5, 2, 3, 3), "t": (5, 3, 4, 4), "m": (16, 7)}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("ConvTranspose", ["c", "t"], ["d"], pads=[1, 1, 1, 1], strides=[2, 2]),
            helper.make_node("MatMul", ["d", "m"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 2, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 3, 16, 7])],
        [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    by_hand = 8 * 8 * 5 * 2 * 9 + 8 * 8 * 5 * 3 * 16 + 3 * 16 * 16 * 7
    assert gmacs(model.SerializeToString()) == pytest.approx(1e-9 * by_hand, rel=1e-12)


def test_the_chain_is_a_graph_that_backends_take() -> None:
    chain = conv_chain(side=32, width=8, depth=2)
    assert gmacs(chain) == pytest.approx(1e-9 * 32 * 32 * (3 * 8 * 9 + 2 * 8 * 8 * 9 + 8 * 2), rel=1e-12)
    found = OrtBackend(chain, 1, "cpu").run(np.full((1, 32, 32, 3), 9, np.uint8))
    assert found.points.shape == (1, 2, 2)
    assert np.isfinite(found.points).all()
    assert np.abs(found.points).min() > 1e-12  # no denormal numbers on the way


class OneMap(nn.Module):
    """A network whose only map [1,1,8,8] has its peak at column 5, row 2, and a higher right and upper neighbour."""

    def predict(self, images: Tensor) -> Tensor:
        maps = torch.zeros(1, 1, 8, 8)
        maps[0, 0, 2, 5], maps[0, 0, 2, 6], maps[0, 0, 1, 5] = 1.0, 0.5, 0.25
        return maps

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.predict(images), torch.ones(1, 1, 8, 8)


@pytest.mark.parametrize("call", [authors_way.authors_call, latency_ways.lean_call])
def test_both_ways_of_pytorch_decode_maps_by_the_rule_of_the_release(call: Callable[..., F32]) -> None:
    found = call(OneMap(), torch.zeros(1, 3, 32, 32))
    assert found.tolist() == [[[4 * (5 + 1 + 0.25) - 0.5, 4 * (2 + 1 - 0.25) - 0.5]]]


def test_a_peak_at_the_border_is_not_shifted_along_that_axis() -> None:
    maps = torch.zeros(2, 3, 8, 8)
    maps[1, 2, 7, 3], maps[1, 2, 7, 2] = 1.0, 0.5
    net = OneMap()
    net.predict = lambda images: maps  # type: ignore[method-assign]  # other maps
    assert authors_way.authors_call(net, torch.zeros(2, 3, 32, 32))[1, 2].tolist() == [4 * 3.75 - 0.5, 4 * 8 - 0.5]


@pytest.mark.parametrize("backbone", ["resnet18", "hrnet_w18_small_v2"])
def test_what_the_release_computes_beside_does_not_change_the_points(backbone: str) -> None:
    torch.manual_seed(0)
    small = SMALL_RESNET if backbone == "resnet18" else {}
    net = build(transformer.Config(backbone=backbone, backbone_options=small, width=32, feed_forward=64), 5)
    assert isinstance(net, transformer.Transformer)
    images = torch.randn(2, 3, 64, 64)
    released = authors_way.as_released(net)
    ours = latency_ways.lean_call(net.eval(), images)
    np.testing.assert_allclose(authors_way.authors_call(released, images), ours, rtol=0, atol=1e-3)
    assert np.ptp(ours, axis=(0, 1)).min() > 0.1  # points that differ


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(networks.NETWORKS, "hm_r18", heatmap.Config(backbone_options=SMALL_RESNET, channels=8))


def test_statistics_of_pictures_keep_activations_from_vanishing(small: None) -> None:
    net = networks.network("hm_r18", 64)
    with torch.no_grad():
        feature = net.features(torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))  # type: ignore[operator]  # Heatmap's
    assert float(feature.std()) > 0.1
    assert not net.training
    again = networks.network("hm_r18", 64)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))


def test_an_export_is_kept_until_its_sources_change(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[Network] = []

    def to_onnx(net: Network, spec: object) -> bytes:
        made.append(net)
        return b"export %d" % len(made)

    monkeypatch.setattr("export.to_onnx.to_onnx", to_onnx)
    get = partial(networks.exported, "hm_r18", tmp_path / "cache", 64)
    assert [get(), get()] == [b"export 1"] * 2
    changed = tmp_path / "source.py"
    changed.write_text("x = 1\n")
    monkeypatch.setattr(networks.training.models.heatmap, "__file__", str(changed))
    assert [get(), get()] == [b"export 2"] * 2
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_made_bundle_opens_and_runs(small: None, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the export extra")
    bundle = networks.make_bundle("hm_r18", tmp_path, tmp_path / "hm", size=64)
    out = open_model(bundle.path, threads=1).backend.run(np.zeros((1, 64, 64, 3), np.uint8))
    assert out.points.shape == (1, 68, 2)


def test_the_paper_s_network_has_its_multiply_adds() -> None:
    """15,407,304 parameters with both heads (methods specification 3.2)."""
    assert sum(p.numel() for p in heatmap.Heatmap(networks.NETWORKS["hm_r18"], 68).parameters()) == 15_407_304  # type: ignore[arg-type]  # a heatmap.Config
