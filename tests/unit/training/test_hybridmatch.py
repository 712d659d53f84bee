"""HybridMatch: the loss, its confidence weights, the curriculum from 2-D to 1-D, labels carried between views."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lmdeploy.errors import InputError
from tests.oracles import hybrid as oracle
from tests.unit.training.conftest import made_batch, tiny_network, tiny_request
from training import job
from training.augment import config
from training.codec import profile, subpixel
from training.engine.batch import Batch
from training.engine.train_set import Part
from training.methods import hybridmatch
from training.models.hybrid import Hybrid, Raw
from training.models.raw import RawOutputs

CFG = hybridmatch.Config(sigma_1d=3.0, b=0.3, w=(0.2, 1.0), lambda_u=0.7)
FLIP = torch.arange(4)
PLAIN = config.Config()


def made_network() -> Hybrid:
    """A random tiny network whose outputs are not near zero; eval: batch norm is frozen."""
    network = tiny_network({"kind": "hybrid", "channels": 8, "profile_channels": 8, "reach": 3})
    made = Hybrid(network, 4)  # type: ignore[arg-type]  # a hybrid config
    for head in (made.maps, made.along_x[-1], made.along_y[-1]):
        nn.init.normal_(head.weight)  # type: ignore[arg-type]
        nn.init.constant_(head.bias, 0.5)  # type: ignore[arg-type]
    return made.eval()


def at(progress: float, count: int = 2) -> Batch:
    """Labelled and unlabelled rows at some place of the stage; one label is missing."""
    torch.manual_seed(1)
    batch = made_batch([False] * count + [True] * count)
    batch.visible[0, 1] = False
    batch.visible[count:] = False  # as unlabelled images are

    def again(_: object) -> Batch:
        return placed

    placed = dataclasses.replace(batch, progress=progress, view=again)
    return placed


def run(network: Hybrid, batch: Batch, cfg: hybridmatch.Config = CFG) -> dict[str, Tensor]:
    return hybridmatch.hybrid_step(cfg, 3, FLIP, PLAIN)(RawOutputs(network).eval(), batch)


@pytest.mark.parametrize(("progress", "w"), [(0.0, 0.2), (0.5, 0.6), (1.0, 1.0)])
def test_the_step_s_losses_equal_the_slow_loop(progress: float, w: float) -> None:
    network, batch = made_network(), at(progress)
    with torch.no_grad():
        found = run(network, batch)
        maps, profiles = network.raw(batch.x)
    q_2, (q_1, peaks) = subpixel.decode(maps, 4), profile.decode(profiles, 3)
    q = torch.cat([batch.points[:2], (1 - w) * q_2[2:] + w * q_1[2:]]).numpy()
    c_2, c_1 = maps.amax(dim=(-2, -1)).clamp(0, 1).numpy(), peaks.amin(dim=-1).clamp(0, 1).numpy()
    e_2, e_1 = np.zeros((4, 4)), np.zeros((4, 4))
    for b in range(4):
        for k in range(4):
            e_2[b, k] = oracle.error_2d(maps[b, k].numpy(), q[b, k], CFG.sigma, 4)
            e_1[b, k] = oracle.error_1d(profiles[b, k].numpy(), q[b, k], CFG.sigma_1d)
    l_s = oracle.mean_of_known((e_2 + 0.3 * e_1)[:2], batch.visible[:2].numpy())
    terms = (1 - w) * c_2 * e_2 + w * 0.3 * c_1 * e_1
    l_u = oracle.mean_of_known(terms[2:], np.ones((2, 4), bool))
    assert float(found["l_s"]) == pytest.approx(l_s, rel=1e-4)
    assert float(found["l_u"]) == pytest.approx(l_u, rel=1e-4)
    assert float(found["loss"]) == pytest.approx(l_s + 0.7 * l_u, rel=1e-4)
    assert float(found["confidence"]) == pytest.approx(float(((1 - w) * c_2 + w * c_1)[2:].mean()), rel=1e-4)


def test_a_pseudo_label_counts_as_much_as_its_confidence(monkeypatch: pytest.MonkeyPatch) -> None:
    network, batch = made_network(), at(0.5)
    real = hybridmatch.read
    losses = []
    for confidence in (0.0, 0.01, 0.5, 1.0):  # however small: there is no threshold

        def read(raw: Raw, reach: int, w: float, c: float = confidence) -> tuple[Tensor, Tensor, Tensor]:
            q, c_2, c_1 = real(raw, reach, w)
            return q, torch.full_like(c_2, c), torch.full_like(c_1, c)

        monkeypatch.setattr(hybridmatch, "read", read)
        losses.append(float(run(network, batch)["l_u"].detach()))
    assert losses[3] > 0
    assert losses == pytest.approx([c * losses[3] for c in (0.0, 0.01, 0.5, 1.0)], rel=1e-5)


@pytest.mark.parametrize(("progress", "silent"), [(0.0, ["along_x", "along_y"]), (1.0, ["maps"])])
def test_the_curriculum_begins_with_2d_and_ends_with_1d(progress: float, silent: list[str]) -> None:
    network = made_network()
    run(network, at(progress), CFG.model_copy(update={"w": (0.0, 1.0)}))["l_u"].backward()
    found = [
        name
        for name in ("maps", "along_x", "along_y")
        if not any(w.grad is not None and bool(w.grad.any()) for w in getattr(network, name).parameters())
    ]
    assert found == silent


def test_weight_zero_is_the_labelled_loss_alone() -> None:
    network, batch = made_network(), at(0.5)
    run(network, batch, CFG.model_copy(update={"lambda_u": 0.0}))["loss"].backward()
    found = {name: weight.grad.clone() for name, weight in network.named_parameters() if weight.grad is not None}
    network.zero_grad()
    e_2, e_1 = hybridmatch.errors(CFG, network.raw(batch.x[:2]), batch.points[:2])
    known = batch.visible[:2]
    ((e_2 + 0.3 * e_1)[known].mean()).backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None
        torch.testing.assert_close(found[name], weight.grad, rtol=1e-4, atol=1e-5 * float(weight.grad.abs().max()))


def test_no_gradient_flows_through_the_pseudo_labels() -> None:
    network, batch = made_network(), at(0.5)
    run(network, batch)["l_u"].backward()
    found = {name: weight.grad.clone() for name, weight in network.named_parameters() if weight.grad is not None}
    network.zero_grad()
    with torch.no_grad():
        q, c_2, c_1 = hybridmatch.read(network.raw(batch.x[2:]), 3, 0.6)
    e_2, e_1 = hybridmatch.errors(CFG, network.raw(batch.x[2:]), q)
    (0.4 * c_2 * e_2 + 0.6 * 0.3 * c_1 * e_1).mean().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None
        torch.testing.assert_close(found[name], weight.grad, rtol=1e-4, atol=1e-5 * float(weight.grad.abs().max()))


def test_labels_of_the_weak_view_land_on_the_strong_one_with_their_confidence(toy: Path, tmp_path: Path) -> None:
    """A network that sees every point but one of each face: its blind spot must not be taught in any view."""
    ready = job.prepare(tiny_request(toy, tmp_path, "hybridmatch"))
    drawer = ready.trainer.drawer([Part(ready.labelled), Part(ready.labelled, pseudo=True)])
    rows = torch.cat([torch.arange(12), 12 + torch.arange(12)])
    strong = drawer.draw(rows, torch.Generator().manual_seed(3))
    weak = strong.view(config.Config(p_flip=0.5, translate=0.05, p_scale=0.0, p_rotate=0.0))
    batch = dataclasses.replace(strong, view=lambda _: weak, progress=0.5)
    assert (weak.flip[12:] != strong.flip[12:]).any()

    class Seer(nn.Module):
        def forward(self, x: Tensor) -> Raw:
            seen = weak if len(x) == 12 else strong
            rows = slice(12, None) if len(x) == 12 else slice(None)
            points = seen.points[rows]
            maps = subpixel.encode(points, torch.full((len(points),), CFG.sigma), 8, 4)
            profiles = profile.encode(points, CFG.sigma_1d, 32)
            if seen is weak:
                blind = torch.where(weak.flip[rows], 16, 0)  # the jaw's first point, by its name in this view
                maps[torch.arange(12), blind] = 0.0
                profiles[torch.arange(12), blind] = 0.0
            return Raw(maps, profiles)

    found = hybridmatch.hybrid_step(CFG, 3, drawer.flip_index, PLAIN)(Seer(), batch)
    assert float(found["l_s"]) < 1e-6
    assert float(found["l_u"]) < 1e-4
    assert 0.8 < float(found["confidence"]) < 67 / 68 + 0.01


def test_another_network_is_refused(toy: Path, tmp_path: Path) -> None:
    champion = job.run(tiny_request(toy, tmp_path / "hm", "supervised"), lambda _: None)
    with pytest.raises(InputError, match="hybridmatch trains no heatmap network; set"):
        job.prepare(tiny_request(toy, tmp_path / "run", "hybridmatch", init=champion))
