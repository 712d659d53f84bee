"""Seq-MT, Comm-MT, Heatmap-MT and RCN: shapes, which loss reaches which weights, and which images count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lmdeploy.errors import InputError
from tests.unit.training.conftest import made_batch, tiny_recipe, tiny_request
from training import job
from training.codec import CODECS
from training.codec.soft_points import soft_points
from training.data.attributes import Column
from training.engine.batch import Batch
from training.losses.elt import Reach
from training.methods import elt, seq_mt
from training.models import KINDS, build, count_parameters
from training.models.end_to_end import normalise
from training.models.grey import contrast, grey
from training.models.multi_task import MultiTask, with_attributes

COLUMNS = (Column("figure", 5), Column("yaw", 0))
TINY: dict[str, dict[str, Any]] = {
    "seq_mt": {"side": 16, "channels": 4},
    "comm_mt": {"side": 16, "channels": 4, "width": 12},
    "heatmap_mt": {"side": 16, "channels": 4},
    "rcn": {"side": 16, "channels": 4},
}


def module_of(kind: str, columns: tuple[Column, ...] = COLUMNS) -> MultiTask:
    torch.manual_seed(3)
    cfg = KINDS[kind].config.model_validate(TINY[kind])
    return with_attributes(build(cfg, 4), columns, seed=1)


def batch_of(pseudo: list[bool]) -> Batch:
    """Random views with attributes; no landmark of an unlabelled image is visible."""
    torch.manual_seed(7)
    batch = made_batch(pseudo)
    visible = ~batch.pseudo.unsqueeze(1).expand(-1, 4)
    told = torch.stack([torch.arange(len(pseudo)) % 5, torch.randn(len(pseudo))], dim=1)
    return replace(batch, visible=visible, attributes=told)


def losses_of(module: MultiTask, batch: Batch, **options: Any) -> dict[str, Tensor]:
    kind = module.network.cfg.kind
    codec, stride = module.network.cfg.codecs[0], module.network.cfg.unit(32)
    cfg = seq_mt.Config.model_validate(options)
    step = seq_mt.multi_task_step(
        cfg, seq_mt.landmark_of(codec, stride), lambda main: soft_points(main, codec, stride)
    )
    torch.manual_seed(11)
    assert kind in TINY
    return step(module, batch)


def number(value: Tensor) -> float:
    return float(value.detach())


def slope(weight: Tensor) -> float:
    return 0.0 if weight.grad is None else float(weight.grad.abs().sum())


@pytest.mark.parametrize("kind", TINY)
def test_outputs_have_their_shapes(kind: str) -> None:
    main, told = module_of(kind)(torch.randn(3, 3, 32, 32))
    assert main.shape == ((3, 4, 2) if kind == "comm_mt" else (3, 4, 16, 16))
    points = CODECS[module_of(kind).network.cfg.codecs[0]].decode(main, module_of(kind).network.cfg.unit(32))
    assert points.shape == (3, 4, 2)
    assert [out.shape for out in told] == [(3, 5), (3, 1)]


@pytest.mark.parametrize("kind", TINY)
def test_the_attribute_loss_alone_trains_the_first_convolution(kind: str) -> None:
    module = module_of(kind)
    losses_of(module, batch_of([False, True, True]), lambda_l=0.0, alpha=0.0)["loss"].backward()
    first = next(module.network.parameters())
    assert slope(first) > 0


@pytest.mark.parametrize("kind", TINY)
def test_the_landmark_loss_leaves_the_attribute_branches_alone(kind: str) -> None:
    module = module_of(kind)
    losses_of(module, batch_of([False, True, True]), attribute=0.0)["loss"].backward()
    assert module.head is not None
    assert all(slope(weight) == 0 for weight in module.head.parameters())
    assert slope(next(module.network.parameters())) > 0


def test_attributes_of_seq_mt_depend_on_the_landmarks_alone() -> None:
    module = module_of("seq_mt")
    assert module.head is not None
    seen = torch.rand(2, 4, 2)
    assert [out.shape for out in module.head(seen)] == [(2, 5), (2, 1)]
    _, told = module(torch.randn(2, 3, 32, 32))
    maps, points = module.network(torch.randn(1, 3, 32, 32))
    torch.testing.assert_close(points, (CODECS["softargmax"].decode(maps, 1) + 0.5) / 16 - 0.5)
    assert len(told) == 2


def test_without_a_labelled_image_the_landmark_loss_is_0() -> None:
    losses = losses_of(module_of("seq_mt"), batch_of([True, True]), alpha=0.0, attribute=0.0)
    assert number(losses["l_l"]) == 0.0
    assert number(losses["loss"]) == 0.0


def test_labels_of_unlabelled_images_never_count() -> None:
    module, batch = module_of("seq_mt"), batch_of([False, True])
    seen = replace(batch, visible=torch.ones_like(batch.visible))
    moved = replace(seen, points=seen.points + torch.tensor([0.0, 9.0]).view(2, 1, 1))
    assert number(losses_of(module, seen)["l_l"]) == number(losses_of(module, moved)["l_l"])


def test_elt_is_asked_of_the_images_that_it_should_be() -> None:
    module, batch = module_of("seq_mt"), batch_of([False, False, True])
    assert seq_mt.elt_rows(batch.pseudo, "unlabelled").tolist() == [2]
    assert seq_mt.elt_rows(batch.pseudo, "all").tolist() == [0, 1, 2]
    other = replace(batch, x=torch.cat([batch.x[:2].flip(-1), batch.x[2:]]))
    assert number(losses_of(module, batch)["l_elt"]) == pytest.approx(
        number(losses_of(module, other)["l_elt"]), rel=1e-5
    )
    every = [number(losses_of(module, each, elt_on="all")["l_elt"]) for each in (batch, other)]
    assert every[0] != pytest.approx(every[1], rel=1e-5)
    assert number(losses_of(module, batch_of([False, False]))["l_elt"]) == 0.0


def test_the_loss_is_eq_2() -> None:
    module, batch = module_of("seq_mt"), batch_of([False, True, True])
    losses = losses_of(module, batch, lambda_l=2.0, alpha=0.5, attribute=3.0)
    points = CODECS["softargmax"].decode(module(batch.x)[0], 2)
    l_l = (points[0] - batch.points[0]).square().sum(-1).mean()
    torch.testing.assert_close(losses["l_l"], l_l)
    torch.testing.assert_close(losses["loss"], 2 * l_l + 0.5 * losses["l_elt"] + 3 * losses["l_a"])


def test_grey_is_a_fixed_affine_of_the_input() -> None:
    colours = torch.tensor([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 0, 255]], dtype=torch.float32)
    x = normalise(colours.view(4, 3, 1, 1).expand(4, 3, 8, 8))
    wanted = torch.tensor([0.0, 1.0, 0.299, 0.114]).view(4, 1, 1, 1).expand(4, 1, 4, 4)
    torch.testing.assert_close(grey(x, 4), wanted, rtol=0, atol=1e-5)


def test_contrast_forgets_brightness_and_contrast_but_keeps_an_empty_image_empty() -> None:
    image = torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(contrast(0.5 * image + 0.3), contrast(image), rtol=1e-3, atol=1e-3)
    assert float(contrast(torch.full((1, 1, 24, 24), 0.7)).abs().max()) < 1e-4


def test_rcn_has_the_layers_of_the_release() -> None:
    """Weights counted by hand from the specification's list: 64 channels, K = 68."""
    down = 1 * 9 * 64 + 64 + 4 * (64 * 9 * 64 + 64)
    five, one = 128 * 25 * 64 + 64, 64 * 64 + 64
    up = (64 * 25 * 64 + 64 + one) + five + (five + one) + (five + one) + (five + 2 * one)
    cfg = KINDS["rcn"].config.model_validate({})
    assert count_parameters(build(cfg, 68)) == down + up + 64 * 68 + 68


