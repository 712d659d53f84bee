"""Ablation, crossover, sensitivity and cost from made-up runs (methods spec 5.4, 5.7, 5.8)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.analysis.made_run import write_run
from training.analysis import ablation, cost, crossover, sensitivity
from training.analysis.figure import Inputs, Line, line
from training.analysis.finals import mean_lines, variant_of
from training.analysis.run import MissingError, Run, open_runs


def made(root: Path, *settings: tuple[str, dict[str, Any], int, float], kind: str = "HM") -> tuple[Run, ...]:
    """A run for each (method, options, labelled images, last NME)."""
    folders = []
    for i, (method, options, labelled, nme) in enumerate(settings):
        folder = root / f"{kind}{i}"
        tests = {"round0": 50.0, "round1-pretrain": 60.0, "round3": nme}
        folders.append(write_run(folder, method, tests=tests, options=options, labelled=labelled, kind=kind))
    return open_runs(folders)


NAIVE, WARM_UP, CL = ("naive", {}), ("linear_warmup", {}), ("curriculum_labeling", {})
PP, SHRINK, FULL = ("stld", {"mixed": False}), ("stld", {"pretrain": False}), ("stld", {})


def test_variants_have_the_paper_s_names(tmp_path: Path) -> None:
    runs = made(tmp_path, *((*of, 50, 1.0) for of in (NAIVE, WARM_UP, PP, SHRINK, FULL, CL)))
    names = ["naive", "linear warm-up", "PP only", "shrink only", "STLD", "curriculum_labeling"]
    assert [variant_of(run) for run in runs] == names


def test_the_ablation_is_in_the_paper_s_order_and_says_what_it_lacks(tmp_path: Path) -> None:
    runs = made(tmp_path, (*FULL, 157, 3.8), (*FULL, 50, 4.5), (*NAIVE, 50, 5.4), (*PP, 50, 4.6), (*FULL, 50, 4.7))
    result = ablation.make(Inputs(runs, None))
    assert [of.name for of in result.panels[0].lines] == ["naive", "PP only", "STLD"]
    full = result.panels[0].lines[2]
    assert (full.x, full.y) == ((50, 157), (pytest.approx(4.6), 3.8))
    assert result.notes == (
        "HM resnet18, STLD, 50 labelled: mean of HM1, HM4",
        "HM resnet18: no run of linear warm-up, shrink only",
    )
    assert result.unit == "NME, % of inter-ocular (image frame, 8 images)"
    axes = ablation.plot(result).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["50", "157"]
    with pytest.raises(MissingError, match="not among these runs: naive, linear warm-up, PP only, shrink only"):
        ablation.make(Inputs(runs[:2], None))


def test_runs_tested_on_other_images_are_not_compared(tmp_path: Path) -> None:
    runs = made(tmp_path, (*FULL, 50, 4.5), (*NAIVE, 50, 5.4))
    file = runs[1].folder / "rounds" / "round3.json"
    file.write_text(file.read_text().replace('"images": 8', '"images": 9'))
    with pytest.raises(MissingError, match="tested differently"):
        ablation.make(Inputs(runs, None))


def test_models_cross_where_their_errors_are_equal(tmp_path: Path) -> None:
    """Differences -1 at 50 and +1 at 200 images: equal at 100, the middle of the logarithms."""
    hm = made(tmp_path, (*FULL, 50, 4.0), (*FULL, 200, 4.0), (*PP, 200, 1.0), kind="HM")
    tf = made(tmp_path, (*FULL, 50, 5.0), (*FULL, 200, 3.0), kind="TF")
    result = crossover.make(Inputs(hm + tf, None))
    assert [(of.name, of.y) for of in result.lines] == [("HM resnet18", (4, 4)), ("TF resnet18", (5, 3))]
    assert [of.labelled for of in result.crossings] == [pytest.approx(100)]
    assert crossover.plot(result).axes[0].lines[2].get_xdata()[0] == pytest.approx(100)
    with pytest.raises(MissingError, match="there is HM resnet18"):
        crossover.make(Inputs(hm, None))


def test_published_curves_cross_near_five_per_cent() -> None:
    """Table I, WFLW, ResNet-18: TF is behind by 0.01 at 375 images and ahead by 0.13 at 750."""
    numbers = (50, 375, 750, 1500)
    hm, tf = line("HM", numbers, (7.91, 5.67, 5.30, 5.06)), line("TF", numbers, (8.07, 5.68, 5.17, 4.82))
    assert crossover.crossings(hm, tf) == [pytest.approx(375 * math.exp(math.log(2) * 0.01 / 0.14))]
    assert crossover.crossings(hm, line("same", (375, 400), (5.67, 1))) == [375]
    assert crossover.crossings(hm, line("apart", numbers, (1, 1, 1, 1))) == []


def test_seeds_are_averaged() -> None:
    assert mean_lines([("a", 2, 1), ("b", 1, 5), ("a", 1, 4), ("a", 2, 3)]) == (
        Line(name="a", x=(1, 2), y=(4, 2)), Line(name="b", x=(1,), y=(5,)),
    )  # fmt: skip


def test_sensitivity_is_over_the_first_sigma_or_p(tmp_path: Path) -> None:
    wider = ("stld", {"sigma": [3.0, 2.25, 1.5]}, 157, 3.9)
    hm = made(tmp_path, wider, (*FULL, 157, 3.8), (*FULL, 50, 4.4), (*PP, 157, 1.0))
    tf = made(tmp_path, ("stld", {"p": [4.0, 2.5, 1.0]}, 157, 4.2), (*FULL, 157, 4.0), kind="TF")
    result = sensitivity.make(Inputs(hm + tf, None))
    maps, coordinates = result.panels
    assert (maps.knob, maps.published, maps.lines) == ("sigma", 2.2, (line("157 labelled", (2.2, 3), (3.8, 3.9)),))
    assert (coordinates.knob, coordinates.lines[0].x) == ("p", (2.4, 4))
    dot = sensitivity.plot(result).axes[0].lines[1]
    assert (dot.get_xdata()[0], dot.get_ydata()[0], dot.get_color()) == (2.2, 3.8, "red")
    with pytest.raises(MissingError, match="different sigma_2 or p_2"):
        sensitivity.make(Inputs(hm[1:], None))
    with pytest.raises(MissingError, match="there is none"):
        sensitivity.make(Inputs(hm[3:], None))


def test_cost_adds_all_epochs_and_divides_by_self_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    naive, stld = made(tmp_path, (*NAIVE, 50, 5.0), (*FULL, 50, 4.0))
    (tf,) = made(tmp_path, (*FULL, 50, 4.0), kind="TF")
    for run, seconds in ((naive, 900), (stld, 1200), (tf, 7200)):
        rows = ["stage,epoch,name,value", "round0,1,loss,3"] + [f"round{t},1,epoch_s,{seconds}" for t in range(3)]
        (run.folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.setattr(cost, "inference_ms", lambda run: (2.5, "a device"))
    result = cost.make(Inputs((naive, stld, tf), None))
    assert [(item.hours, item.ratio) for item in result.items] == [
        (0.75, 1), (1, pytest.approx(4 / 3)), (6, pytest.approx(8)),
    ]  # fmt: skip
    assert ("HM1", "training / naive", pytest.approx(4 / 3)) in result.rows()
    assert "1 h, 1.33 x" in [text.get_text() for text in cost.plot(result).axes[0].texts]
    (stld.folder / "metrics.csv").write_text("stage,epoch,name,value\nround0,1,loss,3\n")
    assert cost.make(Inputs((naive, stld), None)).notes == (
        "HM1: metrics.csv has no epoch_s, so its training time is not known",
    )
