"""Networks: a main and an auxiliary head each; the config's `kind` chooses."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import Discriminator, Tag
from torch import nn

from training.models import heatmap, hybrid, pipnet, transformer
from training.models.base import Network, NetworkOptions


class Kind(NamedTuple):
    """A kind of network: config, and what builds the network from (config, K)."""

    config: type[NetworkOptions]
    network: type[Network]


KINDS: dict[str, Kind] = {
    "heatmap": Kind(heatmap.Config, heatmap.Heatmap),
    "hybrid": Kind(hybrid.Config, hybrid.Hybrid),
    "pipnet": Kind(pipnet.Config, pipnet.PipNet),
    "transformer": Kind(transformer.Config, transformer.Transformer),
}


def _kind(value: Any) -> str:
    """Checkpoints older than the second model do not say `kind`."""
    return str(value.get("kind", "heatmap")) if isinstance(value, dict) else str(value.kind)


NetworkConfig = Annotated[
    Annotated[heatmap.Config, Tag("heatmap")]
    | Annotated[transformer.Config, Tag("transformer")]
    | Annotated[pipnet.Config, Tag("pipnet")]
    | Annotated[hybrid.Config, Tag("hybrid")],
    Discriminator(_kind),
]


def build(cfg: NetworkOptions, landmarks: int) -> Network:
    """The network that a config describes, for K = `landmarks` points."""
    return KINDS[cfg.kind].network(cfg, landmarks)


def count_parameters(net: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


__all__ = ["KINDS", "Kind", "Network", "NetworkConfig", "NetworkOptions", "build", "count_parameters"]
