"""What a writer is, and what it is told before the first frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lmdeploy.errors import InputError
from lmdeploy.schema import LandmarkSchema
from lmdeploy.types import U8, Landmarks
from lmdeploy.video.frame import Frame


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a run at its start.

    schema: what the landmarks are. digest: sha256 of the bundle. rate: nominal frames per second of the source, 0
    where there is none. pose: whether the results say how heads are turned. sources: whether the frames are of several
    sources, so that each row names its own (Frame.source).
    """

    schema: LandmarkSchema
    digest: str = ""
    rate: float = 0.0
    pose: bool = False
    sources: bool = False


class SeenEnough(Exception):
    """Whoever takes the results wants no more; raised by a sink's `write` before it has taken the frame."""


class Sink(Protocol):
    """Takes the results of a stream, frame by frame."""

    drawn: bool
    """True where `write` needs the annotated picture."""

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None:
        """Add one frame; picture: u8[H,W,3] RGB with the landmarks drawn, None unless `drawn`."""
        ...

    def close(self) -> None:
        """Finish the file; a second call does nothing."""
        ...


def unwritable(path: Path, error: OSError) -> InputError:
    """The error that a person sees instead of `error`."""
    return InputError(f"{path} cannot be written ({error.strerror or error}); choose another place or free some space")
