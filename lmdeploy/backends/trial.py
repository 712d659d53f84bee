"""A network is run once when it is opened: one that gives no numbers is refused before it is given pictures."""

from __future__ import annotations

import numpy as np

from lmdeploy.backends.base import Engine
from lmdeploy.errors import BundleError


def try_out(engine: Engine, origin: str) -> None:
    """BundleError unless one plain crop gets points, score and spread in their shapes, points and score finite.

    It costs what the first picture costs, which is the faster for it.
    """
    ramp = np.linspace(0, 255, engine.size).astype(np.uint8)
    found = engine.run(np.ascontiguousarray(np.broadcast_to(ramp[None, :, None, None], (1, *[engine.size] * 2, 3))))
    shapes = (found.points.shape, found.score.shape, found.spread.shape)
    one = (1, engine.points)
    if shapes != ((*one, 2), one, one):
        raise BundleError(f"{origin}: the network gives outputs of shapes {shapes}; export the model again")
    if not (np.isfinite(found.points).all() and np.isfinite(found.score).all()):
        raise BundleError(f"{origin}: the network gives no finite points; its weights are broken: export it again")
