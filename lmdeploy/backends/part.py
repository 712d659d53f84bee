"""A network of several schemas seen as one of a single schema: only that part's points come out."""

from __future__ import annotations

from collections.abc import Sequence

from lmdeploy.backends.base import Backend
from lmdeploy.backends.frames import TakesFrames
from lmdeploy.types import F64, U8, Prediction


class PartBackend:
    """Runs another backend and keeps some of its points.

    Args:
        inner: runs the whole network; closing this closes it.
        rows: which of its K points to keep.
    """

    def __init__(self, inner: Backend, rows: slice) -> None:
        """Share the network: several parts may be looked at through one session."""
        self.provider = inner.provider
        self._inner, self._rows = inner, rows

    def run(self, crops: U8) -> Prediction:
        """The part's landmarks of crops u8[B,S,S,3] RGB, in crop px."""
        return self._part(self._inner.run(crops))

    def run_frames(self, frames: Sequence[U8], index: Sequence[int], matrices: Sequence[F64]) -> Prediction | None:
        """The part's landmarks as TakesFrames says; None where the backend does not take frames."""
        found = self._inner.run_frames(frames, index, matrices) if isinstance(self._inner, TakesFrames) else None
        return None if found is None else self._part(found)

    def close(self) -> None:
        """Free the session; a second call does nothing."""
        self._inner.close()

    def _part(self, found: Prediction) -> Prediction:
        rows = self._rows
        nnm = None if found.nnm is None else found.nnm[:, rows]
        return Prediction(found.points[:, rows], found.score[:, rows], found.spread[:, rows], nnm)
