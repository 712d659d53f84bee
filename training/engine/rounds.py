"""Test figures of a run's rounds, as the run folder keeps them (rounds/NAME.json)."""

from __future__ import annotations

import json
from pathlib import Path

SHOWN = ("nme", "nme_51", "auc", "fr", "mre_mm")


def figures(run: Path, name: str) -> dict[str, float]:
    """The round's test figures that are single numbers; none where the run has no test folder."""
    file = run / "rounds" / f"{name}.json"
    if not file.is_file():
        return {}
    found = json.loads(file.read_text(encoding="utf-8"))
    return {key: float(found[key]) for key in SHOWN if found.get(key) is not None}
