"""Doctor: its graph is what it says, dead processes and clashing packages are named, and the report can be read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from lmdeploy import doctor
from lmdeploy.commands.doctor import doctor as command
from lmdeploy.doctor import REQUIRED, Report, Trial, attempt, check_report, clashes
from lmdeploy.doctor_table import report_tables
from lmdeploy.errors import DeviceError
from lmdeploy.probe import COLOUR, ENGINES, SIDE, _wrong, loaded_libraries, probe, probe_model
from tests.oracles.probe_graph import probe_onnx

WORKS = Trial(engine=REQUIRED, works=True, provider="CPUExecutionProvider", problem="")
BROKEN = Trial(engine=REQUIRED, works=False, provider="", problem="pip install 'landmark-deploy[cpu]'")


def report(trial: Trial = WORKS, clash: tuple[str, ...] = ()) -> Report:
    versions = {"numpy": "2.0", "av": None}
    missing = {"av": "pip install 'landmark-deploy[video]', for MP4 files"}
    return Report(
        machine="Linux x", threads=2, gpu="none", versions=versions, trials=(trial,), clashes=clash, missing=missing
    )


def test_the_shipped_graph_is_the_one_built_with_onnx() -> None:
    shipped, built = onnx.load_from_string(probe_model()), onnx.load_from_string(probe_onnx())
    onnx.checker.check_model(shipped, full_check=True)
    assert shipped == built


@pytest.mark.parametrize("count", [1, 3])
def test_the_graph_answers_the_colour_of_the_crop(count: int) -> None:
    engine = ENGINES[REQUIRED]()
    found = engine.run(np.full((count, SIDE, SIDE, 3), COLOUR, np.uint8))
    np.testing.assert_array_equal(found.points, np.full((count, 1, 2), [64, 128]))
    np.testing.assert_array_equal(found.spread, np.full((count, 1), 32))
    np.testing.assert_allclose(found.score, 32 / 255)


def test_a_wrong_answer_is_a_problem() -> None:
    def run(crops: np.ndarray) -> SimpleNamespace:
        return SimpleNamespace(points=np.full((len(crops), 1, 2), np.nan))

    assert "instead of (64, 128)" in _wrong(SimpleNamespace(run=run))  # type: ignore[arg-type]  # only `run` is used


def test_a_probe_says_what_ran_and_from_which_libraries() -> None:
    answer = probe(REQUIRED)
    assert (answer["provider"], answer["problem"]) == ("CPUExecutionProvider", "")
    if Path("/proc/self/maps").is_file():
        assert any("onnxruntime" in Path(path).name for path in answer["libraries"])


def test_libraries_are_read_from_the_list_of_mapped_files(tmp_path: Path) -> None:
    lines = [f"7f00-7f01 r-xp 0 08:01 1   {path}" for path in ("/a b/libnvinfer.so.10", "/usr/lib/libc.so.6")]
    (tmp_path / "maps").write_text("\n".join([*lines, "7ffe-7fff rw-p 0 00:00 0   [stack]"]))
    assert loaded_libraries(tmp_path / "maps") == ["/a b/libnvinfer.so.10"]
    assert loaded_libraries(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "its process was killed by SIGSEGV: it said nothing",
        ),
        ("import sys; sys.exit('libcuda.so.1: no such file')", "its process ended with code 1: libcuda.so.1: no such"),
        ("print('not JSON')", "its process ended with code 0"),
    ],
)
def test_an_engine_that_ends_its_process_is_reported(program: str, problem: str) -> None:
    trial = attempt("TensorRT", (sys.executable, "-c", program))
    assert not trial.works
    assert trial.problem.startswith(problem)


def test_an_engine_that_hangs_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "TIMEOUT_S", 0.2)
    assert "no answer within 0.2 s" in attempt("x", (sys.executable, "-c", "import time; time.sleep(60)")).problem


def test_the_real_probe_runs_in_a_process_of_its_own() -> None:
    trial = attempt(REQUIRED)
    assert trial.works
    assert trial.provider == "CPUExecutionProvider"


def test_two_packages_in_one_folder_fail_loudly() -> None:
    assert clashes(["numpy", "onnxruntime", "opencv-python-headless", "openvino"]) == ()
    found = clashes(["onnxruntime-gpu", "onnxruntime", "opencv-python", "opencv-python-headless"])
    assert ["onnxruntime" in found[1], "opencv-python" in found[0], len(found)] == [True, True, 2]
    with pytest.raises(DeviceError, match="pip uninstall onnxruntime onnxruntime-gpu") as caught:
        check_report(report(clash=found))
    assert caught.value.exit_code == 4


def test_no_engine_on_the_processor_fails_and_a_missing_gpu_does_not() -> None:
    check_report(report())
    with pytest.raises(DeviceError, match=r"landmark-deploy\[cpu\]"):
        check_report(report(BROKEN))


def test_the_tables_hold_everything() -> None:
    cells = [str(cell) for table in report_tables(report(BROKEN)) for column in table.columns for cell in column.cells]
    assert {"numpy", "2.0", "GPU", "no", REQUIRED, "pip install 'landmark-deploy\\[cpu]'", "av"} <= set(cells)


def test_the_command_prints_json_alone_on_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    def tried(name: str) -> Trial:
        return Trial(engine=name, works=name == REQUIRED, provider="", problem="" if name == REQUIRED else "no GPU")

    monkeypatch.setattr(doctor, "attempt", tried)
    monkeypatch.setattr(doctor, "clashes", lambda names: ())
    result = CliRunner().invoke(command, ["--json"])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["versions"]["numpy"] == np.__version__
    assert told["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert [trial["engine"] for trial in told["trials"]] == list(ENGINES)
    assert REQUIRED in result.stderr
