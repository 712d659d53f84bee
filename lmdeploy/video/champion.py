"""The model that a site serves, followed through promotions and rollbacks without a pause."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic

import numpy as np

from lmdeploy.errors import BundleError, LmdeployError
from lmdeploy.landmarker import Landmarker

LOG = logging.getLogger(__name__)
LOOK_EVERY_S = 1.0


class Champion:
    """Call it for every frame: the answer is the newest champion that is loaded, warm and verified.

        with Champion("SITE") as champion:
            for image in images:
                faces = champion().predict(image)

    Used from one thread; a Landmarker that it gave is closed after the next one has taken over.

    The alias file is looked at once a second at most; a new champion is opened in a thread while the old one goes on
    serving, and takes over between two frames. One that cannot be opened, or that has other landmarks, is told to
    `warn` once, and the old one stays.

    Args:
        site: the site's folder, as 'lmdeploy site init' made it.
        load: opens a Landmarker from a bundle's folder, for other options than the default ones.
        warn: takes one sentence; by default it is logged.
    Errors: InputError where the folder is no site, BundleError where its champion is damaged, and those of `load`.
    """

    def __init__(
        self,
        site: str | Path,
        load: Callable[[Path], Landmarker] = Landmarker.load,
        warn: Callable[[str], None] = LOG.warning,
    ) -> None:
        """Open the present champion."""
        from lmdeploy.site.registry import ALIASES, with_champion

        site = Path(site)
        self._alias, self._use = site / ALIASES / "champion.json", partial(with_champion, site)
        self._load, self._warn = load, warn
        self._stamp = self._look()
        self._now: Landmarker = self._use(load)
        self._next: Landmarker | None = None
        self._looked = monotonic()
        self._thread: threading.Thread | None = None

    def __call__(self) -> Landmarker:
        """The Landmarker for this frame."""
        if self._next is not None:
            self._now.close()
            self._now, self._next = self._next, None
        now = monotonic()
        if now - self._looked >= LOOK_EVERY_S and (self._thread is None or not self._thread.is_alive()):
            self._looked = now
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                self._thread = threading.Thread(target=self._replace, name="champion", daemon=True)
                self._thread.start()
        return self._now

    def close(self) -> None:
        """Close the models; a second call does nothing."""
        if self._thread is not None:
            self._thread.join()
        for landmarker in (self._now, self._next):
            if landmarker is not None:
                landmarker.close()

    def __enter__(self) -> Champion:
        """The champion itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _look(self) -> tuple[int, int]:
        """What changes when the alias is switched; a missing file is a stamp of its own."""
        try:
            stat = self._alias.stat()
        except FileNotFoundError:
            return 0, 0
        return stat.st_ino, stat.st_mtime_ns

    def _load_other(self, path: Path) -> Landmarker | None:
        """None when the champion was switched there and back."""
        return None if self._now.model.digest.startswith(path.name) else self._load(path)

    def _replace(self) -> None:
        try:
            new: Landmarker | None = self._use(self._load_other)
            if new is None:
                return
            if new.spec.landmarks != self._now.spec.landmarks:
                raise BundleError("the new champion has other landmarks: restart 'lmdeploy predict' to serve it")
            size = new.spec.crop.size
            new.model.backend.run(np.zeros((1, size, size, 3), np.uint8))  # the first run allocates
        except (LmdeployError, OSError) as error:
            self._warn(f"the champion of before goes on serving: {error}")
            return
        self._next = new
