"""Networks: a main and an auxiliary head each; the config's `kind` chooses."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import Discriminator, Tag
from torch import nn

from training.models import (
    branches,
    comm_mt,
    cpm,
    heatmap,
    heatmap_mt,
    hourglass,
    hybrid,
    pipnet,
    rcn,
    regression,
    scaf,
    seq_mt,
    students,
    transformer,
)
from training.models.base import Network, NetworkOptions


class Kind(NamedTuple):
    """A kind of network: config, and what builds the network from (config, K)."""

    config: type[NetworkOptions]
    network: type[Network]


KINDS: dict[str, Kind] = {
    "branches": Kind(branches.Config, branches.Branches),
    "comm_mt": Kind(comm_mt.Config, comm_mt.CommMT),
    "cpm": Kind(cpm.Config, cpm.Cpm),
    "fabrec": Kind(scaf.FabRecConfig, scaf.Scaf),
    "heatmap": Kind(heatmap.Config, heatmap.Heatmap),
    "heatmap_mt": Kind(heatmap_mt.Config, heatmap_mt.HeatmapMT),
    "hourglass": Kind(hourglass.Config, hourglass.StackedHourglass),
    "hybrid": Kind(hybrid.Config, hybrid.Hybrid),
    "pipnet": Kind(pipnet.Config, pipnet.PipNet),
    "rcn": Kind(rcn.Config, rcn.RCN),
    "regression": Kind(regression.Config, regression.Regression),
    "scaf": Kind(scaf.ScafConfig, scaf.Scaf),
    "seq_mt": Kind(seq_mt.Config, seq_mt.SeqMT),
    "ts3": Kind(students.Config, students.Students),
    "transformer": Kind(transformer.Config, transformer.Transformer),
}


def _kind(value: Any) -> str:
    """Checkpoints older than the second model do not say `kind`."""
    return str(value.get("kind", "heatmap")) if isinstance(value, dict) else str(value.kind)


NetworkConfig = Annotated[
    Annotated[heatmap.Config, Tag("heatmap")]
    | Annotated[transformer.Config, Tag("transformer")]
    | Annotated[pipnet.Config, Tag("pipnet")]
    | Annotated[hybrid.Config, Tag("hybrid")]
    | Annotated[cpm.Config, Tag("cpm")]
    | Annotated[regression.Config, Tag("regression")]
    | Annotated[hourglass.Config, Tag("hourglass")]
    | Annotated[students.Config, Tag("ts3")]
    | Annotated[scaf.FabRecConfig, Tag("fabrec")]
    | Annotated[scaf.ScafConfig, Tag("scaf")]
    | Annotated[comm_mt.Config, Tag("comm_mt")]
    | Annotated[heatmap_mt.Config, Tag("heatmap_mt")]
    | Annotated[seq_mt.Config, Tag("seq_mt")]
    | Annotated[branches.Config, Tag("branches")]
    | Annotated[rcn.Config, Tag("rcn")],
    Discriminator(_kind),
]


def build(cfg: NetworkOptions, landmarks: int) -> Network:
    """The network that a config describes, for K = `landmarks` points."""
    return KINDS[cfg.kind].network(cfg, landmarks)


def count_parameters(net: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


__all__ = ["KINDS", "Kind", "Network", "NetworkConfig", "NetworkOptions", "build", "count_parameters"]
