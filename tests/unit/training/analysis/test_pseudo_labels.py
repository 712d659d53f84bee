"""Noise, offsets and forgetting of pseudo-labels whose errors the test decides (methods spec 5.2, 5.3, 5.5)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.geometry import CropRule
from lmdeploy.schema import Normaliser
from tests.unit.training.analysis.made_run import inputs_of, moved, write_run, write_truth
from training.analysis import forgetting, noise, offsets
from training.analysis.groups import quantile_groups
from training.analysis.run import MissingError, open_runs

PUBLISHED = {"set": "300w", "crop": "stld_300w", "test": ["full"], "frame": "crop"}


def test_a_perfect_oracle_has_no_noise_and_a_shift_of_a_twentieth_has_five_per_cent(tmp_path: Path) -> None:
    """The inter-ocular distance is 20 px; the labels of round 2 are 1 px off, those of round 1 right."""
    data, points = write_truth(tmp_path / "data", 5)
    labels = {0: moved(points, (3, 4)), 1: points, 2: moved(points, (0.6, 0.8))}
    run = write_run(tmp_path / "run", labels=labels, tests={"round0": 9, "round1-pretrain": 1, "round1": 8})
    result = noise.make(inputs_of(data, run))
    curve = result.curves[0]
    assert (curve.noise.x, curve.images) == ((0, 1, 2), 5)
    assert curve.noise.y == pytest.approx((25, 0, 5), abs=1e-3)
    assert (curve.test.x, curve.test.y) == ((0, 1), (9, 8))
    left, right = noise.plot(result).axes
    assert right.get_title() == "% of inter-ocular (image frame), 5 unlabelled images"
    assert right.lines[0].get_ydata() == pytest.approx([25, 0, 5], abs=1e-3)
    assert (left.get_title(), result.unit) == (
        "inter-ocular, image frame, 8 images",
        "% of inter-ocular (image frame)",
    )


def test_points_and_images_without_truth_do_not_count(tmp_path: Path) -> None:
    data, points = write_truth(tmp_path / "data", 4)
    labels = moved(points, (1, 0)) | {"unknown.jpg": np.zeros((68, 2))}
    run = write_run(tmp_path / "run", labels={0: labels})
    inputs = inputs_of(data, run)
    truth = inputs.needs_truth()
    sample = truth.samples["im01.jpg"]
    assert sample.points is not None
    sample.points[5] = np.nan
    found = truth.of(inputs.runs[0], inputs.runs[0].labels(0))
    assert [s.name for s in found.samples] == list(points)
    assert found.nme(found.pseudo, found.true) == pytest.approx([5] * 4, abs=1e-3)


@pytest.mark.parametrize(("kind", "wanted"), [("box", 3 / np.sqrt(3000)), ("image", 3 / 75)])
@pytest.mark.parametrize("frame", ["image", "crop"])
def test_other_normalisers_take_the_true_box_or_the_crop(tmp_path: Path, kind: str, wanted: float, frame: str) -> None:
    """Boxes of 60 x 50 px: root of the area 54.77; a square crop of 1.25 times the box is 75 px wide."""
    data, points = write_truth(tmp_path / "data", 2)
    rule = Normaliser.model_validate({"kind": kind, "name": "other"})
    labels, recipe = {0: moved(points, (3, 0))}, PUBLISHED | {"frame": frame, "normaliser": "other"}
    inputs = inputs_of(data, write_run(tmp_path / "run", labels=labels, normaliser=rule, data=recipe))
    found = inputs.needs_truth().of(inputs.runs[0], inputs.runs[0].labels(0))
    assert found.nme(found.pseudo, found.true) == pytest.approx([100 * wanted] * 2, abs=1e-3)


def test_a_published_cell_is_measured_in_its_own_frame(tmp_path: Path) -> None:
    """Crops of 60 x 50 px, stretched to a square: (0, 3) is 3 / 50 of it, the eyes are 20 / 60 apart."""
    data, points = write_truth(tmp_path / "data", 2)
    crop = CropRule(kind="stretch", scale=1.0)
    labels = {0: moved(points, (0, 3))}
    run = write_run(tmp_path / "run", labels=labels, crop=crop, data=PUBLISHED | {"normaliser": "inter-ocular"})
    result = noise.make(inputs_of(data, run))
    assert result.curves[0].noise.y == pytest.approx((100 * (3 / 50) / (20 / 60),), abs=1e-3)
    assert result.unit == "% of inter-ocular (crop frame)"


@pytest.mark.parametrize(
    ("kind", "scale_x", "scale_y"), [("square", 256 / 75, 256 / 75), ("stretch", 256 / 75, 4.096)]
)
def test_offsets_are_in_the_256_px_crop(tmp_path: Path, kind: str, scale_x: float, scale_y: float) -> None:
    """One image px is 256 / 75 px of the crop along the 60 px side, and 256 / 62.5 along the other if stretched."""
    data, points = write_truth(tmp_path / "data", 3)
    crop = CropRule.model_validate({"kind": kind, "scale": 1.25})
    run = write_run(tmp_path / "run", labels={0: moved(points, (2, -1))}, crop=crop)
    panel = offsets.make(inputs_of(data, run)).panels[0]
    assert (panel.points, panel.outside, panel.labelled_images) == (3 * 68, 0, 50)
    assert panel.mean == pytest.approx((2 * scale_x, -scale_y), abs=1e-3)
    assert panel.std == pytest.approx((0, 0), abs=1e-3)
    half = offsets.LIMIT / offsets.BINS
    assert panel.peak == pytest.approx((2 * scale_x, -scale_y), abs=half + 1e-6)
    assert np.sum(panel.counts) == 3 * 68


def test_the_histogram_counts_rows_by_dy_and_leaves_out_what_lies_beyond() -> None:
    gaps = np.array([[0.0, 0.0], [0.1, -0.1], [10.0, -10.0], [25.0, 0.0]])
    counts = offsets.histogram(gaps, limit=20, bins=41)
    assert (counts[20, 20], counts[10, 30], counts.sum()) == (2, 1, 3)
    nothing = offsets.offsets(np.zeros((1, 2, 2)), np.array([[[1.0, 2.0], [np.nan, 0.0]]]))
    assert nothing.tolist() == [[-1, -2]]


def test_the_offset_figure_has_a_panel_a_run(tmp_path: Path) -> None:
    data, points = write_truth(tmp_path / "data", 3)
    runs = [write_run(tmp_path / name, labels={0: moved(points, (1, 1))}, kind=name) for name in ("HM", "TF")]
    result = offsets.make(inputs_of(data, *runs))
    drawn = offsets.plot(result).axes
    assert [axes.get_title().split("\n")[0] for axes in drawn[:2]] == [
        "HM (HM resnet18, 50 labelled)", "TF (TF resnet18, 50 labelled)",
    ]  # fmt: skip
    assert np.asarray(drawn[0].images[0].get_array()).sum() == 3 * 68


def test_forgetting_of_four_images_by_hand() -> None:
    """Sorted by noise: f 1, 2, 2, 7 over n 1, 2, 3, 6; slope = 17 / 14."""
    n, f = np.array([6.0, 1.0, 3.0, 2.0]), np.array([7.0, 1.0, 2.0, 2.0])
    curve, slope = forgetting.forgetting(n, f, "hand", bins=2)
    assert (curve.x, curve.y) == ((1.5, 4.5), (1.5, 4.5))
    assert slope == pytest.approx(17 / 14)
    flat, none = forgetting.forgetting(np.ones(3), np.array([1.0, 2.0, np.nan]), "flat", bins=1)
    assert (flat.y, none) == ((1.5,), 0)


def test_memorising_forgets_nothing_and_going_back_to_the_truth_forgets_the_noise(tmp_path: Path) -> None:
    data, points = write_truth(tmp_path / "data", 20)
    wrong = moved(points, {name: (0.5 * i, 0) for i, name in enumerate(points)})
    runs = [
        write_run(tmp_path / name, labels={0: wrong, 1: after})
        for name, after in (("keeps", wrong), ("mends", points))
    ]
    result = forgetting.make(inputs_of(data, *runs))
    keeps, mends = result.curves
    assert keeps.line.y == pytest.approx([0] * 10, abs=1e-3)
    assert mends.line.y == pytest.approx(mends.line.x, abs=1e-3)
    assert mends.line.x == pytest.approx([2.5 * (2 * bin + 0.5) for bin in range(10)], abs=1e-3)
    assert (keeps.slope, mends.slope) == (pytest.approx(0, abs=1e-4), pytest.approx(1, abs=1e-4))
    assert "mends (HM resnet18), slope 1.00" in [
        text.get_text() for text in forgetting.plot(result).axes[0].get_legend().texts
    ]


def test_runs_that_lack_labels_are_named_and_the_others_drawn(tmp_path: Path) -> None:
    data, points = write_truth(tmp_path / "data", 4)
    short = write_run(tmp_path / "short", labels={0: points})
    full = write_run(tmp_path / "full", labels={0: points, 1: points})
    result = forgetting.make(inputs_of(data, short, full))
    assert [curve.name for curve in result.curves] == ["full"]
    assert result.notes == ("short: no pseudo-labels of round 1 (pseudo/round1/landmarks.csv)",)
    stranger = write_run(tmp_path / "stranger", labels={0: {"other.jpg": np.zeros((68, 2))}})
    with pytest.raises(MissingError, match="none of its 1 unlabelled images"):
        noise.make(inputs_of(data, stranger))
    with pytest.raises(InputError, match="not a run of lmdeploy train"):
        open_runs([tmp_path / "data"])


def test_groups_of_equal_size() -> None:
    groups = quantile_groups(np.array([5.0, 1.0, 4.0, 2.0, 3.0]), 2)
    assert [group.tolist() for group in groups] == [[1, 3, 4], [2, 0]]
    assert len(quantile_groups(np.array([1.0, 2.0]), 10)) == 2
