"""TS3's students, their average and the teacher: published sizes, shapes, frames, export."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from export.to_onnx import to_onnx
from lmdeploy.bundle import ModelSpec
from lmdeploy.errors import InputError
from lmdeploy.geometry import CropRule
from lmdeploy.schema import load_schema
from training.codec import ts3
from training.models import build, count_parameters, cpm, hourglass
from training.models.base import Network
from training.models.end_to_end import EndToEnd
from training.models.patch_teacher import PatchTeacher
from training.models.students import Config, Students, average, resized

LIGHT_CPM = cpm.Config(width=4, stages=2, batch_norm=True)
LIGHT_HG = hourglass.Config(features=8, stacks=2, depth=1, residuals=1)
LIGHT = Config(students=(LIGHT_CPM, LIGHT_HG))


@pytest.fixture(scope="module", params=[False, True], ids=["K", "K + 1"])
def published(request: pytest.FixtureRequest) -> tuple[bool, dict[str, Network]]:
    """Both students as published, on no memory."""
    back = request.param
    with torch.device("meta"):
        return back, {
            "cpm": build(cpm.Config(background=back), 68),
            "hourglass": build(hourglass.Config(background=back), 68),
        }


def test_parameters_are_those_of_the_paper(published: tuple[bool, dict[str, Network]]) -> None:
    """16.70 M and 24.97 M (Section 4.2), to the weight those of the released models."""
    back, networks = published
    wanted = (16_716_687, 24_967_444) if back else (16_703_372, 24_965_648)
    assert tuple(count_parameters(network) for network in networks.values()) == wanted


def test_multiplications_are_those_of_the_paper(published: tuple[bool, dict[str, Network]]) -> None:
    """1720.98 M and 1600.85 M at 64 px and 68 maps (Section 4.2), biases counted."""
    back, networks = published
    if back:
        pytest.skip("the paper counts 68 maps")
    assert [round(_multiplications(network) / 1e6, 2) for network in networks.values()] == [1720.98, 1600.85]


def _multiplications(network: Network) -> int:
    total = 0

    def add(module: nn.Module, _: object, out: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv2d)
        total += out[0].numel() * (module.weight[0].numel() + (module.bias is not None))

    hooks = [m.register_forward_hook(add) for m in network.modules() if isinstance(m, nn.Conv2d)]
    network.eval()(torch.empty(1, 3, 64, 64, device="meta"))
    for hook in hooks:
        hook.remove()
    return total


def test_stages_and_map_sizes_are_those_of_the_paper(published: tuple[bool, dict[str, Network]]) -> None:
    back, networks = published
    x = torch.empty(2, 3, 64, 64, device="meta")
    for name, stages, side in (("cpm", 3, 8), ("hourglass", 4, 16)):
        raw = networks[name].raw(x)  # type: ignore[operator]  # both have it
        assert [tuple(maps.shape) for maps in raw] == [(2, 68 + back, side, side)] * stages
        main, aux = networks[name](x)
        assert main.shape == aux.shape == (2, 68, side, side)


def test_main_is_the_last_stage_without_the_background() -> None:
    for cfg in (LIGHT_CPM, LIGHT_HG):
        network = build(cfg.model_copy(update={"background": True}), 3).eval()
        x = torch.randn(2, 3, 32, 32)
        raw = network.raw(x)  # type: ignore[operator]  # both have it
        main, aux = network(x)
        torch.testing.assert_close(main, raw[-1][:, :3])
        torch.testing.assert_close(aux, raw[-2][:, :3])
        assert raw[-1].shape[1] == 4


def test_the_average_of_identical_maps_is_that_map() -> None:
    maps = torch.randn(2, 5, 16, 16)
    torch.testing.assert_close(average((maps, maps, maps)), maps)
    assert resized(maps, 16) is maps


def test_resized_maps_keep_their_points() -> None:
    """A coarse map and a fine one of one face must agree on where it is, else their average lies between."""
    points = torch.rand(4, 6, 2) * 40 + 12
    coarse = ts3.encode(points, torch.full((4,), 6.0 / 8), 8, 8)
    found = ts3.decode(resized(coarse, 16), 4)
    torch.testing.assert_close(found, points, atol=0.35, rtol=0)  # px; measured 0.31, of an 8 px cell


def test_the_ensemble_averages_its_students_last_stages() -> None:
    network = build(LIGHT, 5).eval()
    assert isinstance(network, Students)
    x = torch.randn(2, 3, 32, 32)
    main, everything = network(x)
    one, two = (network.student(a).predict(x) for a in (0, 1))
    wanted = (nn.functional.interpolate(one, size=(8, 8), mode="bilinear", align_corners=False) + two) / 2
    torch.testing.assert_close(main, wanted)
    torch.testing.assert_close(everything, main)
    assert network.cfg.unit(32) == 4


def test_sizes_that_do_not_fit_are_named() -> None:
    with pytest.raises(InputError, match="multiple of 64"):
        Config().check(96)
    with pytest.raises(InputError, match="multiple of 8"):
        cpm.Config().check(68)
    with pytest.raises(InputError, match="width = 64"):
        LIGHT_CPM.model_copy(update={"pretrained": True}).check(64)
    with pytest.raises(ValueError, match="background"):
        Config(students=(cpm.Config(background=True), hourglass.Config()))
    Config().check(64)


def test_vgg_weights_go_to_the_first_ten_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    given = nn.Sequential(*[nn.Conv2d(a, b, 3) for a, b in _vgg16()])
    monkeypatch.setattr(cpm, "feature_maps", lambda name, options, pretrained: (given, [], []))
    network = cpm.Cpm(cpm.Config(pretrained=True), 2)
    ours = [module for module in network.vgg if isinstance(module, nn.Conv2d)]
    assert len(ours) == 10
    for own, theirs in zip(ours, given, strict=False):
        torch.testing.assert_close(own.weight, theirs.weight)


def _vgg16() -> list[tuple[int, int]]:
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    return list(pairwise(widths))


def test_the_teacher_sees_64_px_in_six_by_six_patches_and_says_one_number() -> None:
    teacher = PatchTeacher(channels=69)
    assert teacher.patches(torch.zeros(2, 72, 64, 64)).shape == (2, 1, 6, 6)
    for size, cells in ((64, 16), (32, 8), (128, 32)):
        assert teacher(torch.randn(2, 3, size, size), torch.randn(2, 69, cells, cells)).shape == (2,)
    kinds = [type(layer) for layer in teacher.patches]
    assert [kinds.count(kind) for kind in (nn.Conv2d, nn.InstanceNorm2d, nn.LeakyReLU)] == [5, 3, 4]
    x, maps = torch.randn(1, 3, 64, 64), torch.rand(1, 69, 16, 16)
    wanted = teacher.patches(torch.cat([x, nn.functional.interpolate(maps, size=(64, 64), mode="bilinear")], 1)).mean()
    torch.testing.assert_close(teacher(x, maps), wanted.reshape(1))


def test_onnx_of_both_students_agrees_with_torch() -> None:
    torch.manual_seed(3)
    network = build(LIGHT, 5).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    schema = load_schema("face5")
    spec = ModelSpec(name="t", landmarks=schema, crop=CropRule(size=32), codec="ts3", method="ts3", recipe={})
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
    with torch.inference_mode():
        wanted = [out.numpy() for out in EndToEnd(network, "ts3")(torch.tensor(images))]
    session = onnxruntime.InferenceSession(to_onnx(network, spec), providers=["CPUExecutionProvider"])
    for found, value in zip(session.run(None, {"images": images}), wanted, strict=True):
        np.testing.assert_allclose(found, value, atol=1e-3, rtol=1e-4)  # px for the points
