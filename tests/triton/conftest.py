"""Where the real server is: the environment that `make triton-test` makes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.triton.kit import Wheel

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def wheel() -> Wheel:
    """The environment named by TRITON_VENV, else .venv-triton; tests are skipped where there is none."""
    environment = Path(os.environ.get("TRITON_VENV", ".venv-triton"))
    environment = environment if environment.is_absolute() else ROOT / environment
    if not (environment / "bin" / "python").is_file():
        pytest.skip(f"no environment with nvidia-pytriton at {environment}: make triton-test")
    return Wheel.of(environment)
