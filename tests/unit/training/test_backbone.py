"""Backbones of both models: published parameter counts, HRNet's branches, vision transformers, sizes, start."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from lmdeploy.errors import InputError
from tests.oracles import parameter_counts as by_hand
from training.models import backbone, count_parameters, heatmap, transformer
from training.models.heatmap import Heatmap
from training.models.transformer import Transformer


def stage(modules: int, widths: list[int]) -> dict[str, Any]:
    return {
        "num_modules": modules, "num_branches": len(widths), "block_type": "BASIC", "num_blocks": [1] * len(widths),
        "num_channels": widths, "fuse_method": "SUM",
    }  # fmt: skip


HRNET: dict[str, Any] = {
    "stem_width": 8, "stage1": stage(1, [8]) | {"block_type": "BOTTLENECK"}, "stage2": stage(1, [4, 6]),
    "stage3": stage(1, [4, 6, 8]), "stage4": stage(1, [4, 6, 8, 10]),
}  # fmt: skip
VIT: dict[str, Any] = {"embed_dim": 16, "depth": 2, "num_heads": 2, "out_indices": [1]}
RESNET: dict[str, Any] = {"channels": [4, 4, 8, 8], "stem_type": "deep", "stem_width": 4}
TINY = {
    "resnet18": RESNET,
    "resnet50": RESNET,
    "hrnet_w18": HRNET,
    "vit_base_patch16_224": VIT,
    "vit_small_patch14_dinov2": VIT | {"patch_size": 16},
    "vit_small_patch16_dinov3": VIT,
}
FAMILIES = ("resnet18", "hrnet_w18", "vit_base_patch16_224")


def tiny_hm(name: str) -> Heatmap:
    return Heatmap(heatmap.Config(backbone=name, backbone_options=TINY[name], channels=8), 3).eval()


def tiny_tf(name: str) -> Transformer:
    cfg = transformer.Config(
        backbone=name, backbone_options=TINY[name], width=8, heads=2, layers=1, feed_forward=16, dropout=0.0
    )
    return Transformer(cfg, 3).eval()


@pytest.mark.parametrize("landmarks", [68, 37])
@pytest.mark.parametrize(
    ("name", "channels", "trunk", "hm"),
    [
        ("resnet50", 2048, by_hand.resnet50, by_hand.hm_on_resnet50),
        ("hrnet_w18", 270, by_hand.hrnet_w18, by_hand.hm_on_hrnet),
    ],
)
def test_parameters_are_those_added_up_by_hand(name: str, channels: int, trunk: Any, hm: Any, landmarks: int) -> None:
    with torch.device("meta"):
        assert count_parameters(Heatmap(heatmap.Config(backbone=name), landmarks)) == hm(landmarks)
        tf = Transformer(transformer.Config(backbone=name), landmarks)
    assert count_parameters(tf) == trunk() + by_hand.tf_decoder(channels, landmarks)


def test_the_hand_count_gives_the_specified_number_for_tf_on_resnet18() -> None:
    with torch.device("meta"):
        trunk = count_parameters(backbone.feature_maps("resnet18", {}, False)[0])
    assert trunk + by_hand.tf_decoder(512, 68) == 40_406_340


@pytest.mark.parametrize(
    ("name", "size"),
    [(name, size) for size in (64, 128, 256, 512) for name in TINY if size == 64 or name in FAMILIES],
)
def test_both_models_take_crops_of_64_to_512(name: str, size: int) -> None:
    x = torch.randn(1, 3, size, size)
    with torch.no_grad():
        main, aux = tiny_hm(name)(x)
        points, _ = tiny_tf(name)(x)
    assert main.shape == aux.shape == (1, 3, size // 4, size // 4)
    assert points.shape == (1, 3, 2)
    assert torch.isfinite(main).all()
    assert torch.isfinite(points).all()
    backbone.check_size(name, TINY[name], size)


def test_hrnet_gives_the_four_raw_branches_and_tf_4096_tokens_of_them() -> None:
    with torch.device("meta"):
        net, reductions, channels = backbone.feature_maps("hrnet_w18", {}, False)
        maps = net.eval()(torch.empty(1, 3, 256, 256))
    assert (reductions, channels) == ([4, 8, 16, 32], [18, 36, 72, 144])
    assert [tuple(m.shape[1:]) for m in maps] == [(18, 64, 64), (36, 32, 32), (72, 16, 16), (144, 8, 8)]
    assert backbone.concat(maps).shape == (1, 270, 64, 64)
    assert "incre_modules" not in dict(net.named_children())


@pytest.mark.parametrize("exchange", ["nearest", "bilinear"])
def test_branches_of_hrnet_enlarge_maps_for_each_other_as_asked(exchange: str) -> None:
    net, _, _ = backbone.feature_maps("hrnet_w18", TINY["hrnet_w18"] | {"exchange": exchange}, False)
    module = net.eval().get_submodule("stage2.0")
    from_coarse = module.get_submodule("fuse_layers.0.1")
    coarse = torch.randn(1, next(from_coarse.parameters()).shape[1], 4, 4)
    with torch.no_grad():
        before, found = from_coarse[:2](coarse), from_coarse(coarse)  # type: ignore[index]  # a Sequential
    if exchange == "nearest":
        expected = before.repeat_interleave(2, 2).repeat_interleave(2, 3)
    else:  # three quarters of the near cell, one of the far one, along each axis
        mix = torch.tensor([[1.0, 0, 0, 0], [3 / 4, 1 / 4, 0, 0], [1 / 4, 3 / 4, 0, 0], [0, 3 / 4, 1 / 4, 0]])
        mix = torch.cat([mix, mix.flip(0, 1)])
        expected = mix @ before @ mix.T
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["hrnet_w18", "resnet18"])
def test_an_exchange_that_there_is_not_is_refused(name: str) -> None:
    exchange = "cubic" if name == "hrnet_w18" else "bilinear"
    with pytest.raises(InputError, match="exchange is for HRNet, and nearest or bilinear"):
        backbone.feature_maps(name, TINY[name] | {"exchange": exchange}, False)


@pytest.mark.parametrize("options", [{"exchange": "nearest"}, {"channels": 16}], ids=["name", "type"])
def test_options_that_the_vanilla_cnn_does_not_take_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="'vanilla_cnn' gives no feature maps with these options"):
        backbone.feature_maps("vanilla_cnn", options, False)


def test_branches_are_interpolated_between_cell_centres() -> None:
    ramp = torch.tensor([[[[0.0, 4.0]]]]).expand(1, 1, 2, 2)
    joined = backbone.concat([torch.zeros(1, 1, 4, 4), ramp])
    # centres of the four cells lie at 0.25, 0.75, 1.25, 1.75 of the two: 0.5 + 0.25 k - 0.5 from the first centre
    assert joined[0, 1, 0].tolist() == [0.0, 1.0, 3.0, 4.0]


def test_hrnet_heads_are_two_copies_of_one_form_and_start_small() -> None:
    network = tiny_hm("hrnet_w18")
    for head in (network.main, network.aux):
        assert isinstance(head, nn.Sequential)
        assert [type(layer) for layer in head] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Conv2d]
    assert [p.shape for p in network.main.parameters()] == [p.shape for p in network.aux.parameters()]
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert all(0.0004 < m.weight.std() < 0.002 for m in convolutions)


def test_a_second_forward_of_the_heads_sees_the_same_features() -> None:
    network = tiny_hm("hrnet_w18")
    x = torch.randn(2, 3, 64, 64)
    features = network.features(x)
    assert features.shape == (2, network.width, 16, 16) == (2, 28, 16, 16)
    torch.testing.assert_close(network.predict(x), network.main(features))


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("resnet18", 100, "crop.size is 100.*multiple of 32"),
        ("hrnet_w18", 80, "crop.size is 80.*multiple of 32"),
        ("vit_base_patch16_224", 100, "crop.size is 100.*multiple of 16"),
        ("vit_small_patch14_dinov2", 256, "crop.size is 256.*multiple of 14"),
    ],
)
def test_a_size_that_the_backbone_cannot_cover_is_refused(name: str, size: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        backbone.check_size(name, {}, size)


@pytest.mark.parametrize(("name", "size"), [("vit_base_patch16_224", 80), ("vit_small_patch14_dinov2", 252)])
def test_a_vision_transformer_takes_any_multiple_of_its_patch(name: str, size: int) -> None:
    backbone.check_size(name, {}, size)


def test_a_patch_that_cannot_become_stride_4_names_the_two_ways_out() -> None:
    with pytest.raises(InputError, match=r"ends at stride 14.*network.stride.*patch size"):
        Heatmap(heatmap.Config(backbone="vit_small_patch14_dinov2", backbone_options=VIT), 3)
    network = Heatmap(heatmap.Config(backbone="vit_small_patch14_dinov2", backbone_options=VIT, stride=7), 3)
    assert network.predict(torch.randn(1, 3, 56, 56)).shape == (1, 3, 8, 8)


def test_no_pretrained_weights_in_timm_is_said_before_anything_is_fetched() -> None:
    with pytest.raises(InputError, match="timm has no weights for 'botnet50ts_256'"):
        backbone.feature_maps("botnet50ts_256", {}, True)


def test_imagenet_weights_of_hrnet_cover_every_weight_of_the_branches() -> None:
    with torch.device("meta"):
        whole = timm.create_model("hrnet_w18").state_dict()
        branches = backbone.feature_maps("hrnet_w18", {}, False)[0].state_dict()
    assert {name: value.shape for name, value in branches.items()}.items() <= {
        name: value.shape for name, value in whole.items()
    }.items()
    assert {name.partition(".")[0] for name in whole.keys() - branches.keys()} == {
        "incre_modules", "downsamp_modules", "final_layer", "classifier",
    }  # fmt: skip
