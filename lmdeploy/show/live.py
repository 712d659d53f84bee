"""The live view in the browser, for `predict --show` and for a loop of one's own."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence

from lmdeploy.schema import LandmarkSchema
from lmdeploy.show.board import Board
from lmdeploy.show.server import LiveServer
from lmdeploy.types import U8, Landmarks
from lmdeploy.video.draw import draw_faces
from lmdeploy.video.frame import Frame

LOOK_S = 0.2  # how soon a wait sees a Ctrl-C on every system


class Show:
    """A page on this machine with the newest picture, its faces, their ids, the frame rate and the frame's age.

        with landmarker.stream(0) as stream, Show(landmarker.spec.landmarks, browser=True) as show:
            for seen in stream:
                show.write(seen.frame, seen.faces)
                if show.stopped:
                    break

    Of a stream viewers get the newest picture, of still images (Frame.time_ms is None) they page through the last
    ones. Any number of viewers may come and go; `write` never waits for them. Nothing leaves this machine. One view
    a source.

    Args:
        schema: how landmarks are joined by lines.
        title: of the page.
        browser: open `address` in the user's browser, where there is a screen.
        on_stop: called, from another thread, when a viewer presses Stop.
    """

    drawn = False

    def __init__(
        self,
        schema: LandmarkSchema,
        *,
        title: str = "landmarks",
        browser: bool = False,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        """Take a free port of this machine and begin to serve."""
        self._stop, self._on_stop = threading.Event(), on_stop
        self._finite = False
        self._board = Board(lambda image, faces: draw_faces(image, faces, schema))
        self._server = LiveServer(self._board, title, self._end)
        self._opener: threading.Thread | None = None
        if browser and has_screen():
            # In a thread, for some browsers are waited for
            self._opener = threading.Thread(
                target=webbrowser.open, args=(self.address,), name="show-open", daemon=True
            )
            self._opener.start()

    @property
    def address(self) -> str:
        """Of the page; whoever knows it, on this machine, sees the pictures."""
        return self._server.address

    @property
    def stopped(self) -> bool:
        """A viewer has pressed Stop."""
        return self._stop.is_set()

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None = None) -> None:
        """Show a frame, whose pixels must not be changed any more, with its faces (frame px).

        picture: not used, for viewers' threads draw; writers are given u8[H,W,3] RGB here.
        """
        self._finite = frame.at is None
        self._board.put(frame, faces)

    def finish(self) -> None:
        """No picture will follow; those that are there can still be looked at."""
        self._board.finish()

    def wait(self) -> None:
        """After `finish`: until a viewer presses Stop or Ctrl-C comes; not at all after a camera's pictures."""
        try:
            while self._finite and not self._stop.wait(LOOK_S):
                pass
        except KeyboardInterrupt:  # the work is done: it only ends the looking
            pass

    def close(self) -> None:
        """End all connections and threads; a second call does nothing."""
        self._server.close()
        if self._opener is not None:
            self._opener.join(timeout=10.0)

    def __enter__(self) -> Show:
        """The view itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _end(self) -> None:
        self._stop.set()
        if self._on_stop is not None:
            self._on_stop()


def has_screen() -> bool:
    """Whether a window of this process would be seen: not over SSH, and on Linux only with a display."""
    if sys.platform in ("win32", "darwin"):
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
