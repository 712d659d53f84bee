"""DST: which head learns from what, the worst case against slow loops, and the reversed gradient."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lmdeploy.errors import InputError
from tests.oracles import dst as oracle
from tests.oracles import heatmaps
from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job
from training.augment import config
from training.engine import checkpoint
from training.engine.batch import Batch, Drawer
from training.engine.online import OnlineLabels, streams_of
from training.engine.trainer import Trainer
from training.losses import worst_case
from training.methods import dst
from training.models import transformer
from training.models.debiased import Debiased
from training.models.heatmap import Heatmap


def prepared(toy: Path, out: Path, **options: Any) -> tuple[dst.Config, Batch, Drawer, Trainer]:
    """Config, one batch of 4 labelled and 4 unlabelled samples, its drawer and the trainer."""
    wanted = tiny_recipe("dst", **options)
    ready = job.prepare(tiny_request(toy, out, "dst", recipe=wanted))
    assert ready.unlabelled is not None
    cfg = wanted.method_config()
    assert isinstance(cfg, dst.Config)
    drawer = ready.trainer.drawer(streams_of(cfg.sigma, cfg.oversample, ready.labelled, ready.unlabelled))
    rows = torch.arange(8) + torch.tensor([0] * 4 + [8] * 4)
    return cfg, drawer.draw(rows, torch.Generator().manual_seed(2)), drawer, ready.trainer


def step_of(cfg: dst.Config, drawer: Drawer) -> Any:
    return dst.dst_step(cfg, OnlineLabels(drawer, "subpixel"), drawer.cfg)


def module_of(trainer: Trainer) -> Debiased:
    network = trainer.new_network()
    assert isinstance(network, Heatmap)
    nn.init.normal_(network.main.weight, std=0.1)  # type: ignore[arg-type]  # maps that differ from cell to cell
    return Debiased(network, 68)


class Canned(nn.Module):
    """Gives the maps it was told, call after call."""

    def __init__(self, *answers: tuple[torch.Tensor, ...]) -> None:
        super().__init__()
        self.answers, self.coefficients = list(answers), []

    def forward(self, x: torch.Tensor, coefficient: float = 0.0) -> tuple[torch.Tensor, ...]:
        self.coefficients.append(coefficient)
        assert len(self.answers[0][0]) == len(x)
        return self.answers.pop(0)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_worst_case_equals_the_slow_loops(temperature: float) -> None:
    cfg = dst.Config(eta_prime=1.7, temperature=temperature)
    maps = [torch.randn(3, 5, 4, 4, generator=torch.Generator().manual_seed(i)) * 3 for i in range(4)]
    visible = torch.rand(3, 5, generator=torch.Generator().manual_seed(9)) < 0.6
    found = dst.worst_loss(cfg, (maps[0], maps[1], visible), (maps[2], maps[3]))
    values = [value.double().numpy() for value in maps]
    wanted = oracle.worst_loss((values[0], values[1], visible.numpy()), (values[2], values[3]), 1.7, temperature)
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_the_worst_case_stays_finite_when_the_head_is_sure_and_wrong_pushes_it_away() -> None:
    sure = torch.zeros(1, 1, 8, 8)
    sure[0, 0, 3, 3] = 80.0
    sure.requires_grad_()
    cell = worst_case.cell_of(sure)
    value = worst_case.wrong(sure, cell, 1.0)
    value.sum().backward()
    assert value.item() == pytest.approx((80 - np.log(63)) / 64, rel=1e-4)
    assert sure.grad is not None
    assert sure.grad[0, 0, 3, 3].item() == pytest.approx(1 / 64, rel=1e-4)


def test_at_the_start_it_is_of_the_order_of_an_empty_map_s_squared_error() -> None:
    flat, cell = torch.zeros(1, 1, 32, 32), torch.tensor([[5]])
    assert worst_case.right(flat, cell, 1.0).item() == pytest.approx(np.log(1024) / 1024, rel=1e-4)
    target = heatmaps.subpixel_map(63.5, 63.5, 1.5, 32, 4)
    assert np.log(1024) / 1024 == pytest.approx(float((target**2).mean()), rel=0.05)  # 0.0068 and 0.0069


def test_every_loss_of_a_step_equals_its_oracle(toy: Path, tmp_path: Path) -> None:
    cfg, batch, drawer, _ = prepared(toy, tmp_path, tau=0.5, eta=0.3, lambda_u=0.7, lambda_strong=0.2)
    batch = dataclasses.replace(batch, step=1)
    views: list[Batch] = []

    def view(strengths: config.Config) -> Batch:
        views.append(batch.view(strengths))
        return views[-1]

    draw = torch.Generator().manual_seed(1)
    weak = torch.rand(4, 68, 8, 8, generator=draw) * torch.tensor([0.3, 0.9, 0.4, 0.8]).view(-1, 1, 1, 1)
    outs = tuple(torch.rand(16, 68, 8, 8, generator=draw) for _ in range(3))  # 4 each of known, its strong, u's
    network = Canned((weak, weak, weak), outs)
    losses = step_of(cfg, drawer)(network, dataclasses.replace(batch, view=view))
    labels = OnlineLabels(drawer, "subpixel")
    found = labels.of(Canned((weak, weak, weak)), dsplit(views[0]))
    target = labels.target(found.points, dsplit(views[0]), dsplit(views[1]), 1.5).numpy()  # oracle: test_fixmatch
    main, pseudo, worst = (out.numpy() for out in outs)
    seen, kept = batch.visible[:4].numpy(), np.repeat([[False], [True], [False], [True]], 68, axis=1)
    wanted = {
        "l_s": heatmaps.masked_mse(main[:4], batch.target[:4].numpy(), seen),
        "l_strong": heatmaps.masked_mse(main[4:8], views[1].target[:4].numpy(), seen),
        "l_u": heatmaps.masked_mse(pseudo[8:12], target, kept),
        "l_worst": oracle.worst_loss((worst[:4], main[:4], seen), (worst[12:], weak.numpy()), 2.0, 1.0),
    }
    for name, value in wanted.items():
        assert losses[name].item() == pytest.approx(value, rel=1e-4), name
    total = wanted["l_s"] + 0.2 * wanted["l_strong"] + 0.7 * wanted["l_u"] + 0.3 * wanted["l_worst"]
    assert losses["loss"].item() == pytest.approx(total, rel=1e-4)
    assert network.coefficients == [0.0, pytest.approx(0.05)]  # half of two steps


def dsplit(batch: Batch) -> Batch:
    """The unlabelled rows."""
    return dst.split(batch, 1)[1]


def test_the_reversal_passes_features_on_and_flips_their_gradient() -> None:
    feature = torch.randn(2, 3, 4, 4, requires_grad=True)
    weight = torch.randn(2, 3, 4, 4)
    out = worst_case.reverse(feature, 0.3)
    assert torch.equal(out, feature)
    (out * weight).sum().backward()
    torch.testing.assert_close(feature.grad, -0.3 * weight)


def gradients(module: nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    module.zero_grad(set_to_none=True)
    loss.backward()
    return {name: weight.grad.clone() for name, weight in module.named_parameters() if weight.grad is not None}


def test_the_trunk_gets_the_worst_head_s_gradient_with_the_other_sign(toy: Path, tmp_path: Path) -> None:
    cfg, batch, _, trainer = prepared(toy, tmp_path)
    module = module_of(trainer).eval()
    loss = [
        dst.worst_loss(cfg, (worst[:4], main[:4], batch.visible[:4]), (worst[4:], main[4:]))
        for main, _, worst in (module(batch.x, 0.1), module(batch.x, -1.0))  # -1: as if there were no reversal
    ]
    reversed_, plain = (gradients(module, value) for value in loss)
    assert any(name.startswith("network.") for name in plain)
    for name, value in plain.items():
        wanted = value if name.startswith("worst.") else -0.1 * value
        torch.testing.assert_close(reversed_[name], wanted, rtol=1e-3, atol=1e-7)
    assert not any(name.startswith(("network.main", "pseudo")) for name in plain)


def test_the_pseudo_loss_gives_the_main_head_no_gradient_and_the_trunk_some(toy: Path, tmp_path: Path) -> None:
    cfg, batch, drawer, trainer = prepared(toy, tmp_path, tau=0.0)
    module = module_of(trainer)
    found = gradients(module, step_of(cfg, drawer)(module, batch)["l_u"])
    assert not any(name.startswith(("network.main", "network.aux", "worst")) for name in found)
    assert found["pseudo.2.weight"].abs().sum() > 0
    assert found["network.blocks.0.0.weight"].abs().sum() > 0


def test_true_labels_give_the_pseudo_head_no_gradient(toy: Path, tmp_path: Path) -> None:
    cfg, batch, drawer, trainer = prepared(toy, tmp_path, tau=1.1)
    module = module_of(trainer)
    losses = step_of(cfg, drawer)(module, batch)
    assert losses["kept"] == 0
    found = gradients(module, losses["loss"])
    assert not any(found[name].any() for name in found if name.startswith("pseudo."))
    assert found["network.main.weight"].any()


def test_the_reversal_grows_over_a_thousand_steps() -> None:
    found = [dst.coefficient_of(dst.Config(), step) for step in (0, 500, 1000, 5000)]
    assert found == pytest.approx([0.0, 0.05, 0.1, 0.1])


def test_the_result_is_the_main_head_alone(toy: Path, tmp_path: Path) -> None:
    done = job.run(tiny_request(toy, tmp_path, "dst"), lambda _: None)
    kept = checkpoint.read(done).weights
    assert kept.keys() == Heatmap(tiny_recipe("dst").network, 68).state_dict().keys()
    saved = checkpoint.read(tmp_path / "stages" / "dst.safetensors").weights
    assert any(name.startswith("worst.") for name in saved)
    network = Heatmap(tiny_recipe("dst").network, 68).eval()
    network.load_state_dict(kept)
    module = Debiased(network, 68).eval()
    x = torch.randn(2, 3, 32, 32)
    before = network.predict(x)
    for head in (module.pseudo, module.worst, network.aux):
        for weight in head.parameters():
            nn.init.constant_(weight, 7.0)
    assert torch.equal(network.predict(x), before)


def test_a_coordinate_network_is_refused_with_what_to_do(toy: Path, tmp_path: Path) -> None:
    tiny = transformer.Config(width=16, heads=2, layers=1, feed_forward=16)
    wanted = tiny_recipe("dst").model_copy(update={"network": tiny, "codec": "coords"})
    with pytest.raises(InputError, match=r"network\.kind = 'heatmap'"):
        job.run(tiny_request(toy, tmp_path, "dst", recipe=wanted), lambda _: None)
