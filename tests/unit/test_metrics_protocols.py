"""Every published way to measure (methods spec, section 2), on shapes whose answer is worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy import outcome
from lmdeploy.boxes import boxes_for
from lmdeploy.dataset import Sample, read_labelled
from lmdeploy.errors import InputError
from lmdeploy.evaluate import evaluate, measure
from lmdeploy.geometry import CropRule, crop_matrix, landmark_box, transform
from lmdeploy.metrics import auc, failure_rate, nme_per_image, normaliser_of
from lmdeploy.plots import ced_figure
from lmdeploy.schema import BUILT_IN, load_schema
from lmdeploy.types import Box
from tests.data_folder import random_points, write_labelled
from tests.fake_model import fake_model
from tests.oracles import metrics as oracle

INTER_OCULAR = {"ibug68": (36, 45), "ibug49": (19, 28), "wflw98": (60, 72), "cofw29": (8, 9)}


def moved_model(samples, shift, schema, rule, boxes=None):
    """A model that misses every point of each sample in turn by shift f[2], image px."""
    boxes = boxes or [landmark_box(s.points) for s in samples]
    pairs = zip(boxes, samples, strict=True)
    queue = iter([transform(crop_matrix(box, rule), s.points + np.asarray(shift, np.float32)) for box, s in pairs])
    return fake_model(lambda crops: np.stack([next(queue) for _ in crops]), schema, rule)


def folder_of(tmp_path, name, count=6):
    schema = load_schema(name)
    return read_labelled(write_labelled(tmp_path / name, random_points(count, points=schema.points)), schema)


@pytest.mark.parametrize("name", sorted(INTER_OCULAR))
def test_inter_ocular_is_between_the_outer_eye_corners(name):
    """All points lie together but the two corners, 40 px apart; every point misses by (3, 4), thus 5 / 40."""
    schema = load_schema(name)
    left, right = INTER_OCULAR[name]
    truth = np.full((1, schema.points, 2), 50.0)
    truth[0, left], truth[0, right] = (10, 20), (34, 52)
    assert schema.normaliser.name == "inter-ocular"
    assert schema.names[left].startswith("eye_left")
    assert schema.names[right].startswith("eye_right")
    assert nme_per_image(truth + np.array([3, 4]), truth, schema.normaliser)[0] == pytest.approx(5 / 40)


def test_every_schema_says_what_it_divides_by():
    kinds = {name: load_schema(name).normaliser.kind for name in BUILT_IN}
    assert {name for name, kind in kinds.items() if kind == "distance"} >= {*INTER_OCULAR, "hand37"}
    assert kinds["aflw19"] == "box"


@pytest.mark.parametrize(("normaliser", "wanted"), [(None, 5 / 30), ("image size", 5 / 80)])
def test_aflw_has_the_box_of_its_protocol_and_the_image_of_stld(tmp_path, normaliser, wanted):
    """Boxes of 20 x 45 px, root of the area 30; a square crop of 1.6 times the 50 px landmark box is 80 px wide."""
    samples = folder_of(tmp_path, "aflw19")
    for s in samples:
        s.points[0], s.points[1:] = (20, 30), np.clip(s.points[1:], [25, 35], [65, 75])
        s.points[1] = (70, 50)
    samples = [Sample(s.name, s.path, s.points, box=Box(0, 0, 20, 45)) for s in samples]
    model = moved_model(samples, (3, 4), "aflw19", CropRule(scale=1.6))
    assert evaluate(model, samples, normaliser=normaliser).nme == pytest.approx(100 * wanted, rel=1e-4)


def test_aflw_as_stld_measures_it_is_the_distance_in_crop_widths(tmp_path):
    """d = 1 after x / w, y / h: the crop of a stretched box is a unit square, whatever the box's shape."""
    samples = folder_of(tmp_path, "aflw19")
    for s in samples:
        s.points[:, 1] *= 0.4
    result = evaluate(
        moved_model(samples, (2, 1), "aflw19", CropRule(kind="stretch", scale=1.0, size=256)), samples,
        frame="crop", normaliser="image size",
    )  # fmt: skip
    boxes = [landmark_box(s.points) for s in samples]
    assert result.nme == pytest.approx(100 * np.mean([np.hypot(2 / b.width, 1 / b.height) for b in boxes]), rel=1e-4)
    assert (result.frame, result.normaliser) == ("crop", "image size")


