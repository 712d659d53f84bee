"""Figures of a model whose errors the test decides."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lmdeploy import metrics
from lmdeploy.boxes import boxes_for
from lmdeploy.dataset import Sample, read_labelled
from lmdeploy.errors import DataError, InputError
from lmdeploy.evaluate import evaluate, evaluate_folder, measure
from lmdeploy.geometry import BoxMap, CropRule, crop_matrix, landmark_box, transform
from lmdeploy.outcome import predict_samples
from lmdeploy.schema import Normaliser, load_schema
from lmdeploy.types import Box
from tests.data_folder import random_points, write_csv, write_labelled
from tests.fake_model import constant, fake_model
from tests.oracles import metrics as oracle

IBUG68 = load_schema("ibug68")
PEOPLE = {f"im{n:03d}.jpg": f"p{n // 4}" for n in range(12)}


@pytest.fixture
def folder(tmp_path):
    return write_labelled(tmp_path / "set", random_points(12), PEOPLE)


@pytest.fixture
def samples(folder):
    return read_labelled(folder, IBUG68)


def off_by(samples, shifts_image, rule=None, schema="ibug68", boxes=None):
    """A model that misses the truth of each sample in turn by a shift f[2] in image px."""
    rule = rule or CropRule()
    answers = []
    for number, (sample, shift) in enumerate(zip(samples, shifts_image, strict=True)):
        matrix = crop_matrix(boxes[number] if boxes else landmark_box(sample.points), rule)
        answers.append(np.nan_to_num(transform(matrix, sample.points + np.asarray(shift, np.float32)), nan=5.0))
    queue = iter(answers)
    return fake_model(lambda crops: np.stack([next(queue) for _ in crops]), schema, rule)


def ocular(sample):
    return oracle.distance(sample.points[36], sample.points[45])


def test_the_truth_has_no_error(samples):
    result = evaluate(off_by(samples, np.zeros((12, 2))), samples)
    assert result.nme == pytest.approx(0, abs=1e-3)
    assert (result.fr, result.auc) == (0, pytest.approx(1, abs=1e-4))
    assert result.nme_ci == pytest.approx((0, 0), abs=1e-3)
    assert (result.images, result.dropped, result.boxes) == (12, 0, "gt")
    assert (result.normaliser, result.frame, result.threshold) == ("inter-ocular", "image", 10)
    assert (result.provider, result.digest, result.model) == ("FakeProvider", "0" * 64, "fake")


def test_the_49_points_of_300_vw_are_measured_up_to_8_per_cent(samples):
    """Errors of the jaw and of the inner corners of the mouth count nothing; the eye corners still normalise."""
    inner = [k for k in range(17, 68) if k not in (60, 64)]
    shifts, answers = np.linspace(0, 6, 12), []
    for sample, shift in zip(samples, shifts, strict=True):
        moved = sample.points + np.where(np.isin(np.arange(68), inner), shift, 500.0)[:, None]
        answers.append(transform(crop_matrix(landmark_box(sample.points), CropRule()), moved))
    queue = iter(answers)
    model = fake_model(lambda crops: np.stack([next(queue) for _ in crops]), "ibug68", CropRule())
    result = measure(predict_samples(model, boxes_for(samples, "gt")), threshold=8, subset="ibug49")
    each = [np.sqrt(2) * float(shift) / ocular(s) for s, shift in zip(samples, shifts, strict=True)]
    assert result.landmarks == "ibug68: ibug49"
    assert result.nme == pytest.approx(100 * np.mean(each), rel=1e-3)
    assert result.auc == pytest.approx(oracle.area(each, 0.08, 4000), abs=1e-3)
    assert result.fr == pytest.approx(100 * np.mean([e > 0.08 for e in each]))
    assert [k for k, value in enumerate(result.per_landmark) if value is not None] == inner
    assert result.nme_51 is None
    assert list(load_schema("ibug49").names) == [IBUG68.names[k] for k in inner]
    with pytest.raises(InputError, match="no part 'ibug50': choose one of ibug49, inner51"):
        metrics.subset_of(IBUG68, "ibug50")


@pytest.mark.parametrize("kind", ["square", "stretch"])
def test_figures_in_the_image_frame_are_the_equations(samples, kind):
    shifts = [(n / 2, n / 3) for n in range(12)]
    result = evaluate(off_by(samples, shifts, CropRule(kind=kind)), samples)
    each = [float(np.hypot(*shift)) / ocular(s) for s, shift in zip(samples, shifts, strict=True)]
    assert result.nme == pytest.approx(100 * np.mean(each), rel=1e-4)
    assert result.nme_51 == pytest.approx(result.nme, rel=1e-6)
    assert result.fr == pytest.approx(100 * np.mean([e > 0.1 for e in each]))
    assert result.auc == pytest.approx(oracle.area(each, 0.1, 4000), abs=1e-3)
    assert result.per_landmark == pytest.approx([result.nme] * 68, rel=1e-4)
    assert result.nme_ci[0] < result.nme < result.nme_ci[1]


def test_the_crop_frame_is_the_distorted_one(samples):
    """STLD's own rule: error and normaliser after x / w, y / h."""
    shifts = [(3.0, -1.0)] * 12
    rule = CropRule(kind="stretch", scale=1.1)
    for sample in samples:
        sample.points[:, 0] *= 0.5
    result = evaluate(off_by(samples, shifts, rule), samples, frame="crop")
    each = []
    for sample in samples:
        box = landmark_box(sample.points)
        size = np.array([box.width, box.height])
        d = np.linalg.norm((sample.points[36] - sample.points[45]) / size)
        each.append(np.linalg.norm(np.array(shifts[0]) / size) / d)
    assert result.frame == "crop"
    assert result.nme == pytest.approx(100 * np.mean(each), rel=1e-4)
    other = evaluate(off_by(samples, shifts, rule), samples)
    assert abs(other.nme - result.nme) > 1


