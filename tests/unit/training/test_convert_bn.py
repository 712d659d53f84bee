"""Converting networks to SepBN: which layers, what they keep, and that the network still says the same."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from lmdeploy.errors import InputError
from training.models import heatmap, sepbn, transformer
from training.models.backbone import feature_maps
from training.models.convert_bn import convert
from training.models.heatmap import Heatmap
from training.models.sepbn import BruteForce, Options, SepBN
from training.models.transformer import Transformer
from training.models.vanilla_cnn import VanillaCnn

SMALL = {"channels": [8, 8, 16, 16], "stem_type": "deep", "stem_width": 8}
BN3 = Options(places=(3,))


def replaced(network: nn.Module) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, SepBN)]


def made(name: str, **options: Any) -> nn.Module:
    with torch.device("meta"):
        network: nn.Module = timm.create_model(name, **options)
    return network


def test_resnext_has_sixteen_third_norms_and_shortcuts_keep_theirs() -> None:
    network = made("resnext50_32x4d")
    with torch.device("meta"):
        assert convert(network, BN3) == 16
    names = replaced(network)
    assert len(names) == 16
    assert all(name.endswith(".bn3") for name in names)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) == 53  # 37 stay, 16 track for SepBN


def test_mobilenet_has_seventeen_norms_after_a_linear_projection() -> None:
    network = made("mobilenetv2_100")
    projections = {
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and name.endswith(("conv_pwl", "conv_pw"))
    }  # fmt: skip
    with torch.device("meta"):
        assert convert(network, BN3) == 17
    names = replaced(network)
    # the first block has no expansion, so its projection is its second convolution
    assert names[0] == "blocks.0.0.bn2"
    assert all(name.endswith(".bn3") for name in names[1:])
    assert len({name.rpartition(".")[0] for name in names} & {name.rpartition(".")[0] for name in projections}) == 17


@pytest.mark.parametrize(("places", "count"), [((1,), 16), ((2,), 16), ((1, 2), 32), ((1, 3), 32), ((1, 2, 3), 48)])
def test_every_combination_of_table_x(places: tuple[int, ...], count: int) -> None:
    network = made("resnext50_32x4d")
    with torch.device("meta"):
        assert convert(network, Options(places=places)) == count
    assert {int(name[-1]) for name in replaced(network)} == set(places)


def test_all_norms_or_the_last_of_basic_blocks() -> None:
    with torch.device("meta"):
        assert convert(made("resnet18"), Options()) == 20
        assert convert(made("resnet18"), BN3) == 8
        assert convert(made("resnet18d"), BN3) == 8  # the three norms of its stem stand in a list


@pytest.mark.parametrize(
    ("places", "layers"), [("all", [1, 2, 3, 4, 5, 6]), ((5, 6), [5, 6]), ((1, 2, 3, 4), [1, 2, 3, 4])]
)
def test_layers_of_the_vanilla_cnn_go_by_their_number(places: Any, layers: list[int]) -> None:
    network = VanillaCnn((2, 2, 4, 4, 6, 6), hidden=4, size=64)
    assert convert(network, Options(places=places)) == len(layers)
    assert replaced(network) == [f"maps.blocks.{i - 1}.1" for i in layers]


def test_what_replaces_nothing_says_what_to_set() -> None:
    with pytest.raises(InputError, match=r"sepbn\.places = \(9,\) names no batch norm.*take 'all'"):
        convert(made("resnet18"), Options(places=(9,)))
    with torch.device("meta"), pytest.raises(InputError, match="names no batch norm"):
        convert(made("vit_tiny_patch16_224"), Options())


def seen(network: nn.Module, x: Tensor) -> nn.Module:
    """The network with statistics of its own and norms that are not 1 and 0."""
    torch.manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    network.train()(x)
    return network.eval()


@pytest.mark.parametrize("options", [BN3, Options(), Options(places=(1, 2), attention="simple")])
@pytest.mark.parametrize(
    ("name", "more"),
    [
        (
            "resnext50_32x4d",
            {"channels": [16, 16, 16, 16], "base_width": 32, "cardinality": 2, "layers": [1, 1, 1, 2]},
        ),
        ("mobilenetv2_050", {"depth_multiplier": 0.3}),
    ],
)
def test_statistics_and_activations_are_kept(
    name: str, more: dict[str, Any], options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the noise between the sets the converted network says what it said before, whatever the attention."""
    monkeypatch.setattr(sepbn, "NOISE", 0.0)
    x = torch.randn(4, 3, 32, 32)
    torch.manual_seed(0)
    network = seen(timm.create_model(name, num_classes=3, **more), x)
    with torch.no_grad():
        before = network(x)
        convert(network, options)
        torch.testing.assert_close(network(x), before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))
        network.train()
        network(x)
    assert all(int(m.track.num_batches_tracked) == 2 for m in network.modules() if isinstance(m, SepBN))


def test_sets_start_around_the_pretrained_numbers() -> None:
    x = torch.randn(2, 3, 32, 32)
    network = seen(timm.create_model("resnet18", num_classes=3, **SMALL), x)
    norms = {name: m for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    kept = {name: {k: v.clone() for k, v in m.state_dict().items()} for name, m in norms.items()}
    convert(network, BN3)
    for name, layer in network.named_modules():
        if isinstance(layer, SepBN):
            for k in range(3):
                assert float((layer.gamma[k] - kept[name]["weight"]).detach().abs().max()) < 0.1
                assert float((layer.beta[k] - kept[name]["bias"]).detach().abs().max()) < 0.1
            for key in ("running_mean", "running_var", "num_batches_tracked"):
                assert torch.equal(getattr(layer.track, key), kept[name][key])


@pytest.mark.parametrize("attention", ["grouped", "simple", "brute_force"])
def test_backbones_of_both_models_take_it(attention: str) -> None:
    table = {"attention": attention}
    x = torch.randn(2, 3, 32, 32)
    hm = Heatmap(heatmap.Config.model_validate({"backbone_options": SMALL, "channels": 8, "sepbn": table}), 3)
    tf = Transformer(
        transformer.Config.model_validate(
            {"backbone_options": SMALL, "width": 8, "heads": 2, "layers": 1, "feed_forward": 16, "sepbn": table}
        ),
        3,
    )
    for network in (hm, tf):
        kinds = [type(m) for m in network.backbone.modules()]
        assert (BruteForce if attention == "brute_force" else SepBN) in kinds
        main, aux = network(x)
        (main.sum() + aux.sum()).backward()
        assert torch.isfinite(main).all()
    assert not any(isinstance(m, SepBN) for m in hm.blocks.modules())  # the backbone's alone


def test_without_the_table_nothing_changes() -> None:
    torch.manual_seed(3)
    plain = feature_maps("resnet18", SMALL, False)[0].state_dict()
    torch.manual_seed(3)
    again = Heatmap(heatmap.Config.model_validate({"backbone_options": SMALL, "channels": 8}), 3).backbone.state_dict()
    assert plain.keys() == again.keys()
    assert all(torch.equal(plain[name], again[name]) for name in plain)
    assert heatmap.Config.model_validate({"kind": "heatmap"}).sepbn is None
