"""Gate errors: the definition of NME, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lmdeploy import Landmarker
from lmdeploy.dataset import read_labelled
from lmdeploy.geometry import landmark_box
from lmdeploy.images import read_image
from lmdeploy.site import measure
from lmdeploy.site.measure import gate_errors
from tests.site_kit import biased_bundle, write_folder
from tests.tiny_bundle import BLOBS3, make_tiny_bundle


def test_errors_are_nme_in_per_cent(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "b").path
    samples = read_labelled(write_folder(tmp_path / "d", range(5)), BLOBS3)
    found = gate_errors(bundle, samples, 1)
    with Landmarker.load(bundle, device="cpu") as landmarker:
        for sample, error in zip(samples, found, strict=True):
            truth = sample.points
            assert truth is not None
            points = landmarker.predict(read_image(sample.path), [landmark_box(truth)])[0].points
            wanted = np.linalg.norm(points - truth, axis=1).mean() / np.linalg.norm(truth[0] - truth[1])
            assert error == pytest.approx(100 * wanted, rel=1e-4)


def test_worse_network_has_larger_errors(tmp_path: Path) -> None:
    samples = read_labelled(write_folder(tmp_path / "d", range(8)), BLOBS3)
    good = gate_errors(make_tiny_bundle(tmp_path / "g").path, samples, 1)
    bad = gate_errors(biased_bundle(tmp_path / "b").path, samples, 1)
    assert (bad > good).all()


def test_points_that_are_not_finite_give_nan_for_that_image_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = read_labelled(write_folder(tmp_path / "d", range(4)), BLOBS3)
    bundle = make_tiny_bundle(tmp_path / "b").path
    clean, original = gate_errors(bundle, samples, 1), measure.predict_samples

    def broken(*arguments: object) -> object:
        outcome = original(*arguments)  # type: ignore[arg-type]  # passed through
        outcome.points_image[2, 1] = np.nan
        return outcome

    monkeypatch.setattr(measure, "predict_samples", broken)
    found = gate_errors(bundle, samples, 1)
    assert np.isnan(found).tolist() == [False, False, True, False]
    np.testing.assert_array_equal(found[[0, 1, 3]], clean[[0, 1, 3]])
