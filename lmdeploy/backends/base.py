"""What every inference engine offers to the runtime."""

from __future__ import annotations

from typing import Protocol

from lmdeploy.types import U8, Prediction


class Backend(Protocol):
    """A loaded network on one provider; safe to call from one thread at a time."""

    provider: str
    """Name of the provider that really runs the network, e.g. CPUExecutionProvider."""

    def run(self, crops: U8) -> Prediction:
        """Landmarks of crops u8[B,S,S,3] RGB, in crop px."""
        ...

    def close(self) -> None:
        """Free the session; a second call does nothing."""
        ...
