"""Confidence of a pseudo-labelled image: the mean over its landmarks of the heatmap's peak (methods spec 4).

A true label's map has peak 1. A coordinate model gives no peak: the agreement of its two heads says nothing here,
because self-training without an auxiliary loss never trains the second head. STLD names this as the reason why
selection does not work with such models (III-B), so the methods that select refuse them.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from lmdeploy.errors import InputError
from lmdeploy.types import F64
from training.codec import CODECS
from training.data.crops import Crops
from training.engine.trainer import Trainer


def needs_peaks(trainer: Trainer, method: str) -> None:
    """Refuse to select by the score of a network without maps.

    Raises:
        InputError: the run's codec is not one of heatmaps.
    """
    codec = trainer.settings.spec.codec
    if not CODECS[codec].maps:
        raise InputError(
            f"{method} selects pseudo-labels by the heatmap's peak, and a network with codec {codec!r} has none: take "
            "a heatmap network, or a method that selects nothing (stld, naive, linear_warmup)"
        )


def of_images(crops: Crops) -> F64:
    """Confidence f64[N] in [0, 1] of crops with predicted labels."""
    if crops.score is None:
        raise InputError("these labels carry no score: they were not predicted by a network")
    return cast(F64, crops.score.astype(np.float64).mean(axis=1))
