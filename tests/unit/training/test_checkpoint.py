"""Checkpoints: round trip, refusal of everything else, never half-written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lmdeploy.errors import InputError
from lmdeploy.geometry import BoxMap
from lmdeploy.schema import load_schema
from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job
from training.engine import checkpoint
from training.engine.predictor import load_network, open_checkpoint
from training.models.heatmap import Heatmap


@pytest.fixture(scope="module")
def saved(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return job.run(tiny_request(toy, tmp_path_factory.mktemp("run"), "supervised"), lambda _: None)


def test_weights_and_optimiser_come_back_bit_for_bit(saved: Path, tmp_path: Path) -> None:
    about = checkpoint.read(saved).about
    network = load_network(about)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.1)
    network(torch.randn(2, 3, 32, 32))[0].square().sum().backward()
    optimiser.step()
    checkpoint.write(tmp_path / "c.safetensors", network, about, optimiser)
    back = checkpoint.read(tmp_path / "c.safetensors")
    assert all(torch.equal(value, back.weights[name]) for name, value in network.state_dict().items())
    other = torch.optim.Adam(load_network(about).parameters(), lr=0.1)
    checkpoint.restore_optimiser(other, back.optimiser)
    for index, state in optimiser.state_dict()["state"].items():
        for key, value in state.items():
            assert torch.equal(value, other.state_dict()["state"][index][key])


def test_a_loaded_network_answers_like_the_trained_one(saved: Path) -> None:
    crops = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8).numpy()
    first, second = (open_checkpoint(ref, device="cpu").backend.run(crops) for ref in (saved, saved.parent))
    assert (first.points == second.points).all()
    assert first.points.shape == (3, 68, 2)


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"\x80\x04\x95 a pickle", b"\xff" * 64, b"\x02\x00\x00\x00\x00\x00\x00\x00{}"]
)
def test_foreign_files_are_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "c.safetensors"
    file.write_bytes(content)
    with pytest.raises(InputError, match="not a checkpoint"):
        checkpoint.read(file)


def test_truncated_and_newer_checkpoints_are_refused(saved: Path, tmp_path: Path) -> None:
    raw = saved.read_bytes()
    with pytest.raises(InputError, match="truncated"):
        checkpoint.parse(raw[: len(raw) // 2], "half")
    about = checkpoint.read(saved).about.model_copy(update={"version": 99})
    newer = checkpoint.dump(Heatmap(tiny_recipe("supervised").network, 68), about)
    with pytest.raises(InputError, match="update lmdeploy"):
        checkpoint.parse(newer, "newer")


def test_init_of_another_landmark_count_is_refused(saved: Path, toy: Path, tmp_path: Path) -> None:
    about = checkpoint.read(saved).about
    spec = about.spec.model_copy(update={"landmarks": load_schema("wflw98")})
    other = tmp_path / "other.safetensors"
    checkpoint.write(other, Heatmap(about.network, 98), about.model_copy(update={"spec": spec}))
    with pytest.raises(InputError, match=r"98 points \(wflw98\), the data has 68"):
        job.run(tiny_request(toy, tmp_path, "supervised", init=other), lambda _: None)


def test_a_folder_without_weights_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.safetensors"):
        checkpoint.find(tmp_path)


def test_init_hands_on_its_box_maps_and_the_data_it_has_seen(saved: Path, toy: Path, tmp_path: Path) -> None:
    about = checkpoint.read(saved).about
    map_ = BoxMap(dx=0.1, dy=0.2, sw=0.9, sh=0.8)
    spec = about.spec.model_copy(update={"detectors": {**about.spec.detectors, "yunet": map_}})
    factory = tmp_path / "factory.safetensors"
    checkpoint.write(factory, load_network(about), about.model_copy(update={"spec": spec}))
    refreshed = job.run(tiny_request(toy, tmp_path / "run", "supervised", init=factory), lambda _: None)
    spec = checkpoint.read(refreshed).about.spec
    assert spec.detectors["yunet"] == map_
    assert len(spec.data) == 2
