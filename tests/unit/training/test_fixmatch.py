"""FixMatch: its loss against slow loops, its threshold, its teacher and its averaged weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lmdeploy.errors import InputError
from tests.oracles import fixmatch as oracle
from tests.oracles import heatmaps
from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job, recipe
from training.augment import config
from training.augment.strong import strong_of
from training.data.crops import Crops
from training.engine import checkpoint
from training.engine.batch import Batch, Drawer
from training.engine.online import OnlineLabels, streams_of
from training.engine.train_set import Part
from training.methods import fixmatch, supervised
from training.models import transformer


class Canned(nn.Module):
    """Gives the maps it was told, call after call."""

    def __init__(self, *answers: torch.Tensor) -> None:
        super().__init__()
        self.answers = list(answers)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = self.answers.pop(0)
        assert len(maps) == len(x)
        return maps, torch.zeros_like(maps)


def prepared(toy: Path, out: Path, **options: Any) -> tuple[fixmatch.Config, Drawer, Batch, job.Prepared]:
    """Config, drawer and one batch of 4 labelled and 4 mu unlabelled samples."""
    wanted = tiny_recipe("fixmatch", **options).model_copy(update={"codec": "stld"})
    ready = job.prepare(tiny_request(toy, out, "fixmatch", recipe=wanted))
    assert ready.unlabelled is not None
    cfg = wanted.method_config()
    assert isinstance(cfg, fixmatch.Config)
    drawer = ready.trainer.drawer(streams_of(cfg.sigma, cfg.oversample, ready.labelled, ready.unlabelled))
    rows = torch.arange(4 + 4 * cfg.mu) + torch.tensor([0] * 4 + [8] * 4 * cfg.mu)
    return cfg, drawer, drawer.draw(rows, torch.Generator().manual_seed(2)), ready


def step_of(cfg: fixmatch.Config, drawer: Drawer) -> Any:
    return fixmatch.fixmatch_step(cfg, OnlineLabels(drawer, "stld"), drawer.cfg)


@pytest.mark.parametrize("norm", ["per_source", "batch"])
@pytest.mark.parametrize("mu", [1, 2])
def test_equals_the_slow_loops(mu: int, norm: str, toy: Path, tmp_path: Path) -> None:
    cfg, drawer, batch, _ = prepared(toy, tmp_path, mu=mu, tau=0.5, norm=norm, lambda_u=0.7)
    views: list[Batch] = []

    def view(strengths: config.Config) -> Batch:
        views.append(batch.view(strengths))
        return views[-1]

    count = 4 * mu
    draw = torch.Generator().manual_seed(7)
    # peaks above and below tau, so that some images are kept and some are not
    inner = torch.rand(count, 68, 6, 6, generator=draw) * torch.linspace(0.3, 0.8, count).view(-1, 1, 1, 1)
    weak = nn.functional.pad(inner, (1, 1, 1, 1))  # decoding at the border is the codec's own test
    out = torch.rand(4 + count, 68, 8, 8, generator=draw)
    losses = step_of(cfg, drawer)(Canned(weak, out), dataclasses.replace(batch, view=view))

    twin = drawer.flip_index.tolist()
    matrices = [v.matrix[4:].double().numpy() for v in views]
    conf = [oracle.confidence(weak[b].numpy()) for b in range(count)]
    target = np.stack(
        [
            oracle.pseudo_maps(
                weak[b].numpy(), (matrices[0][b], matrices[1][b]),
                (bool(views[0].flip[4 + b]), bool(views[1].flip[4 + b])), twin, 4,
            )
            for b in range(count)
        ]
    )  # fmt: skip
    l_u = oracle.unlabelled_loss(out[4:].numpy(), target, conf, 0.5, norm == "batch")
    l_s = heatmaps.masked_mse(out[:4].numpy(), batch.target[:4].numpy(), batch.visible[:4].numpy())
    assert 0 < sum(c >= 0.5 for c in conf) < count
    assert losses["kept"].item() == pytest.approx(np.mean([c >= 0.5 for c in conf]))
    assert losses["l_u"].item() == pytest.approx(l_u, rel=1e-4)
    assert losses["loss"].item() == pytest.approx(l_s + 0.7 * l_u, rel=1e-4)


def gradients(network: nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    network.zero_grad(set_to_none=True)
    loss.backward()
    return {name: weight.grad.clone() for name, weight in network.named_parameters() if weight.grad is not None}


def test_a_threshold_above_one_gives_the_supervised_gradient(toy: Path, tmp_path: Path) -> None:
    cfg, drawer, batch, ready = prepared(toy, tmp_path, tau=1.01)
    network = ready.trainer.new_network().eval()  # frozen batch norm: the streams do not meet in its statistics
    found = step_of(cfg, drawer)(network, batch)
    labelled = {f: getattr(batch, f)[:4] for f in ("x", "target", "visible", "p")}
    wanted = gradients(network, supervised.step(network, dataclasses.replace(batch, **labelled))["loss"])
    mine = gradients(network, found["loss"])
    assert found["kept"] == 0
    assert found["l_u"] == 0
    for name, value in wanted.items():
        torch.testing.assert_close(mine[name], value)


def test_a_threshold_of_zero_keeps_every_image(toy: Path, tmp_path: Path) -> None:
    cfg, drawer, batch, ready = prepared(toy, tmp_path, tau=0.0)
    found = step_of(cfg, drawer)(ready.trainer.new_network(), batch)
    assert found["kept"] == 1
    assert found["l_u"] > 0


def test_the_pseudo_labels_pass_no_gradient(toy: Path, tmp_path: Path) -> None:
    cfg, drawer, batch, ready = prepared(toy, tmp_path, tau=0.0)
    network = ready.trainer.new_network().eval()
    weak = OnlineLabels(drawer, "stld").of(network, batch)
    assert not any(value.requires_grad for value in weak)
    with_labels = gradients(network, step_of(cfg, drawer)(network, batch)["loss"])
    assert all(torch.isfinite(value).all() for value in with_labels.values())


def test_weak_is_flip_and_translation_and_strong_has_everything_on_top() -> None:
    augment = recipe.load("fixmatch").augment
    strong = strong_of(augment, fixmatch.Config().strong)
    assert strong.model_copy(update={"operations": 0, "p_cutout": 0.0, "cutout": 0.5}) == augment
    assert (strong.operations, strong.p_cutout) == (2, 1.0)
    assert (augment.operations, augment.p_cutout) == (0, 0.0)


def test_every_batch_is_one_labelled_row_to_mu_unlabelled_ones(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[bool]] = []
    real = fixmatch.split

    def look(batch: Batch, mu: int) -> tuple[Batch, Batch]:
        seen.append(batch.pseudo.tolist())
        return real(batch, mu)

    monkeypatch.setattr(fixmatch, "split", look)
    job.run(tiny_request(toy, tmp_path, "fixmatch", recipe=tiny_recipe("fixmatch", epochs=1, mu=2)), lambda _: None)
    assert seen
    assert all(rows == [False] * 4 + [True] * 8 for rows in seen)


def test_a_coordinate_network_is_refused_with_what_to_do(toy: Path, tmp_path: Path) -> None:
    tiny = transformer.Config(width=16, heads=2, layers=1, feed_forward=16)
    wanted = tiny_recipe("fixmatch").model_copy(update={"network": tiny, "codec": "coords"})
    with pytest.raises(InputError, match=r"network\.kind = 'heatmap'"):
        job.run(tiny_request(toy, tmp_path, "fixmatch", recipe=wanted), lambda _: None)


def test_the_averaged_weights_are_the_result_and_survive_an_interruption(toy: Path, tmp_path: Path) -> None:
    def run(name: str, ema: float) -> dict[str, torch.Tensor]:
        asked = tiny_request(toy, tmp_path / name, "fixmatch", recipe=tiny_recipe("fixmatch", ema=ema))
        return checkpoint.read(job.run(asked, lambda _: None)).weights

    straight, plain = run("straight", 0.9), run("plain", 0.0)
    assert straight.keys() == plain.keys()
    assert not torch.equal(straight["main.weight"], plain["main.weight"])
    saved = checkpoint.read(tmp_path / "straight" / "stages" / "fixmatch.safetensors").weights
    # the averaging changes nothing of the training itself
    assert all(torch.equal(saved[f"network.{key}"], value) for key, value in plain.items())
    assert int(saved["updates"]) == 3  # two epochs of two batches; the last update comes after the stage
    assert all(torch.equal(value, straight[key]) for key, value in run("straight", 0.9).items())


def test_an_interrupted_average_goes_on_where_it_was(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    asked = [tiny_request(toy, tmp_path / n, "fixmatch", recipe=tiny_recipe("fixmatch", ema=0.9)) for n in ("a", "b")]
    straight = checkpoint.read(job.run(asked[0], lambda _: None)).weights
    monkeypatch.setattr("training.engine.metrics_log.SAVE_EVERY_S", -1.0)
    real = checkpoint.write

    def write_then_die(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", write_then_die)
        with pytest.raises(Killed):
            job.run(asked[1], lambda _: None)
    resumed = checkpoint.read(job.run(asked[1], lambda _: None)).weights
    assert all(torch.equal(value, resumed[key]) for key, value in straight.items())


def test_hidden_labels_of_unlabelled_images_are_never_used(toy: Path, tmp_path: Path) -> None:
    cfg, drawer, _, ready = prepared(toy, tmp_path, tau=0.0)
    assert ready.unlabelled is not None
    told = np.random.default_rng(0).uniform(0, 48, ready.unlabelled.points.shape).astype(np.float32)
    other: Crops = ready.unlabelled.with_points(told)
    parts: list[Part] = streams_of(cfg.sigma, cfg.oversample, ready.labelled, other)
    cheat = ready.trainer.drawer(parts)
    rows = torch.arange(8) + torch.tensor([0] * 4 + [8] * 4)
    network = ready.trainer.new_network().eval()
    losses = [
        step_of(cfg, d)(network, d.draw(rows, torch.Generator().manual_seed(2)))["loss"] for d in (drawer, cheat)
    ]
    assert torch.equal(*losses)
