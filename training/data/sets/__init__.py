"""The published data sets: one file each, all read from the user's own copy in the official layout."""

from __future__ import annotations

from training.data.sets.base import DataSet

SETS: dict[str, DataSet] = {}
