"""Building: what is asked of the library, what is kept, and what is never asked for."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from lmdeploy.backends.tensorrt import BuildOptions, Profile, TensorRTBackend
from lmdeploy.backends.tensorrt import builder as building
from lmdeploy.backends.tensorrt.progress import Phases
from lmdeploy.errors import BundleError, DeviceError, InputError
from tests.tensorrt_kit.fake_tensorrt import FakeTensorRT
from tests.tiny_bundle import mixing, tiny_onnx

ONE = BuildOptions(profiles=(Profile(smallest=1, best=2, largest=3),), workspace_mb=64, level=2)
SOURCE = Path(building.__file__).parent


def make(content: bytes, folder: Path, options: BuildOptions = ONE) -> TensorRTBackend:
    return TensorRTBackend(content, options, buckets=(1,), cache=folder, show=False)


def test_networks_are_strongly_typed(trt: FakeTensorRT, content: bytes, tmp_path: Path) -> None:
    make(content, tmp_path)
    assert trt.called("create_network") == [(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED),)]


def test_a_library_without_the_flag_is_strongly_typed_anyway(
    trt: FakeTensorRT, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trt, "NetworkDefinitionCreationFlag", object())
    make(content, tmp_path)
    assert trt.called("create_network") == [(0,)]


def test_profiles_limits_and_flags_are_those_asked_for(trt: FakeTensorRT, content: bytes, tmp_path: Path) -> None:
    make(content, tmp_path)
    ((flags, profiles, limits, _),) = trt.called("build_serialized_network")
    assert profiles == [{"images": ((1, 32, 32, 3), (2, 32, 32, 3), (3, 32, 32, 3))}]
    assert limits == {"WORKSPACE": 64 << 20}
    assert flags == set()  # TF32 is on by default in the library


def test_tf32_only_on_request_and_no_other_flag(trt: FakeTensorRT, content: bytes, tmp_path: Path) -> None:
    make(content, tmp_path, ONE.model_copy(update={"tf32": True}))
    assert trt.called("build_serialized_network")[0][0] == {"TF32"}


def test_default_profiles_hold_the_default_buckets() -> None:
    options = BuildOptions()
    assert [options.profile_of(batch) for batch in (1, 4, 16, 64)] == [0, 1, 1, 1]
    with pytest.raises(InputError, match="1 to 1, 2 to 64"):
        options.profile_of(65)


@pytest.mark.parametrize("wrong", [{"profiles": ()}, {"level": 6}, {"fp16": True}])
def test_wrong_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="BuildOptions"):
        BuildOptions.model_validate(wrong)
    with pytest.raises(ValueError, match="smallest <= best <= largest"):
        Profile(smallest=2, best=1, largest=3)


def test_the_timing_cache_is_kept_for_the_next_build(trt: FakeTensorRT, content: bytes, tmp_path: Path) -> None:
    make(content, tmp_path)
    make(tiny_onnx(32, mixing(3)), tmp_path)
    before = [layers for *_, layers in trt.called("build_serialized_network")]
    assert [len(layers) for layers in before] == [0, 1]
    (kept,) = tmp_path.glob("*.timing")
    assert len(json.loads(kept.read_bytes().split(b"\n", 1)[1])["layers"]) == 2


def test_a_timing_cache_that_the_library_refuses_is_left_out(trt: FakeTensorRT, content: bytes) -> None:
    foreign = json.dumps({"version": "9.0", "layers": ["a"]}).encode()
    built = building.build(trt, content, ONE, foreign, origin="x", show=False)
    assert trt.called("build_serialized_network")[0][3] == []
    assert json.loads(built.timing)["version"] == trt.__version__


def test_profiles_that_the_library_refuses_are_named(trt: FakeTensorRT, content: bytes) -> None:
    trt.refuse = {"add_optimization_profile"}
    with pytest.raises(DeviceError, match="taking the batch sizes"):
        building.build(trt, content, ONE, b"", origin="x", show=False)


def test_progress_is_shown_on_standard_error_only(
    trt: FakeTensorRT, content: bytes, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    building.build(trt, content, ONE, b"", origin="x", show=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "Building Engine" in err
    building.build(trt, content, ONE, b"", origin="x", show=False)
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_in_a_build_ends_it_and_leaves_nothing(
    trt: FakeTensorRT, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:  # a signal arrives while Python code runs: in the monitor
        raise KeyboardInterrupt

    monkeypatch.setattr(Phases, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(content, tmp_path)
    assert trt.builds == 0
    assert [p.name for p in tmp_path.iterdir()] == ["build.lock"]


def test_a_file_that_the_parser_refuses_is_a_bundle_error(trt: FakeTensorRT, content: bytes, tmp_path: Path) -> None:
    trt.parser_error = "no importer for Frob"
    with pytest.raises(BundleError, match=r"In node 7 .frob.: no importer for Frob; run it with ONNX Runtime"):
        make(content, tmp_path)


def test_no_minutes_are_spent_on_a_file_that_is_no_export(trt: FakeTensorRT, content: bytes, tmp_path: Path) -> None:
    model = onnx.load_from_string(content)
    model.graph.input[0].name = "pixels"
    model.graph.node[0].input[0] = "pixels"
    with pytest.raises(BundleError, match="only input must be uint8 'images'"):
        make(model.SerializeToString(), tmp_path)
    assert trt.builds == 0


def test_a_float_input_is_refused(trt: FakeTensorRT, tmp_path: Path) -> None:
    info = helper.make_tensor_value_info
    value = helper.make_tensor("v", 1, [1, 2, 2], np.zeros(4))
    nodes = [helper.make_node("Constant", [], ["points"], value=value)]
    graph = helper.make_graph(nodes, "g", [info("images", 1, ["B", 8, 8, 3])], [info("points", 1, ["B", 2, 2])])
    with pytest.raises(BundleError, match="uint8 'images'"):
        make(helper.make_model(graph).SerializeToString(), tmp_path)


def test_a_build_that_fails_says_what_the_library_said(trt: FakeTensorRT, content: bytes, tmp_path: Path) -> None:
    trt.refuse = {"build_serialized_network"}
    with pytest.raises(DeviceError, match=r"building an engine of the ONNX file \(no kernel fits\)"):
        make(content, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["build.lock"]


def test_a_library_that_does_not_start_is_a_device_error(trt: FakeTensorRT, content: bytes, tmp_path: Path) -> None:
    trt.refuse = {"Builder"}
    with pytest.raises(DeviceError, match="no GPU that works"):
        make(content, tmp_path)


def test_nothing_in_the_source_lets_an_engine_travel_or_bring_code() -> None:
    """The flags that would are not named; host code is only ever switched off."""
    for path in SOURCE.glob("*.py"):
        tree = ast.parse(path.read_text())
        names = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        assert not names & {
            "VERSION_COMPATIBLE", "EXCLUDE_LEAN_RUNTIME", "hardware_compatibility_level", "runtime_platform", "FP16",
            "INT8", "BF16", "load_runtime", "get_plugin_registry", "plugins_to_serialize",
        }, path  # fmt: skip
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("engine_host_code_allowed"):
                assert ast.unparse(node.value) == "False"
