"""Graphs exported here have the operators that their goldens say, so that the goldens speak of today's exports."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="exports need torch")

from export.half import to_half
from export.surgery import operate
from tests.tensorrt_kit import graphs
from tests.tensorrt_kit.operators import clips_after_products, summarise
from tests.tensorrt_kit.restrictions import problems


def compare(name: str) -> None:
    """Write the golden again with `python -m tests.tensorrt_kit.graphs NAME` when a network has changed on purpose."""
    content = graphs.export(name)
    assert summarise(content) == graphs.golden(name)
    whole = operate(content)
    for file in (content, whole, to_half(whole)):
        assert name in graphs.NOT_TAKEN or problems(summarise(file)) == []
        assert clips_after_products(file) == []


@pytest.mark.parametrize("name", graphs.QUICK)
def test_quick_exports(name: str) -> None:
    compare(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", graphs.SLOW)
def test_slow_exports(name: str) -> None:
    compare(name)
