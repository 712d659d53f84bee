"""What an entry of METHODS holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import BaseModel

from training.models.heatmap import Heatmap


class Method(NamedTuple):
    """config: the method's frozen options. train(config, trainer, labelled, unlabelled) -> the final network."""

    config: type[BaseModel]
    train: Callable[[Any, Any, Any, Any], Heatmap]
