"""Window or browser, and how either hangs on a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lmdeploy.schema import LandmarkSchema
from lmdeploy.show.live import Show
from lmdeploy.show.window import Window, has_window
from lmdeploy.types import U8, Landmarks
from lmdeploy.video.frame import Frame, Stoppable
from lmdeploy.writers.base import SeenEnough


class Shown:
    """A sink that shows; the run's end does not close the view, and a viewer can end the run."""

    def __init__(self, view: Show | Window) -> None:
        """Feed an open view."""
        self._view, self.drawn = view, view.drawn

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None:
        """Show a frame; SeenEnough when the view was ended, and the frame is then nobody's."""
        if self._view.stopped:
            raise SeenEnough
        self._view.write(frame, faces, picture)

    def stop(self) -> None:
        """Ctrl-C: a window waits for no key any more."""
        if isinstance(self._view, Window):
            self._view.stop()

    def close(self) -> None:
        """Tell the viewers that this was all."""
        self._view.finish()


def open_view(schema: LandmarkSchema, source: object, title: str, tell: Callable[[str], None]) -> Show | Window:
    """A window where OpenCV has one, else the live view in the browser, whose address `tell` is told."""
    if has_window():
        tell("a window shows the results: q ends the run, a still image waits for a key")
        return Window()
    stop = source.stop if isinstance(source, Stoppable) else None
    show = Show(schema, title=title, browser=True, on_stop=stop)
    tell(f"live view, on this machine only: {show.address}  (Stop in the page or Ctrl-C ends it)")
    return show
