"""Every name of TensorRT and cuda-bindings that the source uses exists, in 10 and in 11: read from the source."""

from __future__ import annotations

import ast
import json
import os
import re
from pathlib import Path

import pytest

import lmdeploy
from tests.tensorrt_kit import facts

RUNTIME = Path(lmdeploy.__file__).parent
CUDA = RUNTIME / "backends" / "cuda.py"
SOURCE = [CUDA, *(RUNTIME / "backends" / "tensorrt").glob("*.py")]
OBJECTS = {
    "builder": "Builder",
    "cache": "ITimingCache",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "engine": "ICudaEngine",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "t": "ITensor",
}
"""Which class a variable of that name holds, wherever it is annotated Any or made by the library."""
ELSEWHERE = {("cuda", "runtime"), ("backend", "engine"), ("cache", "cache")}
"""(file, name) where the name is another thing: CUDA's runtime, and our own objects."""


def chains(path: Path) -> list[tuple[str, ...]]:
    """Every attribute chain of a file, such as (trt, DataType, UINT8); `self.` and a leading underscore left off."""
    out = []
    for node in ast.walk(ast.parse(path.read_text())):
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name) and parts:
            whole = [node.id, *parts]
            out.append(tuple([w.lstrip("_") for w in whole[1:]] if whole[0] == "self" else whole))
    return out


def used() -> set[tuple[str, str]]:
    """(class, member) of everything that is asked of TensorRT; the module itself is class ''."""
    out = set()
    for path in SOURCE:
        for first, *rest in chains(path):
            if not rest:
                continue
            if first == "trt":
                out.add(("", rest[0]))
                out.update([(rest[0], rest[1])] if len(rest) > 1 else [])
            elif first in OBJECTS and (path.stem, first) not in ELSEWHERE:
                out.add((OBJECTS[first], rest[0]))
    return out


@pytest.mark.parametrize("major", ["10", "11"])
def test_every_name_exists(major: str) -> None:
    known = facts.members(major)
    for kind, name in sorted(used()):
        if name.startswith("__"):
            continue  # __init__ and __version__ are Python's, not the library's
        names = known[kind] if kind else known
        assert name in names, f"{kind or 'tensorrt'}.{name} is not in TensorRT {major}, or not in the golden"


def test_the_walk_sees_what_is_there() -> None:
    found = used()
    assert len(found) > 45
    assert {
        ("", "Builder"),
        ("", "IProgressMonitor"),
        ("Builder", "build_serialized_network"),
        ("BuilderFlag", "TF32"),
        ("IBuilderConfig", "set_timing_cache"),
        ("ICudaEngine", "get_tensor_name"),
        ("IExecutionContext", "execute_async_v3"),
        ("INetworkDefinition", "get_input"),
        ("IOptimizationProfile", "set_shape"),
        ("ITensor", "dtype"),
        ("ITimingCache", "serialize"),
        ("OnnxParser", "num_errors"),
        ("Runtime", "engine_host_code_allowed"),
    } <= found


def test_methods_that_the_library_calls_back_exist() -> None:
    for path in SOURCE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any(ast.unparse(b).startswith("trt.") for b in node.bases):
                base = ast.unparse(node.bases[0]).removeprefix("trt.")
                own = {n.name for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")}
                assert own
                assert own <= facts.members("10")[base] & facts.members("11")[base]


def test_every_cuda_name_is_in_the_golden_and_takes_what_it_is_given() -> None:
    golden = facts.golden("cuda")
    seen = {}
    for node in ast.walk(ast.parse(CUDA.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("cuda"):
            seen[node.func.attr] = len(node.args)
    assert seen == golden["functions"]
    values = {n for names in golden["values"].values() for n in names if n.startswith("cuda")}
    rest = {n for chain in chains(CUDA) for n in chain if n.startswith("cuda")} - set(seen)
    assert rest == values | set(golden["constants"]) | {"cudaMemcpyKind", "cudaStreamCaptureMode"}


def test_cuda_is_called_through_its_wrappers_alone() -> None:
    """Names in any other file would not be checked against the golden."""
    for path in RUNTIME.rglob("*.py"):
        called = {name for chain in chains(path) for name in chain if re.match("cuda[A-Z]", name)}
        assert bool(called) == (path == CUDA), f"{path.name}: {called}"


def test_the_cuda_golden_is_what_is_installed() -> None:
    pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
    now = facts.cuda_from_installed()
    for kind in ("functions", "values", "constants"):
        assert now[kind] == facts.golden("cuda")[kind]


def test_the_goldens_are_an_extract_of_the_facts() -> None:
    if not facts.SHARED.is_dir():
        pytest.skip("the facts about TensorRT are not beside this checkout")
    assert facts.golden("api") == facts.api_from(facts.SHARED)
    assert facts.golden("onnx_operators") == facts.operators_from(facts.SHARED)


def test_what_11_lacks_is_really_missing_in_its_golden() -> None:
    """Otherwise the golden of 11 would prove nothing: these are gone, as its migration guide says."""
    ten, eleven = facts.members("10"), facts.members("11")
    for kind, name in [
        ("BuilderFlag", "FP16"),
        ("Builder", "platform_has_fast_fp16"),
        ("IBuilderConfig", "int8_calibrator"),
    ]:
        assert name in ten[kind]
        assert name not in eleven[kind]
    assert os.fspath(facts.HERE).endswith("tensorrt")
    assert json.loads((facts.HERE / "api.json").read_text())["origin"]
