"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data beside the checkout; the test is skipped where it is missing."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not (folder / "README.md").is_file():
        pytest.skip("the real data (../shared/data) is not beside this checkout")
    return folder
