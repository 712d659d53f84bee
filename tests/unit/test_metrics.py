"""NME and errors in mm against slow oracles, and the properties that the specification names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmdeploy.errors import InputError
from lmdeploy.metrics import (
    INNER_51,
    INTER_PUPIL,
    WRIST_1_5,
    auc,
    failure_rate,
    mean_of_seen,
    mre_mm,
    nme_per_image,
    normaliser_of,
    normalising_px,
    per_landmark,
    radial_errors,
    radial_errors_mm,
    sdr,
)
from lmdeploy.schema import Normaliser, load_schema
from lmdeploy.types import Box
from tests.oracles import metrics as oracle

IBUG68, HAND37 = load_schema("ibug68"), load_schema("hand37")
OCULAR, WRIST = IBUG68.normaliser, HAND37.normaliser
FACE_SIZE = load_schema("aflw19").normaliser
CROP_SIZE = Normaliser(kind="image", name="image size")

seeds = st.integers(0, 10_000)
many = settings(max_examples=40, deadline=None)


def faces(seed, images=4, points=68, missing=0.0):
    """Prediction and truth f64[N,K,2]; the normalisers' own points are always annotated."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 200, (images, points, 2))
    pred = truth + rng.normal(0, 6, truth.shape)
    gone = rng.random((images, points)) < missing
    gone[:, [0, 1, 4, 5, *range(36, min(48, points))]] = False
    truth[gone] = np.nan
    return pred, truth


@many
@given(seeds, st.sampled_from([OCULAR, INTER_PUPIL]), st.sampled_from([0.0, 0.4]))
def test_nme_is_the_equation(seed, rule, missing):
    pred, truth = faces(seed, missing=missing)
    wanted = [oracle.nme_of_image(p, g, rule.a, rule.b) for p, g in zip(pred, truth, strict=True)]
    np.testing.assert_allclose(nme_per_image(pred, truth, rule), wanted, rtol=1e-12)


@many
@given(seeds)
def test_per_landmark_is_the_equation_and_its_mean_is_the_nme(seed):
    pred, truth = faces(seed)
    d = [oracle.distance(g[36], g[45]) for g in truth]
    each = per_landmark(pred, truth, OCULAR)
    np.testing.assert_allclose(each, [oracle.landmark_mean(pred, truth, d, j) for j in range(68)], rtol=1e-12)
    assert each.mean() == pytest.approx(nme_per_image(pred, truth, OCULAR).mean())


def test_a_point_that_is_never_annotated_has_no_error():
    pred, truth = faces(0)
    truth[:, 10] = np.nan
    each = per_landmark(pred, truth, OCULAR)
    assert np.flatnonzero(np.isnan(each)).tolist() == [10]
    assert np.isfinite(nme_per_image(pred, truth, OCULAR)).all()


@given(seeds)
def test_nme_of_the_truth_is_zero(seed):
    _, truth = faces(seed, missing=0.3)
    filled = np.nan_to_num(truth, nan=7.0)
    assert nme_per_image(filled, truth, OCULAR).tolist() == [0, 0, 0, 0]


@many
@given(seeds, st.floats(-50, 50), st.floats(-50, 50))
def test_a_constant_shift_by_k_gives_k_over_d(seed, dx, dy):
    _, truth = faces(seed)
    d = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=1)
    nme = nme_per_image(truth + np.array([dx, dy]), truth, OCULAR)
    np.testing.assert_allclose(nme, np.hypot(dx, dy) / d, atol=1e-10)


@many
@given(seeds, st.integers(1, 7))
def test_batches_do_not_matter(seed, cut):
    pred, truth = faces(seed, images=8, missing=0.2)
    whole = nme_per_image(pred, truth, OCULAR)
    parts = [nme_per_image(pred[part], truth[part], OCULAR) for part in (slice(None, cut), slice(cut, None))]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    mm = radial_errors_mm(pred[:, :37], truth[:, :37], WRIST)
    parts_mm = [radial_errors_mm(pred[p, :37], truth[p, :37], WRIST) for p in (slice(None, cut), slice(cut, None))]
    np.testing.assert_array_equal(mm, np.concatenate(parts_mm))
    assert failure_rate(whole) == failure_rate(whole[::-1])
    assert auc(whole) == pytest.approx(auc(whole[::-1]))


@many
@given(seeds, st.floats(0.1, 9), st.floats(-3, 3))
def test_nme_does_not_change_when_both_frames_turn_and_scale(seed, scale, angle):
    pred, truth = faces(seed)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = nme_per_image(pred @ turn.T + 5, truth @ turn.T + 5, OCULAR)
    np.testing.assert_allclose(moved, nme_per_image(pred, truth, OCULAR), rtol=1e-9)


@pytest.mark.parametrize("rule", [FACE_SIZE, CROP_SIZE])
def test_box_and_image_normalisers_divide_by_the_root_of_the_area(rule):
    truth = np.zeros((2, 19, 2))
    nme = nme_per_image(truth + np.array([3, 4]), truth, rule, [Box(10, 10, 14, 35), Box(0, 0, 50, 50)])
    np.testing.assert_allclose(nme, [5 / 10, 5 / 50])
    for boxes in (None, [Box(0, 0, 1, 1)]):
        with pytest.raises(InputError, match="needs one box for each"):
            nme_per_image(truth, truth, rule, boxes)


