"""What several of these files need."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_bundle import make_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle, which no test changes."""
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny").path
