"""`lmdeploy benchmark` as a user calls it: JSON alone on standard output, files whole or not at all."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lmdeploy.images import read_image
from tests.tiny_bundle import make_tiny_bundle

COMMAND = (sys.executable, "-m", "lmdeploy", "benchmark")
HERE = ("--backend", "onnxruntime", "--device", "cpu", "--threads", "1", "--detector", "whole", "--quick")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_bundle(tmp_path_factory.mktemp("b") / "tiny").path)


def test_json_on_standard_output_tables_on_the_other_and_a_picture(tiny: str, tmp_path: Path) -> None:
    plot = tmp_path / "new" / "b.png"
    words = (*COMMAND, tiny, *HERE, "--batch", "1,2", "--json", "-", "--plot", str(plot))
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert [way["provider"] for way in report["ways"]] == ["CPUExecutionProvider"]
    assert [(f["precision"], "lmdeploy export" in f["reason"]) for f in report["failed"]] == [
        ("fp16", True), ("int8", True),
    ]  # fmt: skip
    assert [batch["faces"] for batch in report["ways"][0]["batches"]] == [1, 2]
    assert len(report["ways"][0]["known_box"]["pairs_ms"]) == report["pairs"] >= 7
    assert {"machine", "versions", "gpu", "digest"} <= set(report)
    assert "ONNX Runtime CPU" in done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in plot.parent.iterdir()] == ["b.png"]
    assert read_image(plot).std() > 10


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--batch", "99"), 2, "numbers of faces from 1 to 32"),
        (("--plot", "a.jpg"), 2, "give --plot FILE.png"),
        (("--precision", "bf16"), 2, "onnxruntime on cpu has no bf16"),
        (("--precision", "int8"), 4, "holds no model.int8.onnx"),
    ],
)
def test_mistakes_are_one_sentence(tiny: str, tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    words = (*COMMAND, tiny, *HERE, "--json", str(tmp_path / "b.json"), *words)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


INTERRUPTED = """
import signal, sys
from importlib import import_module
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
module, name = import_module(sys.argv.pop(1)), sys.argv.pop(1)
real = getattr(module, name)
def told(*words):
    print("now", flush=True)
    return real(*words)
setattr(module, name, told)
from lmdeploy.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to one process there")
@pytest.mark.parametrize(
    ("module", "name"),
    [("lmdeploy.benchmark.run", "attempt"), ("lmdeploy.benchmark.measure", "all_calls")],
    ids=["while a way is tried", "while ways are timed"],
)
def test_ctrl_c_leaves_no_half_file(tiny: str, tmp_path: Path, module: str, name: str) -> None:
    full = [word for word in HERE if word != "--quick"]  # takes a quarter of a minute at least
    outputs = ("--json", str(tmp_path / "b.json"), "--plot", str(tmp_path / "b.png"))
    words = (sys.executable, "-c", INTERRUPTED, module, name, "benchmark", tiny, *full, *outputs)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