def test_inter_pupil_is_between_the_means_of_the_eyes():
    _, truth = faces(3)
    left, right = truth[:, 36:42].mean(axis=1), truth[:, 42:48].mean(axis=1)
    np.testing.assert_allclose(normalising_px(truth, INTER_PUPIL), np.hypot(*(left - right).T))


def test_an_image_without_its_normaliser_has_no_nme():
    pred, truth = faces(1, images=3)
    truth[0, 36] = np.nan
    truth[1, 45] = truth[1, 36]
    assert np.isnan(nme_per_image(pred, truth, OCULAR)).tolist() == [True, True, False]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_prediction_that_is_not_finite_is_an_error_not_a_gap(bad):
    pred, truth = faces(1)
    pred[2, 30, 1] = bad
    with pytest.raises(InputError, match="not finite"):
        nme_per_image(pred, truth, OCULAR)
    truth[2, 30] = np.nan
    assert np.isfinite(nme_per_image(pred, truth, OCULAR)).all()


def test_shapes_are_checked():
    for pred, truth in (((2, 5, 2), (2, 4, 2)), ((5, 2), (5, 2)), ((2, 5, 3), (2, 5, 3))):
        with pytest.raises(InputError, match=r"must both be \[N,K,2\]"):
            radial_errors(np.zeros(pred), np.zeros(truth))


@many
@given(seeds, st.sampled_from([WRIST, WRIST_1_5]), st.sampled_from([0.0, 0.3]))
def test_mm_are_the_equation_for_both_wrists(seed, rule, missing):
    pred, truth = faces(seed, points=37, missing=missing)
    slow = oracle.wrist_mm(pred, truth, rule.a[0], rule.b[0])
    errors = radial_errors_mm(pred, truth, rule)
    assert mre_mm(errors) == pytest.approx(sum(slow) / len(slow))
    for radius, rate in sdr(errors).items():
        assert rate == pytest.approx(sum(1 for e in slow if e <= radius) / len(slow))


@given(seeds)
def test_a_shift_by_the_wrist_itself_is_50_mm(seed):
    _, truth = faces(seed, images=1, points=37)
    shifted = truth + (truth[:, 4] - truth[:, 0])[:, None]
    assert mre_mm(radial_errors_mm(shifted, truth, WRIST)) == pytest.approx(50)


def test_the_two_wrist_pairs_are_those_of_the_specification():
    assert (WRIST.a, WRIST.b, WRIST_1_5.a, WRIST_1_5.b) == ((0,), (4,), (1,), (5,))
    assert normaliser_of(HAND37, "wrist width 1-5") == WRIST_1_5
    assert normaliser_of(HAND37) == WRIST


def test_normalisers_are_chosen_by_name():
    assert normaliser_of(IBUG68) == normaliser_of(IBUG68, "inter-ocular") == OCULAR
    assert normaliser_of(IBUG68, "inter-pupil") == INTER_PUPIL
    with pytest.raises(InputError, match="choose one of inter-ocular, inter-pupil"):
        normaliser_of(IBUG68, "face")
    with pytest.raises(InputError, match="has no normaliser 'inter-pupil'"):
        normaliser_of(load_schema("wflw98"), "inter-pupil")
    with pytest.raises(InputError, match="no length in mm"):
        radial_errors_mm(*faces(0), OCULAR)


def test_the_51_points_are_all_but_the_jaw():
    jaw = {i for i, name in enumerate(IBUG68.names) if name.startswith("jaw")}
    assert set(INNER_51) == set(range(68)) - jaw
    assert len(INNER_51) == 51


def test_sdr_counts_the_border_and_nothing_measured_is_an_error():
    assert sdr(np.array([[2.0, 2.5, np.nan, 11]]), (2.0, 4.0)) == {2.0: 1 / 3, 4.0: 2 / 3}
    for empty in (np.array([]), np.array([np.nan])):
        with pytest.raises(InputError, match="no image is left"):
            failure_rate(empty)


def test_mean_of_seen_skips_nan_without_a_warning():
    values = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, 5.0]])
    np.testing.assert_array_equal(mean_of_seen(values, axis=1), [1, np.nan, 4])


@pytest.mark.data
def test_the_wrist_pairs_differ_as_the_specification_measured(shared_data):
    """Section 2: over the 910 label rows 0-4 is 1.08 times 1-5 on average, 0.96 to 1.51 per image."""
    rows = np.loadtxt(shared_data / "hand37" / "annotations_all.csv", delimiter=",", usecols=range(1, 75))
    truth = rows.reshape(len(rows), 37, 2)
    ratio = normalising_px(truth, WRIST) / normalising_px(truth, WRIST_1_5)
    assert (len(rows), round(float(ratio.mean()), 2)) == (910, 1.08)
    assert (round(float(ratio.min()), 2), round(float(ratio.max()), 2)) == (0.96, 1.51)
