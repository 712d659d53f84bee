"""Weights that a user brings: conversion without running code, names, counts, refusals."""

from __future__ import annotations

import dataclasses
import json
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import nn

from lmdeploy.errors import InputError
from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job, weights
from training.engine import checkpoint
from training.models import backbone

OPTIONS = {"channels": [4, 4, 8, 8], "stem_type": "deep", "stem_width": 4}


def state(name: str = "resnet18", **options: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return backbone.feature_maps(name, OPTIONS | options if "resnet" in name else options, False)[0].state_dict()


@pytest.mark.parametrize("suffix", ["pth", "pt", "pkl"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda own: own,
        lambda own: {f"module.{k}": v for k, v in own.items()},
        lambda own: {"state_dict": {f"module.backbone.{k}": v for k, v in own.items()}, "epoch": 3},
        lambda own: {"model": {"state_dict": own}, "optimizer": {"lr": 0.1}},
        lambda own: {f"backbone.{k}": v for k, v in own.items()} | {"head.weight": torch.zeros(2)},
    ],
)
def test_a_converted_file_starts_the_backbone_with_exactly_its_weights(wrap: Any, suffix: str, tmp_path: Path) -> None:
    own = state()
    torch.save(wrap(own), tmp_path / f"in.{suffix}")
    weights.convert(tmp_path / f"in.{suffix}", tmp_path / "out.safetensors")
    net, _, _ = backbone.feature_maps("resnet18", OPTIONS, str(tmp_path / "out.safetensors"))
    assert all(torch.equal(value, own[name]) for name, value in net.state_dict().items())


def test_the_header_says_where_the_weights_are_from(tmp_path: Path) -> None:
    torch.save({"module.a.weight": torch.ones(2), "module.a.tied": torch.ones(2)}, tmp_path / "in.pth")
    assert weights.convert(tmp_path / "in.pth", tmp_path / "out.safetensors") == 2
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        about = json.loads(file.metadata()["lmdeploy"])
        assert sorted(file.keys()) == ["a.tied", "a.weight"]
    assert about["kind"] == "lmdeploy-weights"
    assert about["source"] == "in.pth"
    assert about["stripped"] == ["module."]


def test_tensors_that_share_memory_are_kept_apart(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    torch.save({"a": shared, "b": shared, "c": shared[1:3]}, tmp_path / "in.pth")
    weights.convert(tmp_path / "in.pth", tmp_path / "out.safetensors")
    assert weights.read_weights(tmp_path / "out.safetensors")["c"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("options", [{"dims": [4, 4, 4, 4], "depths": [1, 1, 1, 1]}])
def test_names_that_timm_s_extractor_renames_still_match(options: dict[str, Any], tmp_path: Path) -> None:
    import timm

    plain = timm.create_model("convnext_tiny", num_classes=0, **options)
    torch.save(plain.state_dict(), tmp_path / "in.pth")
    weights.convert(tmp_path / "in.pth", tmp_path / "out.safetensors")
    net, _, _ = backbone.feature_maps("convnext_tiny", options, str(tmp_path / "out.safetensors"))
    torch.testing.assert_close(net.state_dict()["stages_1.blocks.0.norm.weight"], torch.ones(4))
    found = weights.load_into(net, tmp_path / "out.safetensors", "convnext_tiny")
    assert found.missing == ()
    assert len(found.matched) == len(net.state_dict())


def test_the_counts_are_those_of_a_file_made_by_hand(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    given = {"0.weight": torch.ones(3, 2), "0.bias": torch.ones(5), "9.weight": torch.ones(1)}
    torch.save(given, tmp_path / "in.pth")
    weights.convert(tmp_path / "in.pth", tmp_path / "out.safetensors")
    before = net[1].weight.clone()
    with caplog.at_level(logging.INFO):
        found = weights.load_into(net, tmp_path / "out.safetensors", "net")
    assert found.sentence() == "1 weights matched, 2 missing, 1 unexpected, 1 of another shape"
    assert found == (("0.weight",), found.missing, ("9_weight",), ("0.bias",))
    assert set(found.missing) == {"1.weight", "1.bias"}
    assert "1 weights matched" in caplog.text
    assert caplog.records[0].levelname == "WARNING"  # less than half of the network
    assert torch.equal(net[0].weight, torch.ones(3, 2))
    assert torch.equal(net[1].weight, before)


def test_nothing_that_fits_is_refused(tmp_path: Path) -> None:
    torch.save({"decoder.weight": torch.ones(2)}, tmp_path / "in.pth")
    weights.convert(tmp_path / "in.pth", tmp_path / "out.safetensors")
    with pytest.raises(InputError, match=r"no weight fits resnet18.*another network"):
        backbone.feature_maps("resnet18", OPTIONS, str(tmp_path / "out.safetensors"))


class Trap:
    """Would leave a trace if it were unpickled."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("trap-has-run"),)


def test_a_file_that_needs_its_own_code_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw.pkl").write_bytes(pickle.dumps({"a": Trap()}))
    torch.save({"a": Trap()}, tmp_path / "saved.pth")
    for name in ("raw.pkl", "saved.pth"):
        with pytest.raises(InputError, match="run code from the file") as caught:
            weights.convert(tmp_path / name, tmp_path / "out.safetensors")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "trap-has-run").exists()
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no such file"), (b"PK\x03\x04 cut", "not a PyTorch file"), (b"", "not a PyTorch file")],
)
def test_what_is_no_pytorch_file_is_refused(content: bytes | None, words: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "in.pth").write_bytes(content)
    with pytest.raises(InputError, match=words):
        weights.convert(tmp_path / "in.pth", tmp_path / "out.safetensors")


@pytest.mark.parametrize("value", [{"epoch": 3}, [torch.ones(2)], {"state_dict": {}}])
def test_a_file_without_named_tensors_is_refused(value: Any, tmp_path: Path) -> None:
    torch.save(value, tmp_path / "in.pth")
    with pytest.raises(InputError, match="no named tensors"):
        weights.convert(tmp_path / "in.pth", tmp_path / "out.safetensors")


def test_a_pth_in_the_recipe_is_answered_with_the_command_that_converts_it(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "in.pth")
    with pytest.raises(InputError, match="lmdeploy data convert-weights"):
        backbone.feature_maps("resnet18", OPTIONS, str(tmp_path / "in.pth"))


def test_a_run_from_init_asks_for_no_other_weights(toy: Path, tmp_path: Path) -> None:
    champion = job.run(tiny_request(toy, tmp_path / "champion", "supervised"), lambda _: None)
    base = tiny_recipe("supervised")
    elsewhere = base.network.model_copy(update={"pretrained": str(tmp_path / "elsewhere.safetensors")})
    request = tiny_request(toy, tmp_path / "run", "supervised", init=champion)
    trainer = job.prepare(request).trainer
    trainer.settings = dataclasses.replace(trainer.settings, network=elsewhere)
    given = checkpoint.read(champion).weights
    assert all(torch.equal(value, given[name]) for name, value in trainer.new_network().state_dict().items())
    with pytest.raises(InputError, match="no such file of weights"):
        trainer.new_network(fresh=True)
