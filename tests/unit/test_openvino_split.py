"""Where OpenVINO's two models meet: maps cross with their channels last, which changes no number."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy.bundle import read_bundle

openvino = pytest.importorskip("openvino", reason="OpenVINO is an extra")
from lmdeploy.backends import openvino_split  # noqa: E402 - not without openvino
from lmdeploy.backends.openvino import OpenVINOBackend, has_bf16, the_core  # noqa: E402 - not without openvino

pytestmark = pytest.mark.skipif(not has_bf16(the_core()), reason="this processor does not compute in bf16")


def crossing(backend: OpenVINOBackend) -> list[int]:
    """Shape of the one tensor that leaves the body, of a single crop."""
    (output,) = backend.single[0].outputs
    return list(output.get_partial_shape().to_shape())


def test_maps_cross_with_channels_last_to_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    model = read_bundle("face68").file("model.onnx")
    ours = OpenVINOBackend(model, 1, "bf16")
    monkeypatch.setattr(openvino_split, "_is_map", lambda output: False)
    plain = OpenVINOBackend(model, 1, "bf16")
    _, height, width, channels = crossing(ours)
    assert crossing(plain) == [1, channels, height, width]
    assert height == width < channels
    for count in (1, 3):
        crops = np.random.default_rng(0).integers(0, 256, (count, ours.size, ours.size, 3), np.uint8)
        found, wanted = ours.run(crops), plain.run(crops)
        for name in ("points", "score", "spread"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
