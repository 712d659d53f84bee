"""`lmdeploy benchmark` as a call: what its report says, and that its figures are those of its pairs."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from lmdeploy.benchmark import alone, run
from lmdeploy.benchmark.machine import this_machine
from lmdeploy.benchmark.measure import Plans
from lmdeploy.benchmark.output import check_outputs
from lmdeploy.benchmark.pairs import Plan
from lmdeploy.benchmark.plot import report_figure
from lmdeploy.benchmark.report import Report
from lmdeploy.benchmark.run import run_benchmark
from lmdeploy.benchmark.table import report_tables
from lmdeploy.benchmark.ways import Options, Way
from lmdeploy.bundle import write_bundle
from lmdeploy.errors import BundleError, DeviceError, InputError, MissingExtraError
from lmdeploy.evaluate import evaluate_folder
from lmdeploy.model import open_model
from tests.data_folder import write_csv
from tests.odd_images import write_jpeg
from tests.tiny_bundle import blob_image, make_tiny_bundle, mixing, tiny_onnx

POINTS = np.array([[50.0, 50.0], [90.0, 52.0], [70.0, 90.0]])
Watched = list[tuple[str, int, int]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with an int8 file that is wrong by a tenth, and three labelled pictures."""
    home = tmp_path_factory.mktemp("benchmark")
    files = {"model.onnx": tiny_onnx(64, mixing(3)), "model.int8.onnx": tiny_onnx(64, mixing(3) * np.float32(1.1))}
    write_bundle(home / "b", make_tiny_bundle(home / "plain").spec, files)
    rows = []
    for number in range(3):
        write_jpeg(home / "set" / "images" / f"{number}.jpg", blob_image(140, 150, POINTS + number, sigma=4))
        rows.append([f"{number}.jpg", *(POINTS + number).ravel().tolist()])
    write_csv(home / "set" / "landmarks.csv", ["image", "x0", "y0", "x1", "y1", "x2", "y2"], rows)
    return home


@pytest.fixture(scope="module")
def measured(place: Path) -> tuple[Report, Watched, list[Way]]:
    """The report of the bundle on ONNX Runtime and a GPU that is not there, what was watched, and who was tried."""
    tried: list[Way] = []

    def here(way: Way, options: Options) -> dict[str, Any]:
        tried.append(way)
        return alone.try_alone(way, options)

    short = Plans(Plan(pairs=3, block_s=0.002), Plan(pairs=3, block_s=0.001, least=2))
    watched: Watched = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "attempt", here)
        patch.setattr(run, "FULL", short)
        options = Options(
            model=str(place / "b"), data=place / "set", backend="onnxruntime", batches=(1, 3), threads=1,
            detector="whole_image",
        )  # fmt: skip
        report = run_benchmark(options, lambda *words: watched.append(words))
    return report, watched, tried


def test_ways_that_work_are_measured_and_the_others_have_their_reasons(measured: Any) -> None:
    report, _, tried = measured
    assert [way.provider for way in report.ways] == ["CPUExecutionProvider", "CPUExecutionProvider int8"]
    reasons = {(f.device, f.precision): f.reason for f in report.failed}
    if ("cuda", "fp32") not in reasons:
        pytest.skip("ONNX Runtime has CUDA here")
    assert set(reasons) == {("cpu", "fp16"), ("cuda", "fp32"), ("cuda", "fp16")}
    assert "--precision fp16' makes it" in reasons["cpu", "fp16"]
    assert "CUDAExecutionProvider" in reasons["cuda", "fp32"]
    assert [way.name for way in tried] == [
        "onnxruntime cpu fp32", "onnxruntime cpu int8", "onnxruntime cuda fp32",
    ]  # what lacks its file needs no process  # fmt: skip


def test_every_figure_stands_for_its_pairs(measured: Any) -> None:
    report, _, _ = measured
    first, second = report.ways
    assert (report.compared_with, first.speedup, report.pairs) == (first.provider, None, 3)
    ratios = np.array(first.known_box.pairs_ms) / np.array(second.known_box.pairs_ms)
    assert second.speedup.median == pytest.approx(np.median(ratios))
    assert second.speedup.quartiles == pytest.approx(tuple(np.quantile(ratios, [0.25, 0.75])))
    for way in report.ways:
        assert tuple(way.stages) == ("detect", "crop", "network", "back_map")
        assert way.known_box.calls == way.stages["network"].calls >= 15  # warming up is not counted
        assert way.found_box.calls == way.stages["detect"].calls >= 15
        assert way.known_box.p99_ms >= way.known_box.median_ms >= way.stages["network"].median_ms > 0
        assert [batch.faces for batch in way.batches] == [1, 3]
        assert all(b.faces_per_s == pytest.approx(1e3 * b.faces / b.median_ms) for b in way.batches)
        assert 0 < way.start_mb <= way.peak_mb


def test_accuracy_is_that_of_evaluate(measured: Any, place: Path) -> None:
    report, _, _ = measured
    for way, precision in zip(report.ways, ("fp32", "int8"), strict=True):
        model = open_model(place / "b", backend="onnxruntime", precision=precision, device="cpu", threads=1)  # type: ignore[arg-type]  # of two
        _, wanted = evaluate_folder(model, place / "set")
        assert way.accuracy.nme == pytest.approx(wanted.nme)
        assert (way.accuracy.images, way.accuracy.normaliser) == (3, "red-green")
    assert report.ways[0].accuracy.nme < 1 < report.ways[1].accuracy.nme


