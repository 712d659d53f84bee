"""Easy-hard augmentation: its loss against slow loops, and who learns from whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lmdeploy.errors import InputError
from tests.oracles import easy_hard as oracle
from tests.oracles import heatmaps
from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job
from training.augment import config, harder
from training.engine import checkpoint
from training.engine.batch import Batch
from training.engine.online import streams_of
from training.engine.trainer import Trainer
from training.methods import easy_hard, supervised
from training.models import transformer
from training.models.heatmap import Heatmap


def prepared(toy: Path, out: Path, **options: Any) -> tuple[easy_hard.Config, Batch, Trainer]:
    """Config, one batch of 4 labelled and 4 unlabelled samples, and the trainer."""
    wanted = tiny_recipe("easy_hard", **options)
    ready = job.prepare(tiny_request(toy, out, "easy_hard", recipe=wanted))
    assert ready.unlabelled is not None
    cfg = wanted.method_config()
    assert isinstance(cfg, easy_hard.Config)
    drawer = ready.trainer.drawer(streams_of(cfg.sigma, cfg.oversample, ready.labelled, ready.unlabelled))
    rows = torch.arange(8) + torch.tensor([0] * 4 + [8] * 4)
    return cfg, drawer.draw(rows, torch.Generator().manual_seed(2)), ready.trainer


class Told(nn.Module):
    """A member that answers with given maps, one after another, and keeps what it saw."""

    def __init__(self, *answers: torch.Tensor) -> None:
        super().__init__()
        self.answers, self.seen = list(answers), []

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen.append(x)
        return self.answers.pop(0), x


@pytest.mark.parametrize("variant", ["PoseCons", "PoseDual"])
def test_equals_the_slow_loops(variant: str, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg, batch, trainer = prepared(toy, tmp_path, variant=variant, w=0.7)
    members = 1 if variant == "PoseCons" else 2
    easy = [torch.rand(4, 68, 8, 8) for _ in range(members)]
    outs = [torch.rand(8, 68, 8, 8) for _ in range(members)]
    drawn = [harder.draw_matrices(4, 32, cfg.hard, torch.Generator().manual_seed(i)) for i in range(members)]
    queue = list(drawn)
    monkeypatch.setattr(harder, "draw_matrices", lambda *_: queue.pop(0))
    team = easy_hard.Team([Told(easy[i], outs[i]) for i in range(members)])  # type: ignore[misc]
    make = easy_hard.Harder(cfg.hard, "subpixel", 4)
    losses = easy_hard.easy_hard_step(cfg, make, trainer.settings.augment)(team, batch)
    l_u = l_s = 0.0
    for i in range(members):
        teacher = easy[1 - i] if members == 2 else easy[i]
        l_u += oracle.consistency(outs[i][4:].numpy(), teacher.numpy(), drawn[i].double().numpy(), 4)
        l_s += heatmaps.masked_mse(outs[i][:4].numpy(), batch.target[:4].numpy(), batch.visible[:4].numpy())
    assert losses["l_s"].item() == pytest.approx(l_s, rel=1e-5)
    assert losses["l_u"].item() == pytest.approx(l_u, rel=1e-4)
    assert losses["loss"].item() == pytest.approx(l_s + 0.7 * l_u, rel=1e-4)


def test_the_hard_view_is_the_easy_one_moved_and_partly_hidden() -> None:
    torch.manual_seed(0)
    easy = torch.rand(3, 3, 64, 64) + 1
    plain = harder.Config(p_rotate=0.0, scale=0.0)
    hard, target = easy_hard.Harder(plain, "subpixel", 4).of(easy, torch.rand(3, 68, 16, 16))
    hidden = (hard == 0).all(1, keepdim=True)
    assert hidden.flatten(1).any(1).all()
    torch.testing.assert_close(torch.where(hidden, 0.0, easy), hard, atol=1e-3, rtol=0)
    assert target.shape == (3, 68, 16, 16)


def test_no_gradient_flows_through_the_easy_map(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg, batch, trainer = prepared(toy, tmp_path)
    given: list[torch.Tensor] = []
    make = easy_hard.Harder(cfg.hard, "subpixel", 4)
    real = make.of

    def look(easy: torch.Tensor, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        given.append(maps)
        return real(easy, maps)

    monkeypatch.setattr(make, "of", look)
    network = trainer.new_network()
    assert isinstance(network, Heatmap)
    easy_hard.easy_hard_step(cfg, make, trainer.settings.augment)(easy_hard.Team([network]), batch)["loss"].backward()
    assert [maps.requires_grad for maps in given] == [False]
    assert network.main.weight.grad is not None


def test_each_network_of_posedual_learns_only_from_its_own_output(toy: Path, tmp_path: Path) -> None:
    cfg, batch, trainer = prepared(toy, tmp_path, variant="PoseDual")
    first = trainer.new_network()
    assert isinstance(first, Heatmap)
    second = easy_hard.second_of(trainer, first)
    assert not torch.equal(first.main.weight, second.main.weight)
    for weight in second.parameters():
        weight.requires_grad_(requires_grad=False)
    step = easy_hard.easy_hard_step(cfg, easy_hard.Harder(cfg.hard, "subpixel", 4), trainer.settings.augment)
    step(easy_hard.Team([first, second]), batch)["loss"].backward()
    assert first.main.weight.grad is not None
    assert all(weight.grad is None for weight in second.parameters())


def test_weight_zero_is_supervised_training(toy: Path, tmp_path: Path) -> None:
    for variant in ("PoseCons", "PoseDual"):
        cfg, batch, trainer = prepared(toy, tmp_path / variant, w=0.0, variant=variant)
        first = trainer.new_network().eval()  # frozen batch norm: the streams do not meet in its statistics
        assert isinstance(first, Heatmap)
        members = [first] if variant == "PoseCons" else [first, easy_hard.second_of(trainer, first).eval()]
        step = easy_hard.easy_hard_step(cfg, easy_hard.Harder(cfg.hard, "subpixel", 4), trainer.settings.augment)
        found = step(easy_hard.Team(members).eval(), batch)["loss"]
        known = easy_hard.split(batch, 1)[0]
        torch.testing.assert_close(found, sum(supervised.step(one, known)["loss"] for one in members))


def test_the_easy_view_is_flip_rotation_and_scale() -> None:
    easy = easy_hard.easy_of(easy_hard.Config(), config.Config(p_flip=0.4))
    assert (easy.p_flip, easy.p_rotate, easy.rotate, easy.p_scale, easy.scale) == (0.4, 1.0, 30.0, 1.0, 0.25)
    off = easy.model_dump(include={"p_translate", "p_occlude", "p_blur", "p_grey", "noise", "brightness", "contrast"})
    assert not any(off.values())
    assert (easy.saturation, easy.operations, easy.p_cutout) == (0, 0, 0)


def test_posedual_is_seeded_and_its_result_is_one_plain_network(toy: Path, tmp_path: Path) -> None:
    def run(name: str) -> dict[str, torch.Tensor]:
        asked = tiny_request(toy, tmp_path / name, "easy_hard", recipe=tiny_recipe("easy_hard", variant="PoseDual"))
        return checkpoint.read(job.run(asked, lambda _: None)).weights

    first, again = run("a"), run("b")
    assert first.keys() == Heatmap(tiny_recipe("easy_hard").network, 68).state_dict().keys()
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    saved = checkpoint.read(tmp_path / "a" / "stages" / "easy_hard.safetensors").weights
    assert torch.equal(saved["members.0.main.weight"], first["main.weight"])
    assert not torch.equal(saved["members.1.main.weight"], first["main.weight"])


def test_a_coordinate_network_is_refused_with_what_to_do(toy: Path, tmp_path: Path) -> None:
    tiny = transformer.Config(width=16, heads=2, layers=1, feed_forward=16)
    wanted = tiny_recipe("easy_hard").model_copy(update={"network": tiny, "codec": "coords"})
    with pytest.raises(InputError, match=r"network\.kind = 'heatmap'"):
        job.run(tiny_request(toy, tmp_path, "easy_hard", recipe=wanted), lambda _: None)
