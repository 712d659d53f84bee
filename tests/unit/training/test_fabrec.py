"""How 3FabRec and SCAF are trained: phases, what is frozen, step sizes, sharing an auto-encoder, export."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from export import parity
from export.to_onnx import to_onnx
from lmdeploy.errors import InputError
from tests.unit.training.conftest import made_batch, tiny_recipe, tiny_request
from training import job
from training.engine import checkpoint
from training.engine.fit import Schedule, Stage, Step, make_optimiser
from training.engine.predictor import TorchBackend, load_network, open_checkpoint
from training.engine.train_set import Part
from training.methods import METHODS, fabrec
from training.methods.pretraining import STAGES, Pretraining, adversarial_step, turn_of
from training.models.adversary import Adversarial, Config, Turn
from training.models.scaf import Scaf, ScafConfig


@pytest.fixture(scope="module")
def run(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SCAF run, the source of an auto-encoder."""
    out = tmp_path_factory.mktemp("scaf")
    return job.run(tiny_request(toy, out, "scaf"), lambda _: None).parent


def weights(run: Path, stage: str) -> dict[str, torch.Tensor]:
    return checkpoint.read(run / "stages" / f"{stage}.safetensors").weights


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], start: str) -> bool:
    """Whether any of the tensors whose name begins so differs."""
    names = [name for name in before if name.startswith(start) and name in after]
    assert names
    return any(not torch.equal(before[name], after[name]) for name in names)


def test_three_phases_and_who_plays_when() -> None:
    assert [turn_of(1, step) for step in range(4)] == [
        Turn(True, True, False, False), Turn(False, False, False, False),
        Turn(False, True, False, False), Turn(False, False, False, False),
    ]  # fmt: skip
    assert turn_of(2, 0) == turn_of(3, 4) == Turn(True, True, True, True)
    assert turn_of(3, 1) == Turn(False, False, False, True)
    assert turn_of(2, 2) == Turn(False, True, True, True)


@pytest.mark.parametrize("phase", [1, 2, 3])
def test_the_loss_of_a_phase_is_its_sum(phase: int) -> None:
    torch.manual_seed(0)
    network = Scaf(ScafConfig(size=32, widths=(8, 8, 8), blocks=1, latent=6), 4)
    module = Adversarial(network.encoder, network.generator, Config(hidden=8, widths=(8, 8)))
    found = adversarial_step(Pretraining(lambda_gan=3.0, lambda_latent=5.0), phase)(module, made_batch([True] * 4))
    likeness = 0.5 * (found["rec"] + found["struct"]) if phase == 3 else found["rec"]
    # the log holds a player's loss times how seldom it plays: every 4th, 2nd and 2nd batch, this one being the first
    wanted = likeness + found["d_z"] / 4 + 5 * found["latent"] / 2 + found["d"] / 2 + 3 * found["gan"]
    torch.testing.assert_close(found["loss"], wanted)
    assert (found["struct"] > 0) == (phase == 3)
    assert (found["gan"] > 0) == (found["d"] > 0) == (phase >= 2)
    assert found["latent"] > 0


def test_pretraining_lowers_the_error_of_the_image() -> None:
    torch.manual_seed(0)
    network = Scaf(ScafConfig(size=32, widths=(8, 8, 8), blocks=1, latent=6), 4)
    module = Adversarial(network.encoder, network.generator, Config(hidden=16, widths=(8, 8)))
    schedule = Schedule(lr=3e-3, betas=(0.0, 0.999))
    optimiser = make_optimiser(module, schedule, {"image_critic.": 0.5})
    for group in optimiser.param_groups:
        group["lr"] = schedule.lr * group["rate"]
    batch, losses, step = made_batch([True] * 4), [], adversarial_step(Pretraining(lambda_latent=20.0), 2)
    module.train()
    for _ in range(40):
        values = step(module, batch)
        optimiser.zero_grad(set_to_none=True)
        values["loss"].backward()
        optimiser.step()
        losses.append(float(values["rec"].detach()))
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_step_sizes_go_by_the_names_and_frozen_weights_have_none() -> None:
    module = nn.ModuleDict({"encoder": nn.Linear(2, 2), "head": nn.Linear(2, 1), "generator": nn.Linear(1, 1)})
    module["generator"].requires_grad_(False)
    optimiser = make_optimiser(module, Schedule(lr=1e-3), {"encoder.": 0.02})
    assert {g["rate"]: sum(w.numel() for w in g["params"]) for g in optimiser.param_groups} == {0.02: 6, 1.0: 3}


def test_the_loss_of_landmarks_is_300_times_the_squared_error_of_annotated_maps() -> None:
    batch = made_batch([False] * 2)
    batch.visible[0, 1] = False
    found = fabrec.step(lambda x: (batch.target + 0.1, None), batch)["loss"]  # type: ignore[arg-type]  # a network
    assert float(found) == pytest.approx(3.0, rel=1e-4)