def test_51_points_leave_out_the_jaw(samples):
    jaw = np.zeros((68, 2), np.float32)
    jaw[:17] = 9.0
    result = evaluate(off_by(samples, [jaw] * 12), samples)
    assert result.nme_51 == pytest.approx(0, abs=1e-3)
    assert result.nme > 1
    assert min(result.per_landmark[:17]) > 1
    assert max(result.per_landmark[17:]) < 1e-3


def test_another_normaliser_by_name(samples):
    result = evaluate(off_by(samples, [(4, 0)] * 12), samples, normaliser="inter-pupil")
    d = [
        oracle.distance(oracle.middle(s.points, range(36, 42)), oracle.middle(s.points, range(42, 48)))
        for s in samples
    ]
    assert result.normaliser == "inter-pupil"
    assert result.nme == pytest.approx(100 * np.mean([4 / of for of in d]), rel=1e-4)


def test_what_is_not_annotated_does_not_count_and_a_missing_normaliser_drops_the_image(samples):
    samples[0].points[3] = np.nan
    samples[1].points[36] = np.nan
    result = evaluate(off_by(samples, [(4, 3)] * 12), samples)
    kept = [s for n, s in enumerate(samples) if n != 1]
    assert result.nme == pytest.approx(100 * np.mean([5 / ocular(s) for s in kept]), rel=1e-4)
    assert (result.images, result.dropped, result.dropped_images) == (11, 1, ("im001.jpg",))


def test_a_point_that_nobody_annotated_is_null_in_the_json(samples):
    for sample in samples:
        sample.points[66] = np.nan
    value = json.loads(evaluate(off_by(samples, [(4, 3)] * 12), samples).to_json())
    assert value["per_landmark"][66] is None
    assert all(np.isfinite(v) for n, v in enumerate(value["per_landmark"]) if n != 66)


