"""Coordinate regression: published parameter counts, both trunks, sizes, training, and that export says the same."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from export.to_onnx import to_onnx
from lmdeploy.bundle import ModelSpec
from lmdeploy.errors import InputError
from lmdeploy.geometry import CropRule
from lmdeploy.schema import load_schema
from tests.oracles import parameter_counts as by_hand
from training.models import Network, build, count_parameters, heatmap, regression
from training.models.convert_bn import convert
from training.models.end_to_end import EndToEnd
from training.models.regression import Config, Regression
from training.models.sepbn import Options, SepBN
from training.models.vanilla_cnn import VanillaCnn

VANILLA: dict[str, Any] = {"channels": [4, 4, 8, 8, 8], "hidden": 16, "size": 64}
RESNEXT: dict[str, Any] = {"channels": [16, 16, 16, 16], "base_width": 32, "cardinality": 2, "layers": [1, 1, 1, 1]}


def tiny(backbone: str, options: dict[str, Any], **sepbn: Any) -> Config:
    table = sepbn or None
    return Config.model_validate({"backbone": backbone, "backbone_options": options, "sepbn": table})


@pytest.mark.parametrize(("landmarks", "millions"), [(19, 33.58), (29, 33.60), (98, 33.75)])
def test_the_vanilla_cnn_has_the_published_number_of_weights(landmarks: int, millions: float) -> None:
    with torch.device("meta"):
        network = Regression(Config(), landmarks)
    own = count_parameters(network) - count_parameters(network.aux)
    channels = [3, 64, 128, 256, 512, 1024, 2048]
    blocks = sum(by_hand.conv(a, b, 3, bias=True) + 2 * b for a, b in pairwise(channels))
    linear = by_hand.conv(8192, 1024, bias=True) + by_hand.conv(1024, 2 * landmarks, bias=True)
    assert own == blocks + linear
    assert own == {19: 33_583_654, 29: 33_604_154, 98: 33_745_604}[landmarks]
    assert round(own / 1e6, 2) == millions


def test_sepbn_adds_some_25_thousand_weights_to_it() -> None:
    with torch.device("meta"):
        plain, more = (Regression(cfg, 19) for cfg in (Config(), Config.model_validate({"sepbn": {}})))
    extra = count_parameters(more) - count_parameters(plain)
    channels = [64, 128, 256, 512, 1024, 2048]
    # two more sets of gamma and beta; 1x1 convolution C -> 2 with bias; MLP 18 -> 8 -> 6
    assert extra == sum(2 * 2 * c + 2 * c + 2 + 19 * 8 + 9 * 6 for c in channels)
    assert 24_000 < extra < 26_000


@pytest.mark.parametrize(("name", "width"), [("resnext50_32x4d", 2048), ("mobilenetv2_100", 1280)])
def test_other_trunks_are_the_whole_network_with_a_new_last_layer(name: str, width: int) -> None:
    with torch.device("meta"):
        network = build(Config(backbone=name), 29)
    assert isinstance(network, Regression)
    assert network.main.weight.shape == (58, width)


@pytest.mark.parametrize(
    ("backbone", "options"), [("vanilla_cnn", VANILLA), ("resnext50_32x4d", RESNEXT), ("mobilenetv2_050", {})]
)
def test_both_heads_answer_in_crop_widths(backbone: str, options: dict[str, Any]) -> None:
    network = build(tiny(backbone, options), 5)
    main, aux = network(torch.randn(2, 3, 64, 64))
    assert main.shape == aux.shape == (2, 5, 2)
    assert float((main.detach() - 0.5).abs().mean()) < 2
    assert network.cfg.unit(64) == 64


def test_the_vanilla_cnn_says_which_crops_it_takes() -> None:
    tiny("vanilla_cnn", VANILLA).check(64)
    Config().check(128)
    Config(backbone="mobilenetv2_050").check(77)
    with pytest.raises(InputError, match=r"crop\.size is 96.*built for 128.*size = 96.*multiple of 64"):
        Config().check(96)
    with pytest.raises(InputError, match="multiple of 64"):
        Config(backbone_options={"size": 100}).check(100)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone": "resnext5"}, "neither vanilla_cnn nor in timm"),
        ({"pretrained": True}, "no ImageNet weights for 'vanilla_cnn'"),
        ({"backbone_options": {"width": 3}}, "does not take these options"),
    ],
)
def test_what_cannot_be_built_says_why(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build(Config.model_validate(changes), 3)


def moved(network: Network) -> Network:
    """Attention that differs from image to image, statistics of real inputs: nothing that a parity test could miss."""
    torch.manual_seed(7)
    for module in network.modules():
        if isinstance(module, SepBN):
            for value in (module.gamma, module.beta):
                torch.nn.init.normal_(value, mean=0.7, std=0.4)
            for weight in module.attention.parameters():
                torch.nn.init.normal_(weight, std=0.5)
            module.tau.fill_(1.0)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, 3, 64, 64))
    return network.eval()


MIXED = {"channels": [4, 8, 8], "hidden": 16, "size": 64}
HARD = {"hard": True, "groups": 4, "pool": 4, "sets": 2}
VARIANTS: tuple[dict[str, Any], ...] = ({}, HARD, {"attention": "simple"})
NETWORKS = {
    "vanilla": tiny("vanilla_cnn", MIXED),
    "efficientnet": tiny("test_efficientnet", {}, places=[3]),
    "heatmap": heatmap.Config.model_validate(
        {"backbone": "resnext50_32x4d", "backbone_options": RESNEXT | {"out_indices": [1]}, "channels": 8, "stride": 2}
        | {"sepbn": {"places": [3], "groups": 4}}
    ),
}  # fmt: skip
LAYERS = {"vanilla": 3, "efficientnet": 4, "heatmap": 1}  # separable ones


def made(name: str) -> Network:
    """The network; the Vanilla CNN has every variant of the attention in one graph, a layer each."""
    torch.manual_seed(0)
    network = build(NETWORKS[name], 68)
    if isinstance(network, Regression) and isinstance(network.trunk, VanillaCnn):
        for block, options in zip(network.trunk.maps.blocks, VARIANTS, strict=True):
            convert(block, Options.model_validate(options))
    return moved(network)


def random_crops(count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(count).integers(0, 256, (count, 64, 64, 3), np.uint8)


@pytest.mark.parametrize("name", NETWORKS)
def test_exported_graph_says_the_same_to_a_ten_thousandth_of_a_pixel(name: str) -> None:
    cfg, network = NETWORKS[name], made(name)
    assert sum(isinstance(module, SepBN) for module in network.modules()) == LAYERS[name]
    if isinstance(network, Regression):
        with torch.no_grad():  # random networks answer hundreds of px apart, of which no fp32 has the ten thousandth
            seen = EndToEnd(network, "coords")(torch.from_numpy(random_crops(3)))[0] - 32
            network.main.weight.mul_(8 / seen.abs().max())
    spec = ModelSpec(
        name=name, landmarks=load_schema("ibug68"), crop=CropRule(size=64), codec=cfg.codecs[0], method="none"
    )
    raw = to_onnx(network, spec)
    session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
    for count in (1, 3):
        crops = random_crops(count)
        points, score = session.run(["points", "score"], {"images": crops})
        with torch.no_grad():
            wanted = EndToEnd(network, spec.codec)(torch.from_numpy(crops))
        gap = np.linalg.norm(points - wanted[0].numpy(), axis=-1)
        spread_px = float(np.std(wanted[0].numpy()))
        # a flat random map has ties that no tolerance can settle: peaks are looked at through the score
        assert np.percentile(gap, 90 if name == "heatmap" else 100) < 1e-4, gap.max()
        assert spread_px > 0.01
        np.testing.assert_allclose(score, wanted[1].numpy(), atol=1e-4)
    if name == "vanilla":
        pools_once_a_layer(raw)


def pools_once_a_layer(raw: bytes) -> None:
    """Three pools of the network's own and one for each grouped layer; soft attentions alone have a softmax."""
    kinds = [node.op_type for node in onnx.load_from_string(raw).graph.node]
    assert kinds.count("MaxPool") == 3 + 2
    assert kinds.count("Softmax") == 2
    assert "BatchNormalization" not in kinds


def test_the_loss_of_regression_is_l1_on_the_main_head() -> None:
    from tests.unit.training.conftest import made_batch
    from training.methods import supervised

    network = build(tiny("vanilla_cnn", VANILLA | {"size": 32}), 4)
    batch = made_batch([False, False], coordinates=True)
    main, _ = network.eval()(batch.x)
    wanted = sum(
        abs(float(main[b, k, i].detach() - batch.target[b, k, i]))
        for b in range(2)
        for k in range(4)
        for i in range(2)
    )
    assert float(supervised.step(network, batch)["loss"].detach()) == pytest.approx(wanted / 16)


def test_a_coordinate_network_without_the_table_is_as_before() -> None:
    assert regression.Config().sepbn is None
