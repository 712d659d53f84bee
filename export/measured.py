"""Figures of `lmdeploy evaluate --json` as the bundle records them."""

from __future__ import annotations

import json
from pathlib import Path

from lmdeploy.bundle import Measured
from lmdeploy.errors import InputError

TITLES = {
    "nme": ("NME", "%"),
    "nme_51": ("NME of the 51 inner points", "%"),
    "fr": ("FR at 10 %", "%"),
    "auc": ("AUC at 10 %", ""),
}


def read_measured(files: tuple[Path, ...]) -> tuple[Measured, ...]:
    """Each file's NME, FR and AUC; the file's stem is the name of the test set."""
    return tuple(figure for file in files for figure in _figures(file))


def _figures(file: Path) -> list[Measured]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        about = {key: value[key] for key in ("images", "normaliser", "frame", "boxes")}
        return [
            Measured(metric=title, value=value[key], unit=unit, test_set=file.stem, **about)
            for key, (title, unit) in TITLES.items()
            if value.get(key) is not None
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: not a result of 'lmdeploy evaluate --json' ({error})") from error
