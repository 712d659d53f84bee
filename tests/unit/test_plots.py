"""Pictures of an evaluation, looked at by their pixels."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from lmdeploy.boxes import boxes_for
from lmdeploy.dataset import read_labelled
from lmdeploy.errors import InputError, MissingExtraError
from lmdeploy.evaluate import measure
from lmdeploy.images import read_image
from lmdeploy.outcome import predict_samples
from lmdeploy.plots import COLUMNS, PREDICTED_COLOUR, TRUE_COLOUR, WORST, ced_figure, worst_figure, write_plots
from lmdeploy.schema import load_schema
from tests.data_folder import random_points, write_labelled
from tests.fake_model import constant, fake_model


@pytest.fixture
def outcome(tmp_path):
    folder = write_labelled(tmp_path / "set", random_points(15))
    model = fake_model(constant(np.full((68, 2), 64.0, np.float32)))
    return predict_samples(model, boxes_for(read_labelled(folder, load_schema("ibug68")), "gt"))


def test_two_pictures_are_written(outcome, tmp_path):
    paths = write_plots(outcome, measure(outcome), tmp_path / "new" / "plots")
    assert [path.name for path in paths] == ["ced.png", "worst.png"]
    assert sorted(path.name for path in (tmp_path / "new" / "plots").iterdir()) == ["ced.png", "worst.png"]
    for path in paths:
        assert read_image(path).std() > 10


def test_true_and_predicted_points_are_drawn_in_their_colours(outcome, tmp_path):
    _, worst = write_plots(outcome, measure(outcome), tmp_path)
    pixels = read_image(worst).reshape(-1, 3).astype(int)
    for colour in (TRUE_COLOUR, PREDICTED_COLOUR):
        wanted = np.round(255 * np.array(to_rgb(colour))).astype(int)
        assert (np.abs(pixels - wanted).max(axis=1) <= 2).sum() > 50


def test_the_worst_cases_come_first_and_the_points_lie_on_their_crop(outcome):
    nme = np.linspace(0.5, 0.01, 15)[np.random.default_rng(0).permutation(15)]
    nme[4] = np.nan
    figure = worst_figure(outcome, nme, measure(outcome))
    titles = [axes.get_title() for axes in figure.axes]
    worst = np.argsort(-np.nan_to_num(nme))[:WORST]
    assert titles == [f"{100 * nme[i]:.1f} %  im{i:03d}.jpg" for i in worst]
    assert len(figure.axes) == 3 * COLUMNS
    drawn = figure.axes[0].lines[0].get_xydata()
    np.testing.assert_allclose(drawn, outcome.to_crop(outcome.truth_image)[worst[0]], atol=1e-4)
    assert np.array_equal(np.asarray(figure.axes[0].images[0].get_array()), outcome.crop(int(worst[0])))


def test_the_curve_is_the_cumulative_distribution(outcome):
    result = measure(outcome)
    nme = np.array([0.02, 0.05, 0.05, 0.3])
    axes = ced_figure(nme, result).axes[0]
    x, y = axes.lines[0].get_data()
    for at, share in ((1.9, 0), (2.01, 25), (5.1, 75), (15, 75)):
        assert np.interp(at, x, y) == pytest.approx(share, abs=0.5)
    for said in ("inter-ocular", "image frame"):
        assert said in axes.get_xlabel()
    for said in ("15 images", "boxes: gt", "AUC"):
        assert said in axes.get_title()


def test_without_matplotlib_the_install_command_is_named(outcome, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'landmark-deploy\[plots\]'"):
        write_plots(outcome, measure(outcome), tmp_path / "plots")
    assert not (tmp_path / "plots").exists()


def test_a_folder_that_cannot_be_made_is_named(outcome, tmp_path):
    (tmp_path / "plots").write_bytes(b"a file")
    with pytest.raises(InputError, match="cannot be written"):
        write_plots(outcome, measure(outcome), tmp_path / "plots")
