"""Leaves out frames whose landmarks the champion guesses: those whose ELT residual (lmdeploy.quality) is too large.

A frame is measured once, by the champion of the refresh that first looks at it, on the stored picture and in the
stored box; the number then stays with the frame. So the choice of a refresh depends on what the site has stored and
on site.toml alone: promoting a model, rolling it back or a kill cannot change which frames the same refresh takes.
Refreshes measure, not collectors: crops go through the network in batches, serving is not slowed down, and frames
that were stored before the limit was set are judged, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from lmdeploy.errors import InputError
from lmdeploy.geometry import crop_image, crop_matrix
from lmdeploy.images import read_image
from lmdeploy.model import Model, open_model
from lmdeploy.quality import elt_residual
from lmdeploy.site.config import SiteConfig
from lmdeploy.site.registry import with_champion
from lmdeploy.site.store import FrameStore, Residual, StoredFrame
from lmdeploy.types import U8

BATCH = 32
NOWHERE = 100.0  # of a frame where no landmark ever stays inside: as far off as the crop is wide
DIGITS = 4  # of a residual in per cent: below what another number of threads changes


class Sift(BaseModel):
    """What the residual said of the frames that a refresh looked at; all numbers are per cent of the crop's side.

    limit: `max_residual` of site.toml. looked_at, left_out: frames. quartiles: least, 25 %, median, 75 % and greatest
    residual of the frames looked at, empty without any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: float
    looked_at: int
    left_out: int
    quartiles: tuple[float, ...]

    def sentence(self) -> str:
        """One line for people."""
        names = ("least", "25 %", "median", "75 %", "greatest")
        spread = ", ".join(f"{name} {value:.2f} %" for name, value in zip(names, self.quartiles, strict=False))
        told = f"{self.left_out} of {self.looked_at} frames left out: ELT residual above {self.limit:g} % of the crop"
        return f"{told} ({spread})" if spread else told


def sift(
    site: Path, config: SiteConfig, drawn: Sequence[StoredFrame], threads: int | None = None
) -> tuple[list[StoredFrame], dict[str, Residual], Sift]:
    """The first `max_frames` of the drawn frames whose residual is at most `max_residual`.

    Args:
        site: its champion measures what was never measured; numbers are stored, a batch at a time.
        config: with a `max_residual` above 0.
        drawn: candidates in the order of the seeded draw; those behind the last one taken are not looked at.
        threads: of the network.
    Returns: the frames taken, the residual of each frame looked at by sha256, and their summary.
    Errors: InputError for a picture that is damaged or that a collector evicts meanwhile; BundleError.
    """
    taken: list[StoredFrame] = []
    seen: dict[str, Residual] = {}
    with FrameStore(site) as store, closing(_Champion(site, threads)) as champion:
        known = store.residuals()
        for start in range(0, len(drawn), BATCH):
            batch = drawn[start : start + BATCH]
            unknown = [frame for frame in batch if frame.sha256 not in known]
            if unknown:
                known.update(champion.measure(store, unknown))
                store.add_residuals({frame.sha256: known[frame.sha256] for frame in unknown})
            for frame in batch[: _enough(batch, known, config, len(taken))]:
                seen[frame.sha256] = known[frame.sha256]
                if seen[frame.sha256].percent <= config.max_residual:
                    taken.append(frame)
            if len(taken) == config.max_frames:
                break
    return taken, seen, _summary(config.max_residual, [r.percent for r in seen.values()])


def _enough(batch: Sequence[StoredFrame], known: dict[str, Residual], config: SiteConfig, taken: int) -> int:
    """How many frames of the batch are looked at until max_frames are taken."""
    good = np.cumsum([known[frame.sha256].percent <= config.max_residual for frame in batch]) + taken
    return int(np.searchsorted(good, config.max_frames)) + 1


def _summary(limit: float, percents: Sequence[float]) -> Sift:
    quartiles = np.percentile(percents, (0, 25, 50, 75, 100)).round(DIGITS).tolist() if percents else []
    left_out = sum(percent > limit for percent in percents)
    return Sift(limit=limit, looked_at=len(percents), left_out=left_out, quartiles=tuple(quartiles))


class _Champion:
    """The site's champion, opened when the first frame needs it: most refreshes have measured theirs before."""

    def __init__(self, site: Path, threads: int | None) -> None:
        self._site, self._threads = site, threads
        self._model: Model | None = None

    def measure(self, store: FrameStore, frames: Sequence[StoredFrame]) -> dict[str, Residual]:
        """Residual of each frame by sha256."""
        if self._model is None:
            # One device and engine for every refresh: the numbers must not depend on what else is installed.
            load = partial(open_model, threads=self._threads, device="cpu", backend="onnxruntime")
            self._model = with_champion(self._site, load)
        model = self._model
        crops = np.stack([_crop(store, frame, model) for frame in frames])
        percents = 100 * elt_residual(model.backend, crops, batch=BATCH).relative
        percents = np.where(np.isfinite(percents), percents, NOWHERE).round(DIGITS)
        return {f.sha256: Residual(float(p), model.digest) for f, p in zip(frames, percents, strict=True)}

    def close(self) -> None:
        """Free the session."""
        if self._model is not None:
            self._model.backend.close()


def _crop(store: FrameStore, frame: StoredFrame, model: Model) -> U8:
    """The crop u8[S,S,3] of one stored frame under the model's crop rule."""
    path = store.path(frame.sha256)
    try:
        image = read_image(path)
    except InputError as error:
        if path.is_file():
            raise InputError(f"{error}; restore it from a copy, see 'lmdeploy site verify'") from error
        raise InputError(f"{path}: a collector evicted it just now; call the refresh again") from error
    return crop_image(image, crop_matrix(frame.box, model.spec.crop), model.spec.crop.size)
