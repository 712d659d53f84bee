"""A network of several data sets with all branches dropped but one (SepBN, IV, second stage)."""

from __future__ import annotations

from lmdeploy.errors import InputError
from lmdeploy.parts import Part
from training.models import Network, branches, build, heatmap

HEADS = ("branches", "main", "aux")  # what belongs to a data set; everything else is shared


def narrow(network: Network, parts: tuple[Part, ...], label: str) -> Network:
    """A new network for the part of that label, with the shared weights and that part's own.

    A network with branches keeps one of them; a heatmap network keeps the rows of its heads that give the part's maps.
    """
    index = [part.label for part in parts].index(label)
    part = parts[index]
    points = (part.landmarks.points,)
    small = build(network.cfg.for_parts(points).model_copy(update={"pretrained": False}), points[0])
    given = network.state_dict()
    if isinstance(network, branches.Branches):
        given = {name.replace(f"branches.{index}.", "branches.0.", 1): value for name, value in given.items()
                 if not name.startswith("branches.") or name.startswith(f"branches.{index}.")}  # fmt: skip
    elif isinstance(network, heatmap.Heatmap):
        kept = small.state_dict()
        given = {n: value if value.shape == kept[n].shape else value[part.rows] for n, value in given.items()}
    else:
        raise InputError(f"a {network.cfg.kind} network has no branches to drop")
    small.load_state_dict(given)
    return small.train(network.training)


def shared(network: Network) -> tuple[str, ...]:
    """Beginnings of the names of the weights that all data sets share."""
    return tuple(f"{name}." for name, _ in network.named_children() if name not in HEADS)
