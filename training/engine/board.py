"""TensorBoard files of a run: one TensorBoard run per stage, so that stages lie over each other in one chart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lmdeploy.types import U8

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Board:
    """Writes below `folder`: STAGE/ with its scalars by epoch, rounds/ with test figures, pseudo/ROUND/ pictures."""

    def __init__(self, folder: Path) -> None:
        """Write nothing yet."""
        self._folder = folder
        self._open: tuple[str, SummaryWriter] | None = None

    def scalars(self, stage: str, step: int, values: dict[str, float]) -> None:
        """A point on each curve; whatever a killed run wrote of the stage from this step on is left out of view."""
        writer = self._writer(stage, step)
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    def picture(self, name: str, image: U8) -> None:
        """A picture u8[H,W,3] RGB, in a TensorBoard run of its own."""
        self._writer(name, 0).add_image("preview", image, 0, dataformats="HWC")
        self.close()

    def close(self) -> None:
        """Bring everything to the disk; the next call opens a further file."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _writer(self, name: str, step: int) -> SummaryWriter:
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and only the first process writes

        if self._open is None or self._open[0] != name:
            self.close()
            self._open = (name, SummaryWriter(str(self._folder / name), purge_step=step))
        return self._open[1]
