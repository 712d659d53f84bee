"""What an entry of METHODS holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from training.models import Network


class Method(NamedTuple):
    """config: the method's frozen options. train(config, trainer, labelled, unlabelled) -> the final network.

    unlabelled: it needs unlabelled images. exempt: properties that every method keeps but this one, by the name of
    the property's test, each with its reason. networks: the kinds of network that it can train. unless: an option
    that, where it is set, stands for what the unlabelled images are needed for. several: it trains on several
    data sets, each with a landmark schema.
    """

    config: type[BaseModel]
    train: Callable[[Any, Any, Any, Any], Network]
    unlabelled: bool = True
    exempt: Mapping[str, str] = {}
    networks: tuple[str, ...] = ("heatmap", "transformer", "regression")
    several: bool = False
    unless: str = ""

    def needs_unlabelled(self, options: Mapping[str, Any]) -> bool:
        """Whether it cannot do without unlabelled images under these options."""
        return self.unlabelled and not options.get(self.unless)
