"""Small files that ask for much memory: refused in a child process that is given little."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from lmdeploy.bundle import ModelSpec, write_bundle
from lmdeploy.geometry import CropRule
from tests.conv_graph import conv_onnx
from tests.tiny_bundle import BLOBS3

ROOT = Path(__file__).parents[2]
CHILD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from lmdeploy.errors import LmdeployError
from lmdeploy.model import open_model
from lmdeploy.resident import peak_mb
try:
    open_model(sys.argv[1], threads=1, device="cpu", backend="onnxruntime")
except LmdeployError as error:
    print(error.exit_code, round(peak_mb()), error)
"""


def bomb(folder: Path, elements: int, *, computed: bool) -> Path:
    """A bundle with right hashes whose graph makes a constant of so many numbers, and then wants their largest."""
    model = onnx.load_from_string(conv_onnx(32, {}))
    graph = model.graph
    graph.node[-1].output[0] = "spread0"
    sides = {"a": elements >> 10, "b": 1 << 10} if computed else {"size": elements}
    graph.initializer.extend(numpy_helper.from_array(np.array([n], np.int64), name) for name, n in sides.items())
    if computed:
        graph.node.append(helper.make_node("Mul", ["a", "b"], ["size"]))
    graph.node.append(helper.make_node("Expand", ["step", "size"], ["huge"]))
    graph.node.append(helper.make_node("ReduceMax", ["huge"], ["most"], keepdims=0))
    graph.node.append(helper.make_node("Add", ["spread0", "most"], ["spread"]))
    spec = ModelSpec(name="bomb", landmarks=BLOBS3, crop=CropRule(size=32), codec="subpixel", method="fixture")
    return write_bundle(folder / "b", spec, {"model.onnx": model.SerializeToString()}).path


@pytest.mark.parametrize(
    ("elements", "computed", "sentence"),
    [
        (1 << 30, False, "Expand makes a tensor of more than"),
        (1 << 40, False, "Expand makes a tensor of more than"),
        (1 << 30, True, "does not run on 1 crops"),  # 4 GB, more than this process may have
        (1 << 40, True, "does not run on 1 crops"),
    ],
)
def test_a_graph_that_wants_much_memory_is_refused(
    tmp_path: Path, elements: int, computed: bool, sentence: str
) -> None:
    command = [sys.executable, "-c", CHILD, str(bomb(tmp_path, elements, computed=computed))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    code, peak_mb, said = done.stdout.rstrip("\n").split(" ", 2)
    assert code == "2"
    assert sentence in said
    assert "\n" not in said
    assert int(peak_mb) < 300  # measured 95
