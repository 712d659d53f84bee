"""The One-Euro filter's parameters from the command line and the API to the filter, with the same defaults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

import lmdeploy
from benchmarks.stamped_faces import StampDetector
from lmdeploy import predict as library
from lmdeploy.commands.predict import predict
from lmdeploy.landmarker import Landmarker
from lmdeploy.model import open_model
from lmdeploy.predict import PredictOptions
from lmdeploy.video.follow import FollowOptions
from lmdeploy.video.pipeline import Summary
from lmdeploy.video.smooth import OneEuroConfig
from tests.blob_video import Made
from tests.oracles.one_euro import one_euro_1d
from tests.tiny_bundle import make_tiny_bundle


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> list[PredictOptions]:
    """What the command hands to the library."""
    taken: list[PredictOptions] = []

    def note(options: PredictOptions, *_: object) -> Summary:
        taken.append(options)
        return Summary()

    monkeypatch.setattr(library, "predict_source", note)
    return taken


def test_command_and_library_have_the_filter_s_defaults(options: list[PredictOptions]) -> None:
    assert CliRunner().invoke(predict, ["clip.mp4"]).exit_code == 0
    assert options == [PredictOptions(source="clip.mp4")]
    default = OneEuroConfig()
    values = (options[0].smooth_cutoff, options[0].smooth_beta, options[0].smooth_speed_cutoff)
    assert values == (default.min_cutoff, default.beta, default.d_cutoff)


def test_command_s_parameters_reach_the_filter(options: list[PredictOptions]) -> None:
    words = ["c.mp4", "--smooth-cutoff", "0.5", "--smooth-beta", "0", "--smooth-speed-cutoff", "4"]
    assert CliRunner().invoke(predict, words).exit_code == 0
    smoother = library._follow_options(options[0]).following(Made(1)).smoother
    assert smoother is not None
    assert smoother._config == OneEuroConfig(min_cutoff=0.5, beta=0, d_cutoff=4)
    assert library._follow_options(PredictOptions(source="c.mp4", smooth=False)).following(Made(1)).smoother is None


@pytest.mark.parametrize("words", [("--smooth-cutoff", "0"), ("--smooth-beta", "-1"), ("--smooth-speed-cutoff", "0")])
def test_impossible_parameters_are_refused(words: tuple[str, str]) -> None:
    answer = CliRunner().invoke(predict, ["clip.mp4", *words])
    assert answer.exit_code == 2
    assert words[0] in answer.output


def test_stream_smooths_as_hard_as_it_is_told(tmp_path: Path) -> None:
    """The points of a stream are the slow loop's, coordinate by coordinate, where beta is 0."""
    model = open_model(make_tiny_bundle(tmp_path / "tiny").path, threads=1)
    landmarker = Landmarker(model, lambda: _Middle())
    with landmarker.stream(Made(12), smooth=lmdeploy.OneEuroConfig(min_cutoff=0.7, beta=0)) as stream:
        faces = [seen.faces[0] for seen in stream]
    times = [(face.time_ms or 0) / 1e3 for face in faces]
    for point, axis in ((0, 0), (1, 1), (2, 0)):
        raw = [float(face.points_raw[point, axis]) for face in faces]
        wanted = one_euro_1d(raw, times, 0.7, 0.0, 2.5)
        np.testing.assert_allclose([face.points[point, axis] for face in faces], wanted, rtol=1e-5)


def test_smoothing_is_on_off_or_told() -> None:
    assert FollowOptions(smooth=OneEuroConfig(beta=3)).following(Made(1)).smoother is not None
    assert FollowOptions(smooth=False).following(Made(1)).smoother is None
    with pytest.raises(ValidationError):
        FollowOptions(smooth="hard")  # type: ignore[arg-type]  # that is the point


class _Middle(StampDetector):
    """Made's faces are in the middle."""

    def detect(self, image: np.ndarray) -> list[lmdeploy.Box]:  # type: ignore[override]  # any picture will do
        height, width = image.shape[:2]
        return [lmdeploy.Box(width * 0.25, height * 0.25, width * 0.75, height * 0.75)]
