"""`lmdeploy export BUNDLE --triton DIR` as a user calls it, with nothing of PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from export.cli import export
from lmdeploy.bundle import read_bundle
from lmdeploy.errors import BundleError, InputError
from tests.oracles.triton_config import parse
from tests.tiny_bundle import make_tiny_bundle


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_tiny_bundle(tmp_path / "tiny", size=32).path


def call(*words: str | Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(export, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def test_a_bundle_becomes_a_repository_without_torch(tiny: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    code = (
        "import sys; sys.modules['torch'] = None; from lmdeploy.cli import main; "
        f"sys.argv = ['lmdeploy', 'export', {str(tiny)!r}, '--triton', {str(models)!r}, '--triton-instances', '3', "
        "'--triton-max-batch', '8', '--triton-delay-us', '250', '--triton-device', 'cpu', '--triton-python']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{models}\n"
    assert done.stderr == "version 1 of tiny, tiny_python\n"
    found = parse((models / "tiny" / "config.pbtxt").read_text())
    assert found["instance_group"] == [{"count": 3, "kind": "KIND_CPU"}]
    assert found["dynamic_batching"] == {"preferred_batch_size": [4, 8], "max_queue_delay_microseconds": "250"}
    assert found["max_batch_size"] == 8


def test_versions_and_names(tiny: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    assert call(tiny, "--triton", models)[2] == (
        "version 1 of tiny, tiny_tensorrt; build tiny_tensorrt's engine on the target: tiny/README.md\n"
    )
    with pytest.raises(InputError, match="--triton-version 2"):
        call(tiny, "--triton", models)
    assert "config.pbtxt that stays: tiny, tiny_tensorrt" in call(tiny, "--triton", models, "--triton-version", "2")[2]
    assert call(tiny, "--triton", models, "--name", "second")[0] == 0
    assert sorted(path.name for path in models.iterdir()) == ["second", "second_tensorrt", "tiny", "tiny_tensorrt"]


def test_what_an_export_made_is_served(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The export itself is a stand-in here: it takes its own options and none of Triton's."""
    asked: list[dict[str, Any]] = []

    def package(request: dict[str, Any]) -> SimpleNamespace:
        asked.append(request)
        return SimpleNamespace(bundle=read_bundle(tiny), parities=())

    monkeypatch.setitem(sys.modules, "export.package", SimpleNamespace(Request=dict, package=package))
    monkeypatch.setitem(sys.modules, "export.precision", SimpleNamespace(parse=lambda text: (text,)))
    code, out, said = call(tmp_path, "-o", tmp_path / "new", "--triton", tmp_path / "models", "--name", "hands")
    assert (code, out) == (0, f"{tiny}\n{tmp_path / 'models'}\n")
    assert "version 1 of hands, hands_tensorrt" in said
    exporting = {"source", "out", "images", "data", "held_out", "precisions", "measured", "note", "name", "frame"}
    assert [set(request) for request in asked] == [exporting]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "give -o BUNDLE, --triton DIR or both"),
        (("--precision", "fp16"), "give -o BUNDLE, --triton DIR or both"),
        (("--triton", "m", "--precision", "fp16", "--held-out", "."), "only an export takes --precision, --held-out"),
        (("--triton", "m", "--triton-instances", "0"), "0 is not in the range x>=1"),
    ],
)
def test_mistakes_end_with_one_sentence(words: tuple[str, ...], sentence: str, tiny: Path) -> None:
    code, _, said = call(tiny, *words)
    assert code == 2
    assert sentence in said


def test_what_is_no_bundle_needs_an_export(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(BundleError, match="not a bundle; make one with 'lmdeploy export'"):
        call(tmp_path / "run", "--triton", tmp_path / "models")
    assert not (tmp_path / "models").exists()
