"""A window of OpenCV's, where its build has one: the usual headless wheel has none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lmdeploy.show.live import has_screen
from lmdeploy.types import U8, Landmarks
from lmdeploy.video.frame import Frame

NAME = "lmdeploy"
END_KEYS = (27, ord("q"))  # Esc
NONE = -1
POLL_MS = 30


def has_window() -> bool:
    """Whether OpenCV can open a window here; tried last of all, for Qt ends the process where there is no screen."""
    import cv2

    found = re.search(r"^\s*GUI:\s*(\S+)", cv2.getBuildInformation(), re.MULTILINE)
    if not has_screen() or found is None or found.group(1) == "NONE":
        return False
    try:
        cv2.namedWindow(NAME, cv2.WINDOW_NORMAL)
    except cv2.error:
        return False
    return True


class Window:
    """Streams are shown as they run; a still image stays until a key is pressed. q, Esc and closing it end the run.

    Used from the main thread, which macOS asks for.
    """

    drawn = True
    address = ""

    def __init__(self) -> None:
        """Nothing is opened before the first picture."""
        self.stopped = False
        self._seen = False

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None:
        """Show a picture u8[H,W,3] RGB."""
        import cv2

        assert picture is not None
        cv2.imshow(NAME, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self._seen = True
        key = cv2.pollKey()
        while frame.time_ms is None and key == NONE and self._is_open() and not self.stopped:
            key = cv2.waitKey(POLL_MS)
        if (key != NONE and key & 0xFF in END_KEYS) or not self._is_open():
            self.stopped = True

    def stop(self) -> None:
        """Wait for no key any more; may be called from a signal handler."""
        self.stopped = True

    def finish(self) -> None:
        """Nothing to do."""

    def wait(self) -> None:
        """Not at all: a still image has waited for its key."""

    def close(self) -> None:
        """Close the window; a second call does nothing."""
        import cv2

        if self._seen:
            self._seen = False
            if self._is_open():
                cv2.destroyWindow(NAME)
            cv2.pollKey()  # lets the system take it away

    def _is_open(self) -> bool:
        import cv2

        try:
            return cv2.getWindowProperty(NAME, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error:
            return False
