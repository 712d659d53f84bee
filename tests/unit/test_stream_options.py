"""Landmarker.stream: options that make no sense, and a detector that is no detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.stamped_faces import StampDetector
from lmdeploy.errors import InputError
from lmdeploy.landmarker import Landmarker
from lmdeploy.model import Model, open_model
from tests.recorded_source import Recorded
from tests.tiny_bundle import make_tiny_bundle


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return open_model(make_tiny_bundle(tmp_path / "tiny").path, threads=1)


class _Whole(StampDetector):
    name = "whole_image"


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"max_faces": 0}, "max_faces = 0: input should be greater than or equal to 1"),
        ({"detect_every": "often"}, "detect_every = 'often': input should be a valid integer"),
        ({"min_score": 1.5}, "min_score = 1.5: input should be less than or equal to 1"),
        ({"detect_evry": 3}, "detect_evry = 3: extra inputs are not permitted"),
        ({"pose": True}, "no head pose from landmarks of schema blobs3"),
        ({"give_up_s": -1.0}, "give_up_s = -1.0: input should be greater than or equal to 0"),
    ],
)
def test_an_option_without_sense_is_one_sentence(model: Model, option: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Landmarker(model, StampDetector).stream("rtsp://localhost:1/nothing", **option)


def test_whole_image_detector_is_not_tracked(model: Model) -> None:
    landmarker = Landmarker(model, _Whole)
    stream = landmarker.stream(Recorded(0, 3))
    assert [face.track for seen in stream for face in seen.faces] == [-1] * 3
