"""A recipe file of 32 px crops and a network of a few thousand weights, for tests that call the command."""

from __future__ import annotations

from typing import Any

from training.toml_text import toml_text

NETWORK = {"backbone_options": {"channels": [8, 8, 8, 8], "stem_type": "deep", "stem_width": 8}, "channels": 8}


def tiny_recipe_text(method: str, *, batch: int, lr: float | None = None, **options: Any) -> str:
    """TOML of a run of `method` with these options and no step decay; lr None leaves the default."""
    schedule = {"batch": batch, "lr": lr}
    tables = {"network": NETWORK, "crop": {"size": 32}, "schedule": schedule, "options": {"decay_at": [], **options}}
    return toml_text({"method": method, **tables})