@pytest.mark.parametrize(("normaliser", "a", "b"), [(None, 0, 4), ("wrist width 1-5", 1, 5)])
@pytest.mark.parametrize("frame", ["image", "crop"])
def test_hands_in_their_own_pixels_or_in_the_resized_frame(tmp_path, frame, normaliser, a, b):
    """hand_frame: the whole image is resized to a square; the cited evaluation measures there, we in the original."""
    samples = folder_of(tmp_path, "hand37")
    whole, shift = Box(0.0, 0.0, 100.0, 200.0), np.array([2.0, 1.0])
    samples = [Sample(s.name, s.path, s.points, box=whole) for s in samples]
    model = moved_model(samples, shift, "hand37", CropRule(kind="stretch", scale=1.0, size=512), [whole] * 6)
    result = evaluate(model, samples, "file", frame=frame, normaliser=normaliser)
    squeeze = np.array([1.0, 1.0]) if frame == "image" else np.array([512 / 100, 512 / 200])
    truth = [s.points * squeeze for s in samples]
    slow = oracle.wrist_mm([t + shift * squeeze for t in truth], truth, a, b)
    assert result.mre_mm == pytest.approx(np.mean(slow), rel=1e-4)
    assert result.sdr["4"] == pytest.approx(np.mean(np.array(slow) <= 4))


def test_simpson_s_rule_is_that_of_scipy_at_stld_s_step():
    integrate = pytest.importorskip("scipy.integrate")
    errors = np.random.default_rng(4).gamma(2, 0.02, 689)
    grid = np.linspace(0, 0.1, 1001)
    heights = [oracle.cumulative(errors.tolist(), u) for u in grid]
    assert auc(errors, 0.1, "simpson") == pytest.approx(integrate.simpson(heights, x=grid) / 0.1, rel=1e-12)


def test_both_rules_agree_within_a_step():
    errors = np.random.default_rng(5).gamma(2, 0.02, 689)
    assert auc(errors, 0.1, "simpson") == pytest.approx(auc(errors, 0.1), abs=1e-3)


def test_fr_and_auc_at_another_threshold_are_those_of_the_metric(tmp_path):
    """TS3 takes 8 % on 300-VW: what fails there passes at 10 %."""
    samples = folder_of(tmp_path, "ibug49", 12)
    far = np.mean([oracle.distance(s.points[19], s.points[28]) for s in samples])
    boxed = boxes_for(samples, "gt")
    found = outcome.predict_samples(moved_model(samples, (0.09 * far, 0), "ibug49", CropRule()), boxed)
    results = {t: measure(found, threshold=t) for t in (8.0, 10.0)}
    errors = np.array([0.09 * far / oracle.distance(s.points[19], s.points[28]) for s in samples])
    for t, result in results.items():
        assert (result.threshold, result.nme) == (t, results[10.0].nme)
        assert result.fr == pytest.approx(100 * failure_rate(errors, t / 100))
        assert result.auc == pytest.approx(oracle.area(errors.tolist(), t / 100, 4000), abs=1e-3)
    assert results[8.0].auc < results[10.0].auc
    axes = ced_figure(errors, results[8.0]).axes[0]
    assert axes.get_xlim() == (0, 12)
    assert axes.lines[1].get_xdata()[0] == 8
    with pytest.raises(InputError, match="more than 0"):
        measure(found, threshold=0.0)
    assert measure(found).threshold == 10


@pytest.mark.parametrize("size", [1, 5, 32])
def test_the_batches_of_the_network_do_not_matter(tmp_path, monkeypatch, size):
    monkeypatch.setattr(outcome, "BATCH", size)
    samples = folder_of(tmp_path, "cofw29", 7)
    model = moved_model(samples, (1, 2), "cofw29", CropRule())
    result = evaluate(model, samples)
    assert model.backend.batches == [size] * (7 // size) + [7 % size] * (7 % size > 0)
    wanted = [np.hypot(1, 2) / oracle.distance(s.points[8], s.points[9]) for s in samples]
    assert result.nme == pytest.approx(100 * np.mean(wanted), rel=1e-4)


def test_a_normaliser_of_another_schema_is_refused():
    for schema, name in (("wflw98", "inter-pupil"), ("ibug68", "image size"), ("aflw19", "inter-ocular")):
        with pytest.raises(InputError, match="has no normaliser"):
            normaliser_of(load_schema(schema), name)