def test_progress_goes_on_to_the_end_of_each_part(measured: Any) -> None:
    _, watched, _ = measured
    parts = list(dict.fromkeys(what.split(" ")[0] for what, _, _ in watched))
    assert parts == ["trying", "one", "1", "3", "accuracy"]
    ends = {what: (done, total) for what, done, total in watched}
    assert all(done == total for what, (done, total) in ends.items() if not what.startswith("trying "))
    assert ends["one face, box known"] == (8, 8)  # two ways, three pairs and the warming


def test_the_report_reads_back_and_names_machine_and_versions(measured: Any) -> None:
    report, _, _ = measured
    again = Report.model_validate_json(report.to_json())
    assert again == report
    assert again.versions["numpy"] == np.__version__
    assert again.machine.cores >= 1
    assert "None" not in report.to_json()


def test_the_tables_hold_every_way_and_every_reason(measured: Any) -> None:
    report, _, _ = measured
    console = Console(width=200, file=io.StringIO())
    for table in report_tables(report):
        console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO
    for said in ("ONNX Runtime CPU int8", "box to be found", "back map", "faces a second", "NME", "not measured"):
        assert said in text
    assert f"{report.machine.memory_gb:g} GB memory" in text
    assert f"{report.ways[1].known_box.median_ms:.2f} / {report.ways[1].known_box.p99_ms:.2f}" in text
    assert all(failed.reason.split(":")[0] in text for failed in report.failed)


def test_the_picture_s_bars_are_the_figures(measured: Any) -> None:
    report, _, _ = measured
    figure = report_figure(report)
    assert isinstance(figure, Figure)
    latency, throughput, memory, accuracy = figure.axes
    widths = [patch.get_width() for patch in latency.patches]
    stages = [way.stages[name].median_ms for way in report.ways for name in ("crop", "network", "back_map")]
    assert widths == pytest.approx(stages)
    assert [line.get_ydata().tolist() for line in throughput.lines] == [
        [batch.faces_per_s for batch in way.batches] for way in report.ways
    ]
    assert sum(patch.get_width() for patch in memory.patches) == pytest.approx(sum(w.peak_mb for w in report.ways))
    assert [patch.get_width() for patch in accuracy.patches] == [way.accuracy.nme for way in report.ways]


def test_what_the_system_does_not_tell_of_memory_is_unknown_not_a_number(
    measured: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, which has neither sysconf nor the module resource."""
    report, _, tried = measured
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.setattr(alone.resident, "is_known", lambda: False)
    found = alone.try_alone(tried[0], Options(model=str(place / "b"), threads=1, detector="whole_image"))
    assert (found["problem"], found["start_mb"], found["peak_mb"]) == ("", None, None)
    blind = tuple(way.model_copy(update={"start_mb": None, "peak_mb": None}) for way in report.ways)
    report = report.model_copy(update={"machine": this_machine(), "ways": blind})
    value = json.loads(report.to_json())
    assert value["machine"]["memory_gb"] is None
    assert [way["peak_mb"] for way in value["ways"]] == [None, None]
    assert Report.model_validate_json(report.to_json()) == report
    console = Console(width=200, file=io.StringIO())
    console.print(next(report_tables(report)))
    text = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO
    assert "memory unknown" in text
    assert text.count("unknown") == 3  # the machine's, and each way's
    assert len(report_figure(report).axes) == 3  # latency, throughput, accuracy


def test_mistakes_are_told_before_anything_is_measured(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> Any:
        raise AssertionError("nothing is to be measured")

    monkeypatch.setattr(run, "time_all", never)
    model = str(place / "b")
    with pytest.raises(BundleError, match="no such bundle"):
        run_benchmark(Options(model="none"), never)
    with pytest.raises(InputError, match="openvino on cuda has no auto"):
        run_benchmark(Options(model=model, backend="openvino", device="cuda"), never)
    with pytest.raises(InputError, match="yunet"):
        run_benchmark(Options(model=model, detector="yunet"), never)
    monkeypatch.setattr(run, "attempt", lambda *_: {"problem": "", "start_mb": 1, "peak_mb": 2})
    with pytest.raises(InputError, match=r"landmarks\.csv"):
        run_benchmark(
            Options(model=model, backend="onnxruntime", precision="fp32", device="cpu", data=tmp_path), lambda *_: None
        )


def test_when_nothing_runs_every_reason_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "attempt", lambda *_: {"problem": "its process was killed by SIGSEGV"})
    with pytest.raises(DeviceError, match=r"onnxruntime cpu fp32: its process was killed by SIGSEGV") as caught:
        run_benchmark(Options(model=str(place / "b"), backend="onnxruntime", device="cpu"), lambda *_: None)
    assert caught.value.exit_code == 4


def test_outputs_that_cannot_be_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"give --plot FILE\.png"):
        check_outputs(None, tmp_path / "a.pdf")
    with pytest.raises(InputError, match="is a folder"):
        check_outputs(str(tmp_path), None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"landmark-deploy\[plots\]"):
        check_outputs("-", tmp_path / "a.png")
