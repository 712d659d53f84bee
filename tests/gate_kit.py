"""Planted errors for tests of the gate: who is on the images, and candidates that are truly better or worse."""

from __future__ import annotations

import numpy as np

from lmdeploy.site.gate import GateRule
from lmdeploy.types import F64

RULE = GateRule(resamples=2000)


def people(images: int, each: int = 1) -> list[str]:
    """Identities of the images, `each` images a person."""
    return [f"p{i // each:03d}" for i in range(images)]


def errors(rng: np.random.Generator, images: int, shift: float = 0.0, noise: float = 1.0) -> tuple[F64, F64]:
    """(candidate, champion) whose true mean difference is `shift`, per cent."""
    champion = 5 + np.abs(rng.normal(0, 1.5, images))
    return champion + shift + rng.normal(0, noise, images), champion
