"""benchmarks/engines_agree.py: distance and loss are those of an engine that is off by a known number of px."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import engines_agree
from benchmarks.pairs import Plan
from lmdeploy.model import open_model
from tests.data_folder import random_points, write_labelled
from tests.tiny_bundle import make_tiny_bundle

OFF = np.float32([0.3, -0.4])  # half a pixel of the crop


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A bundle and a folder; the engine that `auto` takes gives points that are half a pixel off."""
    bundle = make_tiny_bundle(tmp_path / "tiny")
    count = bundle.spec.landmarks.points
    data = write_labelled(tmp_path / "data", random_points(45, points=count))

    def opened(model: str, *, device: str, backend: str) -> Any:
        found = open_model(model, device="cpu", backend="onnxruntime", threads=1)
        if backend == "auto":
            run = found.backend.run

            def moved(crops: Any) -> Any:
                prediction = run(crops)
                return replace(prediction, points=prediction.points + OFF)

            monkeypatch.setattr(found.backend, "run", moved)
            found.backend.provider = "off"
        return found

    monkeypatch.setattr(engines_agree, "open_model", opened)
    monkeypatch.setattr(engines_agree, "QUICK", Plan(pairs=3, block_s=0.01))
    return [f"small={tmp_path / 'tiny'}", "--data", str(data)]


def test_distance_is_that_of_the_engines_in_crop_px(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    sys.argv = ["engines_agree", *given, "--quick"]
    engines_agree.main()
    lines = dict(line.removeprefix("figure: ").split("=") for line in capsys.readouterr().out.splitlines())
    assert set(lines) == {"nme_loss_small", "distance_p99_small", "distance_max_small", "speedup_small"}
    assert float(lines["distance_p99_small"]) == pytest.approx(0.5, abs=1e-3)
    assert float(lines["distance_max_small"]) == pytest.approx(0.5, abs=1e-3)


def test_quick_takes_the_first_images_and_the_loss_is_a_difference(given: list[str]) -> None:
    bundle, data = given[0].partition("=")[2], Path(given[2])
    quick, full = (engines_agree.agreement(bundle, data, most) for most in (engines_agree.IN_QUICK, None))
    assert (quick["images"], full["images"]) == (40, 45)
    assert full["nme_loss"] == full["nme"]["off"] - full["nme"]["CPUExecutionProvider"] != 0


def test_with_its_weights_a_bundle_is_timed_beside_pytorch() -> None:
    found = engines_agree.speed("face68", Plan(pairs=3, block_s=0.02))
    ways = found["ways"]
    assert set(ways) == {"best", "onnxruntime", "eager"}
    for figure, way in (("speedup", "onnxruntime"), ("speedup_eager", "eager")):
        each = np.array(ways[way]["pairs_ms"]) / np.array(ways["best"]["pairs_ms"])
        assert found[figure] == pytest.approx(np.median(each))
