"""Latency histogram: quantiles right to 1 %, memory independent of the number of calls."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy.video.latency import BINS, Latencies


@pytest.mark.parametrize("scale", [0.02, 3.0, 900.0])
def test_quantiles_agree_with_numpy(scale: float) -> None:
    values = np.random.default_rng(0).lognormal(0, 0.7, 5000) * scale
    latencies = Latencies()
    for value in values:
        latencies.add("network", float(value))
    found = latencies.summary()["network"]
    assert found.calls == 5000
    assert found.median_ms == pytest.approx(np.median(values), rel=0.015)
    assert found.p99_ms == pytest.approx(np.quantile(values, 0.99), rel=0.03)


def test_single_call_is_its_own_median_and_p99() -> None:
    latencies = Latencies()
    latencies.add("read", 5.0)
    found = latencies.summary()["read"]
    assert found.median_ms == pytest.approx(5.0, rel=0.011)
    assert found.p99_ms == found.median_ms


def test_extremes_are_counted_in_the_outer_bins() -> None:
    latencies = Latencies()
    for value in (0.0, 1e-9, 1e9):
        latencies.add("x", value)
    assert latencies.summary()["x"].calls == 3


def test_memory_is_bounded() -> None:
    latencies = Latencies()
    for value in range(1, 3000):
        latencies.add("x", float(value))
    (counts,) = latencies._counts.values()
    assert counts.shape == (BINS,)


def test_stages_keep_their_order() -> None:
    latencies = Latencies()
    for stage in ("crop", "network", "crop", "write"):
        latencies.add(stage, 1.0)
    assert list(latencies.summary()) == ["crop", "network", "write"]