def test_the_interval_is_clustered_by_identity(samples):
    """Three people of four frames each: as if there were three images, not twelve."""
    shifts = [(3.0 * (n // 4), 0.0) for n in range(12)]
    clustered = evaluate(off_by(samples, shifts), samples)
    loose = [Sample(s.name, s.path, s.points) for s in samples]
    alone = evaluate(off_by(loose, shifts), loose)
    assert alone.nme == pytest.approx(clustered.nme)
    assert clustered.nme_ci[1] - clustered.nme_ci[0] > 1.2 * (alone.nme_ci[1] - alone.nme_ci[0])
    assert clustered == evaluate(off_by(samples, shifts), samples)


@pytest.mark.parametrize("kind", ["box", "image"])
@pytest.mark.parametrize("frame", ["image", "crop"])
def test_box_and_image_normalisers_in_both_frames(samples, kind, frame):
    """The face size is boxes.csv's; the image size is the crop's side. A square crop only scales, so frames agree."""
    schema = IBUG68.model_copy(update={"name": "plain", "normaliser": Normaliser(kind=kind, name=kind)})
    samples = [Sample(s.name, s.path, s.points, box=Box(0, 0, 40, 90)) for s in samples]
    result = evaluate(off_by(samples, [(6, 0)] * 12, CropRule(scale=1.5), schema), samples, frame=frame)
    if kind == "box":
        wanted = [6 / 60] * 12
    else:
        boxes = [landmark_box(s.points) for s in samples]
        wanted = [6 / (1.5 * max(b.width, b.height)) for b in boxes]
    assert result.nme == pytest.approx(100 * np.mean(wanted), rel=1e-4)
    assert result.nme_51 is None
    assert "nme_51" not in result.to_json()


def test_hands_have_millimetres(tmp_path):
    hand = load_schema("hand37")
    samples = read_labelled(write_labelled(tmp_path / "hands", random_points(5, points=37)), hand)
    result = evaluate(off_by(samples, [(1, 2)] * 5, schema="hand37"), samples)
    slow = oracle.wrist_mm([s.points + np.array([1, 2]) for s in samples], [s.points for s in samples], 0, 4)
    assert result.mre_mm == pytest.approx(np.mean(slow), rel=1e-4)
    assert result.mre_mm == pytest.approx(result.nme / 2, rel=1e-6)
    assert set(result.sdr) == {"2", "2.5", "3", "4", "6", "9", "10"}
    assert result.sdr["10"] == pytest.approx(np.mean(np.array(slow) <= 10))


def test_boxes_of_a_detector_go_through_the_model_s_map(samples):
    """The whole image is 100 px; its map makes the crop's box of it, through which the answer goes back."""

    class Whole:
        name = "whole_image"

        def detect(self, image):
            return [Box(-0.5, -0.5, image.shape[1] - 0.5, image.shape[0] - 0.5)]

    seen = np.full((68, 2), 63.5, np.float32)
    model = fake_model(constant(seen), detectors={"whole_image": BoxMap(sw=0.5, sh=0.5)})
    boxed = boxes_for(samples, "whole_image", Whole(), model.spec.detectors)
    outcome = predict_samples(model, boxed)
    np.testing.assert_allclose(outcome.points_image, np.full((12, 68, 2), 49.5), atol=1e-3)
    assert boxed.boxes[0] == Box(24.5, 24.5, 74.5, 74.5)
    assert measure(outcome).boxes == "whole_image"


def test_a_folder_is_evaluated_with_its_own_boxes(folder):
    write_csv(folder / "boxes.csv", ["image", "x0", "y0", "x1", "y1"], [["im003.jpg", 10, 10, 90, 90]])
    model = fake_model(constant(np.full((68, 2), 60.0, np.float32)))
    outcome, result = evaluate_folder(model, folder, "file", frame="crop")
    assert (result.images, result.dropped, result.boxes, result.frame) == (1, 11, "file", "crop")
    assert outcome.samples[0].name == "im003.jpg"
    assert evaluate_folder(model, folder, "whole_image")[1].boxes == "file, else whole_image (as it is, no box map)"
    with pytest.raises(InputError, match="yunet"):
        evaluate_folder(model, folder, "yunet")
    (folder / "images" / "im003.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"im003\.jpg: the file is empty"):
        evaluate_folder(model, folder, "file")


def test_the_json_has_the_promised_keys(samples):
    value = json.loads(evaluate(off_by(samples, [(4, 3)] * 12), samples).to_json())
    promised = {
        "nme",
        "fr",
        "auc",
        "nme_ci",
        "images",
        "normaliser",
        "frame",
        "boxes",
        "provider",
        "nme_51",
        "dropped",
    }
    assert promised | {"digest", "per_landmark", "threshold"} <= set(value)
    assert {"mre_mm", "sdr"}.isdisjoint(value)
    assert len(value["nme_ci"]) == 2
    assert 0 <= value["auc"] <= 1
