"""Two real processes (gloo) train as one with the doubled batch, label alike, and only the first one writes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lmdeploy.errors import InputError
from tests.unit.training import ddp_run
from training.engine import devices, predictor
from training.engine.processes import Share
from training.engine.sampler import batches
from training.engine.shared_draws import SharedDraws


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def torchrun(rank: int, port: str) -> dict[str, str]:
    """The variables that torchrun sets in each of two processes."""
    return {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
    }  # fmt: skip


Runs = tuple[dict[str, Any], dict[str, Any], dict[str, Any], Path]


@pytest.fixture(scope="module")
def runs(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """What one process with batches of 6 found, what two with batches of 3 found, and their folder."""
    root = tmp_path_factory.mktemp("ddp")
    words = [sys.executable, "-m", "tests.unit.training.ddp_run", str(toy), str(root / "two"), "3"]
    (root / "two").mkdir()
    port = free_port()
    started = [
        subprocess.Popen(
            words, env=os.environ | {"OMP_NUM_THREADS": "1"} | torchrun(rank, port), stderr=subprocess.PIPE, text=True
        )
        for rank in (0, 1)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.BatchNorm2d, "train", ddp_run.frozen)
        patch.setattr(predictor, "BATCH", 4)
        one = ddp_run.stages(toy, root / "one", 6)
    for process in started:
        _, told = process.communicate(timeout=300)
        assert process.returncode == 0, told
    first, second = (json.loads((root / "two" / f"found{rank}.json").read_text()) for rank in (0, 1))
    return one, first, second, root


@pytest.mark.parametrize("stage", ["mu0", "mu1"])
def test_both_processes_together_see_what_one_sees(stage: str, runs: Runs) -> None:
    one, first, second, _ = runs
    for whole, a, b in zip(one[stage]["seen"], first[stage]["seen"], second[stage]["seen"], strict=True):
        half = len(whole) // 2  # sums of the points, then means of the pixels
        for values, mine, other in (
            (whole[:half], a[: len(a) // 2], b[: len(b) // 2]),
            (whole[half:], a[len(a) // 2 :], b[len(b) // 2 :]),
        ):
            assert mine == pytest.approx(values[0::2], rel=1e-5, abs=1e-5)
            assert other == pytest.approx(values[1::2], rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("stage", ["mu0", "mu1"])
def test_two_processes_end_with_the_weights_of_one_with_the_doubled_batch(stage: str, runs: Runs) -> None:
    one, first, second, _ = runs
    assert first[stage]["weights"] == second[stage]["weights"]
    gap, way = (
        (torch.tensor(one[stage]["weights"]) - torch.tensor(other)).abs().max()
        for other in (first[stage]["weights"], one["start"])
    )
    assert float(way) > 0.05
    assert float(gap) < 1e-6  # measured 1.2e-7 where the weights had moved by 0.09


def test_one_process_without_a_pseudo_labelled_sample_did_occur(runs: Runs) -> None:
    _, first, second, _ = runs
    assert any(a != b for a, b in zip(first["mu0"]["without"], second["mu0"]["without"], strict=True))


def test_shared_pseudo_labels_equal_those_of_one_process(runs: Runs) -> None:
    one, first, second, root = runs
    assert one["labels"] == first["labels"] == second["labels"]
    label = Path("pseudo") / "round0" / "landmarks.csv"
    assert (root / "one" / label).read_bytes() == (root / "two" / label).read_bytes()


def test_only_the_first_process_writes_and_the_log_is_that_of_the_whole_batch(runs: Runs) -> None:
    *_, root = runs
    rows = [(root / name / "metrics.csv").read_text().splitlines() for name in ("one", "two")]
    one, two = ([line.split(",") for line in lines if ",loss," in line] for lines in rows)
    assert [line[:3] for line in two] == [line[:3] for line in one]
    assert [float(line[3]) for line in two] == pytest.approx([float(line[3]) for line in one], rel=1e-4)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_global_batches_are_those_of_one_process_but_for_a_rest_too_short_to_share(world: int) -> None:
    def draw() -> torch.Generator:
        return torch.Generator().manual_seed(0)

    for count in range(2 * world, 40):
        mine = batches((count,), 4, 0, draw(), world)
        wanted = batches((count,), 4 * world, 0, draw())
        short = len(mine) < len(wanted)
        assert len(mine) == len(wanted) - short
        assert all(torch.equal(a, b) for a, b in zip(mine, wanted, strict=False))
        assert not short or len(wanted[-1]) < 2 * world


def test_more_processes_than_images_is_one_sentence() -> None:
    with pytest.raises(InputError, match="3 images are too few for 4 processes"):
        batches((3,), 4, 0, torch.Generator(), 4)


@pytest.mark.parametrize("world", [1, 3])
def test_shared_draws_are_slices_of_one_draw_short_rows_and_long_ones(world: int) -> None:
    def drawn(share: Share, own: int) -> list[torch.Tensor]:
        draw = torch.Generator().manual_seed(7)
        with SharedDraws(draw, 7, share):
            first = torch.rand(own, 2, generator=draw)
            whole = torch.randint(9, (own,), generator=draw)
            grain = torch.randn(own, 1, 80, 80, generator=draw)
            return [first, whole, grain, torch.rand((own, 1), generator=draw)]

    alone = drawn(Share(), 7)
    assert torch.equal(alone[0], torch.rand(7, 2, generator=torch.Generator().manual_seed(7)))
    assert len(alone[2].flatten(1).sum(1).unique()) == 7
    for rank in range(world):
        share = Share(rank, world)
        for part, values in zip(drawn(share, len(range(rank, 7, world))), alone, strict=True):
            assert torch.equal(part, share.of(values))


def test_a_draw_whose_first_axis_is_not_the_batch_is_refused() -> None:
    draw = torch.Generator()
    with SharedDraws(draw, 8, Share(0, 2)), pytest.raises(ValueError, match="first axis must be the batch of 4"):
        torch.rand(2, 4, generator=draw)


def test_srun_s_variables_become_those_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in devices.WANTED:
        monkeypatch.delenv(name, raising=False)
    assert devices.launched() == (0, 1, 1)
    said = {"PROCID": "5", "LOCALID": "1", "NODEID": "1", "STEP_NUM_TASKS": "8", "STEP_NUM_NODES": "2"}
    for name, value in {**said, "STEP_NODELIST": "gpu[07-08],gpu11", "JOB_ID": "1234567"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with monkeypatch.context() as inner:
        for name in devices.WANTED | {"GROUP_RANK"}:
            inner.setenv(name, "to be restored")
            inner.delenv(name)
        assert devices.launched() == (5, 8, 4)
        set_now = {name: os.environ[name] for name in devices.WANTED}
    assert set_now["LOCAL_RANK"] == "1"
    assert set_now["MASTER_ADDR"] == "gpu07"
    assert set_now["MASTER_PORT"] == str(15000 + 4567)