@pytest.mark.parametrize("scales", [6, 7])
def test_rcn_with_a_coarser_map(scales: int) -> None:
    cfg = KINDS["rcn"].config.model_validate({"side": 80, "channels": 2, "scales": scales})
    assert build(cfg, 3)(torch.randn(1, 3, 80, 80))[0].shape == (1, 3, 80, 80)


def test_a_crop_that_is_no_multiple_of_the_network_s_side_is_refused() -> None:
    with pytest.raises(InputError, match="multiple"):
        KINDS["seq_mt"].config.model_validate({}).check(64)


def test_a_network_without_branches_says_so(toy: Path) -> None:
    with pytest.raises(InputError, match="attribute = 0"):
        with_attributes(build(tiny_recipe("supervised").network, 4), COLUMNS, 0)


@pytest.mark.parametrize("variant", ["labelled_only", "everything"])
def test_a_run_with_attributes_learns_them_and_keeps_the_network_alone(
    variant: str, toy: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("images", "landmarks.csv", "manifest.csv"):
        (data / name).symlink_to(toy / "labelled" / name)
    rows = [f"toy_1_{i:04d}.png,{i % 2}" for i in range(12)]
    (data / "attributes.csv").write_text("\n".join(["image,side:2", *rows]) + "\n")
    options = {"attribute": 1.0, "labelled_only": variant == "labelled_only"}
    request = replace(
        tiny_request(toy, tmp_path / "run", "seq_mt", recipe=tiny_recipe("seq_mt", **options)), data=data
    )
    file = job.run(request, lambda _: None)
    assert "l_a" in (tmp_path / "run" / "metrics.csv").read_text()
    assert "l_elt" in (tmp_path / "run" / "metrics.csv").read_text() or variant == "labelled_only"
    assert not any(name.startswith("head") for name in torch_names(file))


def torch_names(file: Path) -> list[str]:
    from training.engine import checkpoint

    return list(checkpoint.read(file).weights)


def test_elt_beside_another_method_s_step_adds_its_weight_times_the_term() -> None:
    module, batch = module_of("seq_mt", ()), batch_of([False, True, True])
    plain = {"loss": torch.tensor(2.0), "l_s": torch.tensor(2.0)}
    both = elt.with_elt(lambda network, seen: plain, 0.5, lambda main: CODECS["softargmax"].decode(main, 2))
    losses = both(module.network, batch)
    torch.testing.assert_close(losses["loss"], 2 + 0.5 * losses["l_elt"])
    assert number(losses["l_elt"]) > 0
    assert Reach() == Reach(rotate=20, translate=0.1, scale=0.1)
