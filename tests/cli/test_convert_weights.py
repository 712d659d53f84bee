"""`lmdeploy data convert-weights` as a user calls it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from lmdeploy import user_weights
from lmdeploy.cli import cli
from lmdeploy.errors import MissingExtraError
from training.weights import read_weights


def test_a_pth_becomes_safetensors(tmp_path: Path) -> None:
    torch.save({"state_dict": {"module.a": torch.ones(3)}}, tmp_path / "in.pth")
    words = ["data", "convert-weights", str(tmp_path / "in.pth"), str(tmp_path / "out.safetensors")]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0
    assert done.stderr == f"{tmp_path / 'out.safetensors'}: 1 tensors\n"
    assert read_weights(tmp_path / "out.safetensors")["a"].tolist() == [1.0, 1.0, 1.0]


def test_a_bad_file_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "in.pth").write_bytes(b"no weights")
    words = ["data", "convert-weights", str(tmp_path / "in.pth"), str(tmp_path / "out.safetensors")]
    done = subprocess.run([sys.executable, "-m", "lmdeploy", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path / 'in.pth'}: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("points", [[], [EntryPoint("pytorch", "no_such_library:convert", user_weights.GROUP)]])
def test_without_pytorch_the_extra_is_named(
    points: list[EntryPoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_weights, "entry_points", lambda group: points)
    with pytest.raises(MissingExtraError, match=r"landmark-deploy\[train\]"):
        user_weights.convert_weights(tmp_path / "in.pth", tmp_path / "out.safetensors")