@pytest.mark.parametrize(("method", "stages"), [("fabrec", ["itl", "finetune"]), ("scaf", ["scaf"])])
def test_only_what_a_stage_may_change_changes(
    method: str, stages: list[str], run: Path, toy: Path, tmp_path: Path
) -> None:
    out = run if method == "scaf" else job.run(tiny_request(toy, tmp_path, method), lambda _: None).parent
    assert {file.stem for file in (out / "stages").iterdir()} == {*STAGES, *stages}
    before = weights(out, STAGES[-1])
    for stage in stages:
        after = weights(out, stage)
        assert not changed(before, after, "generator.")
        assert changed(before, after, "encoder.") == (stage != "itl")
        running = [n for n in before if n.startswith("encoder.") and "running" in n]
        assert running
        assert all(torch.equal(before[n], after[n]) for n in running)
        before = after
    final = checkpoint.read(out / "model.safetensors").about
    assert (final.network.kind, final.spec.codec) == (method, "scaf")


def test_the_encoder_takes_smaller_steps(toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "scaf"))
    seen: dict[str, tuple[list[Part], Stage, Schedule | None]] = {}

    def record(
        module: nn.Module, parts: list[Part], step: Step, stage: Stage, schedule: Schedule | None = None
    ) -> None:
        seen[stage.name] = parts, stage, schedule

    ready.trainer.fit = record  # type: ignore[method-assign]
    cfg = tiny_recipe("scaf").method_config()
    METHODS["scaf"].train(cfg, ready.trainer, ready.labelled, ready.unlabelled)
    assert list(seen) == [*STAGES, "scaf"]
    assert seen["scaf"][1].rates == {"encoder.": pytest.approx(2e-5 / ready.trainer.settings.schedule.lr)}
    assert seen[STAGES[0]][1].rates == {"image_critic.": 0.5}
    assert [len(part) for part in seen[STAGES[0]][0]] == [10, 12]  # the unlabelled and the labelled crops
    assert [len(part) for part in seen["scaf"][0]] == [12]


def test_reconstructions_are_kept_as_a_sheet_of_originals_above_copies(run: Path) -> None:
    for stage in STAGES:
        sheet = cv2.imread(str(run / "pictures" / f"{stage}.jpg"))
        assert sheet.shape == (64, 8 * 32, 3)
    assert np.abs(sheet[:32].astype(int) - sheet[32:]).mean() > 5  # two epochs do not copy a face


def test_several_runs_share_one_auto_encoder_and_need_no_unlabelled_image(
    run: Path, toy: Path, tmp_path: Path
) -> None:
    pretrained = weights(run, STAGES[-1])
    for method, name in (("fabrec", str(run)), ("scaf", str(run / "stages" / f"{STAGES[-1]}.safetensors"))):
        request = tiny_request(
            toy, tmp_path / method, method, recipe=tiny_recipe(method, autoencoder=name), unlabelled=()
        )
        out = job.run(request, lambda _: None).parent
        assert not list((out / "stages").glob("autoencoder*"))
        last = weights(out, {"fabrec": "itl", "scaf": "scaf"}[method])
        assert not changed(pretrained, last, "generator.")


def test_what_is_no_auto_encoder_of_this_size_is_refused(run: Path, toy: Path, tmp_path: Path) -> None:
    def asked(name: str) -> job.Request:
        return tiny_request(toy, tmp_path / "run", "scaf", recipe=tiny_recipe("scaf", autoencoder=name))

    with pytest.raises(InputError, match="no such checkpoint"):
        job.run(asked(str(tmp_path / "nowhere.safetensors")), lambda _: None)
    with pytest.raises(InputError, match="none was trained"):
        job.run(asked(str(tmp_path)), lambda _: None)
    other = tiny_recipe("scaf", autoencoder=str(run))
    wider = other.model_copy(update={"network": other.network.model_copy(update={"latent": 7})})
    with pytest.raises(InputError, match=r"set \[network\] size, widths"):
        job.run(tiny_request(toy, tmp_path / "wide", "scaf", recipe=wider), lambda _: None)


def test_exported_network_equals_pytorch(run: Path) -> None:
    """The largest cell after the blur is the same wherever the maps have it; `subpixel` is tested in test_export."""
    saved = checkpoint.read(run / "model.safetensors")
    network = load_network(saved.about)
    network.load_state_dict(saved.weights)
    graph = to_onnx(network.eval(), saved.about.spec)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    crops = parity.generated_crops(32, 3, seed=1)
    found = session.run(["points", "score", "spread", "nnm"], {"images": crops})
    wanted = TorchBackend(network, "scaf", torch.device("cpu")).run(crops)
    for name, value in zip(("points", "score", "spread", "nnm"), found, strict=True):
        np.testing.assert_allclose(value, getattr(wanted, name), atol=1e-3, rtol=1e-3)


def test_a_checkpoint_opens_as_a_model(run: Path) -> None:
    model = open_checkpoint(run, device="cpu")
    assert model.backend.run(np.zeros((2, 32, 32, 3), np.uint8)).points.shape == (2, 68, 2)
