"""What one run of `lmdeploy predict` reads: one source, or several that have names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lmdeploy.errors import InputError
from lmdeploy.video.connect import shown
from lmdeploy.video.frame import Source
from lmdeploy.video.named import Named
from lmdeploy.video.open_several import Opened, open_each, side_by_side
from lmdeploy.video.several import Alone, Feed
from lmdeploy.video.source import ImageFiles, open_source

IN_TITLE = 4  # names that fit a page's title


@dataclass(frozen=True, slots=True)
class Reading:
    """Opened sources.

    feed: their frames. sources: by their place in the feed. opened: what was opened, with its names. has_names: each
    frame says which source it is of; False for a single source that nobody named. problems: one line for each source
    that was left out.
    """

    feed: Feed
    sources: Sequence[Source]
    opened: Sequence[Opened]
    has_names: bool
    problems: Sequence[str] = ()

    @property
    def rate(self) -> float:
        """Nominal frames per second of the only source; 0 where there are several."""
        return self.sources[0].rate if len(self.sources) == 1 else 0.0

    @property
    def title(self) -> str:
        """For people."""
        names = [one.named.name if self.has_names else shown(one.named.text) for one in self.opened]
        return " · ".join(names) if len(names) <= IN_TITLE else f"{len(names)} sources"

    @property
    def tiles(self) -> dict[str, int]:
        """Each source's part of a view of all, by its name; still images share one. Empty where one part is all."""
        streams = [one.named.name for one in self.opened if one.source.stream]
        stills = [one.named.name for one in self.opened if not one.source.stream]
        parts = {name: part for part, name in enumerate(streams)} | dict.fromkeys(stills, len(streams))
        return parts if self.has_names and len(set(parts.values())) > 1 else {}

    def check(self, path: Path) -> None:
        """InputError where an output at `path` would stand on something that is read."""
        place = path.resolve()
        for one in self.opened:
            images = one.source.paths if isinstance(one.source, ImageFiles) else ()
            if place in {own.resolve() for image in images for own in (image, image.parent)}:
                raise InputError(f"{path} would overwrite the source's own images: choose another folder")
            if path.exists() and place == Path(one.named.text).resolve():
                raise InputError(f"{path} is the source: choose another name for the output")


def open_reading(sources: Sequence[Named], give_up_s: float | None, warn: Callable[[str], None]) -> Reading:
    """Open what is to be read; of several sources those that can be opened, see open_each.

    Args:
        sources: at least one.
        give_up_s, warn: as lmdeploy.video.source.open_source takes them.
    Errors: InputError where there is nothing to read.
    """
    if len(sources) == 1 and not sources[0].given:
        source = open_source(sources[0].text, give_up_s=give_up_s, warn=warn)
        return Reading(Alone(source), [source], [Opened(sources[0], source)], has_names=False)
    opened, problems = open_each(sources, give_up_s, warn)
    feed, places = side_by_side(opened)
    return Reading(feed, places, opened, has_names=True, problems=problems)
