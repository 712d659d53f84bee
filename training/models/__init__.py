"""Networks: a main and an auxiliary head on any backbone; the config's `kind` chooses."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Tag
from torch import nn

from training.models import heatmap, hybrid, pipnet, transformer
from training.models.heatmap import Heatmap
from training.models.hybrid import Hybrid
from training.models.pipnet import PipNet
from training.models.transformer import Transformer

Network = Heatmap | Transformer | PipNet | Hybrid
"""forward(x) -> (main, aux); predict(x) -> main alone."""


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
CONFIGS: dict[str, type[BaseModel]] = {
    "heatmap": heatmap.Config,
    "hybrid": hybrid.Config,
    "pipnet": pipnet.Config,
    "transformer": transformer.Config,
}


def build(cfg: NetworkConfig, landmarks: int) -> Network:
    """The network that a config describes, for K = `landmarks` points."""
    if isinstance(cfg, pipnet.Config):
        return PipNet(cfg, landmarks)
    if isinstance(cfg, hybrid.Config):
        return Hybrid(cfg, landmarks)
    return Heatmap(cfg, landmarks) if isinstance(cfg, heatmap.Config) else Transformer(cfg, landmarks)


def stride_of(cfg: NetworkConfig, size: int) -> int:
    """Crop px per unit of the output's frame: a map cell, or the whole crop for coordinates."""
    return cfg.stride if isinstance(cfg, heatmap.Config) else size


def count_parameters(net: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


__all__ = ["CONFIGS", "Network", "NetworkConfig", "build", "count_parameters", "stride_of"]
