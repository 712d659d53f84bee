"""A backend around another one that remembers the sizes of its batches, and can be slow."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from lmdeploy.backends.base import Backend
from lmdeploy.types import U8, Prediction


@dataclass
class Counting:
    """Runs `inner`; `batches` are the crops of each call so far, `pause_s` is slept in each. `inner` stays open."""

    inner: Backend
    batches: list[int] = field(default_factory=list)
    pause_s: float = 0.0

    @property
    def provider(self) -> str:
        """That of the backend inside."""
        return self.inner.provider

    def run(self, crops: U8) -> Prediction:
        """The answer of the backend inside."""
        self.batches.append(len(crops))
        time.sleep(self.pause_s)
        return self.inner.run(crops)

    def close(self) -> None:
        """The backend inside belongs to the test."""
