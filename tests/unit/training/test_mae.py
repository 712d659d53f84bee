"""Masked pretraining and the rows of Table V (methods spec 4.8)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lmdeploy.errors import InputError
from tests.oracles import masked_patches as oracle
from tests.unit.training.conftest import made_batch, tiny_recipe, tiny_request
from training import job
from training.data.crops import Crops
from training.engine import checkpoint
from training.engine.fit import Schedule, Stage, Step
from training.engine.train_set import Part
from training.losses.masked_patches import masked_patch_loss, patches
from training.methods import mae
from training.models import Network, build
from training.models.masked_autoencoder import Config, MaskedAutoencoder, encoder_of

SMALL = Config(width=16, depth=1, heads=2)


def made() -> tuple[Network, MaskedAutoencoder]:
    """A tiny network, patches of 8 px, and the autoencoder around its backbone."""
    torch.manual_seed(1)
    network = build(tiny_recipe("mae").network, 4)
    return network, MaskedAutoencoder(network, SMALL)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_loss_equals_the_slow_loop(share: float) -> None:
    draw = torch.Generator().manual_seed(4)
    x, out = torch.randn(2, 3, 12, 12, generator=draw), torch.randn(2, 9, 48, generator=draw)
    hidden = torch.rand(2, 9, generator=draw) < share
    found = masked_patch_loss(out, x, hidden, 4).item()
    assert found == pytest.approx(oracle.loss(out.numpy(), x.numpy(), hidden.numpy(), 4), rel=1e-5)
    assert patches(x, 4)[1, 5].tolist() == pytest.approx(oracle.patch(x[1].numpy(), 5, 4))


def test_a_quarter_of_the_patches_is_seen_and_the_others_cannot_be() -> None:
    _, autoencoder = made()
    autoencoder.eval()
    order = torch.randperm(16).expand(2, -1)
    x = torch.randn(2, 3, 32, 32)
    out, hidden = autoencoder(x, order)
    assert hidden.sum(dim=1).tolist() == [12, 12]
    assert not hidden[0, order[0, :4]].any()
    spoilt = x.clone()
    for n in order[0, 4:].tolist():
        spoilt[..., n // 4 * 8 : n // 4 * 8 + 8, n % 4 * 8 : n % 4 * 8 + 8] = 7.0
    torch.testing.assert_close(autoencoder(spoilt, order)[0], out)
    assert not torch.allclose(autoencoder(x * 2, order)[0], out)


def test_without_masking_the_encoder_is_the_backbone() -> None:
    network, autoencoder = made()
    network.eval()
    autoencoder.eval()
    x = torch.randn(2, 3, 32, 32)
    tokens = autoencoder.encode(x, torch.arange(16).expand(2, -1))
    feature = network.backbone(x)[-1]
    torch.testing.assert_close(tokens.transpose(1, 2).unflatten(2, (4, 4)), feature)
    assert not encoder_of(network).patch_drop._forward_hooks  # detection never drops a patch


def test_only_hidden_patches_teach_and_the_heads_learn_nothing() -> None:
    network, autoencoder = made()
    out, hidden = autoencoder(torch.randn(2, 3, 32, 32), torch.randperm(16).expand(2, -1))
    out.retain_grad()
    masked_patch_loss(out, torch.randn(2, 3, 32, 32), hidden, 8).backward()
    assert out.grad is not None
    assert not out.grad[~hidden].any()
    assert out.grad[hidden].any(dim=-1).all()
    assert all(weight.grad is not None for weight in encoder_of(network).blocks.parameters())
    assert all(weight.grad is None for weight in network.main.parameters())


def test_masked_training_lowers_the_loss_on_what_it_saw() -> None:
    _, autoencoder = made()
    step = mae.masked_step(tiny_recipe("mae").augment, autoencoder.side)
    batch = made_batch([True] * 8)
    optimiser = torch.optim.AdamW(autoencoder.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = step(autoencoder, batch)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


def test_the_optimiser_is_the_published_one() -> None:
    assert mae.schedule_of(mae.Config()) == Schedule(
        batch=256, lr=1.5e-4, decay="cosine", warm_up=0.05, weight_decay=0.05, optimiser="adamw", betas=(0.9, 0.95)
    )
    assert mae.schedule_of(mae.Config(mae_batch=64)).lr == pytest.approx(1.5e-4 / 4)
    assert mae.Config().mask == Config().mask == 0.75


def stages_of(toy: Path, out: Path, row: str) -> dict[str, tuple[list[Part], Network | nn.Module]]:
    """What each stage of a row of the table trains, and on what, when nothing is trained."""
    ready = job.prepare(tiny_request(toy, out, "mae"))
    seen: dict[str, tuple[list[Part], Network | nn.Module]] = {}

    def record(module: nn.Module, parts: list[Part], step: Step, stage: Stage, schedule: object = None) -> None:
        seen[stage.name] = parts, module

    ready.trainer.fit = record  # type: ignore[method-assign,assignment]
    cfg = mae.Config.model_validate({"pretraining": row, "decoder_width": 16, "decoder_heads": 2})
    network = mae.train(cfg, ready.trainer, ready.labelled, ready.unlabelled)
    assert seen["finetune"][1] is network
    assert [part.crops for part in seen["finetune"][0]] == [ready.labelled]
    return seen


def test_the_three_rows_of_the_table(toy: Path, tmp_path: Path) -> None:
    assert list(stages_of(toy, tmp_path / "none", "none")) == ["finetune"]
    masked = stages_of(toy, tmp_path / "mae", "mae")
    assert list(masked) == ["mae", "finetune"]
    (part,), autoencoder = masked["mae"]
    assert len(part) == 10
    assert isinstance(autoencoder, MaskedAutoencoder)
    assert autoencoder.encoder is encoder_of(masked["finetune"][1])  # type: ignore[arg-type]
    pseudo = stages_of(toy, tmp_path / "pp", "pp")
    assert list(pseudo) == ["round0", "pretrain", "finetune"]
    assert len(pseudo["pretrain"][0]) == 1
    assert len(pseudo["pretrain"][0][0]) == 10
    assert pseudo["pretrain"][1] is pseudo["finetune"][1]
    assert pseudo["round0"][1] is not pseudo["pretrain"][1]


def test_the_teacher_of_pp_is_not_trained_again(toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "mae"))
    kept: list[tuple[Network, list[torch.Tensor]]] = []
    label = ready.trainer.pseudo_label

    def remember(network: Network, crops: Crops, name: str) -> Crops:
        kept.append((network, [value.clone() for value in network.state_dict().values()]))
        return label(network, crops, name)

    ready.trainer.pseudo_label = remember  # type: ignore[method-assign,assignment]
    cfg = tiny_recipe("mae", pretraining="pp", pretrain_epochs=1, pretrain_decay_at=[]).method_config()
    network = mae.train(cfg, ready.trainer, ready.labelled, ready.unlabelled)  # type: ignore[arg-type]
    ((teacher, before),) = kept
    assert network is not teacher
    assert all(torch.equal(a, b) for a, b in zip(teacher.state_dict().values(), before, strict=True))


def test_fine_tuning_begins_with_the_pretrained_backbone(toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "mae"))
    start = {name: value.clone() for name, value in encoder_of(ready.trainer.new_network()).named_parameters()}
    found: dict[str, torch.Tensor] = {}
    real = ready.trainer.fit

    def look(module: nn.Module, parts: list[Part], step: Step, stage: Stage, schedule: Schedule | None = None) -> None:
        if stage.name == "mae":
            return real(module, parts, step, stage, schedule)
        found.update(encoder_of(module).named_parameters())  # type: ignore[arg-type]
        return None

    ready.trainer.fit = look  # type: ignore[method-assign]
    mae.train(tiny_recipe("mae").method_config(), ready.trainer, ready.labelled, ready.unlabelled)  # type: ignore[arg-type]
    kept = checkpoint.read(tmp_path / "stages" / "mae.safetensors").weights
    assert found.keys() == start.keys()
    for name, value in found.items():
        assert torch.equal(value, kept[f"encoder.{name}"])
        assert not torch.equal(value, start[name])


def test_a_backbone_without_patches_is_refused(toy: Path, tmp_path: Path) -> None:
    without: dict[str, Any] = {"network": tiny_recipe("supervised").network}
    asked = tiny_request(toy, tmp_path, "mae", recipe=tiny_recipe("mae").model_copy(update=without))
    with pytest.raises(InputError, match=r"backbone 'resnet18' has none.*vit_tiny_patch16_224"):
        job.run(asked, lambda _: None)
