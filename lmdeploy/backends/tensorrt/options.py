"""What decides how an engine is built; all of it is part of the cache's key."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lmdeploy.errors import InputError


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Profile(_Frozen):
    """Batch sizes that one set of kernels is chosen for: legal from `smallest` to `largest`, timed at `best`."""

    smallest: int = Field(ge=1)
    best: int = Field(ge=1)
    largest: int = Field(ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Profile:
        if not self.smallest <= self.best <= self.largest:
            raise ValueError("a profile needs smallest <= best <= largest")
        return self


class BuildOptions(_Frozen):
    """How an engine is built. Precision is not here: networks are strongly typed, so the ONNX file decides it.

    profiles: a single crop (one face in a video) has kernels of its own, batches share theirs.
    workspace_mb: memory that a kernel may use while it is timed, MB.
    level: TensorRT's optimisation level, 0 (fast to build) to 5 (slow to build).
    tf32: float32 products with 10 bits of mantissa. Off: who takes the float32 file wants float32's points, and
        the fp16 file is faster still.
    """

    profiles: tuple[Profile, ...] = (
        Profile(smallest=1, best=1, largest=1),
        Profile(smallest=2, best=16, largest=64),
    )
    workspace_mb: int = Field(default=2048, ge=16)
    level: int = Field(default=3, ge=0, le=5)
    tf32: bool = False

    @field_validator("profiles")
    @classmethod
    def _some(cls, value: tuple[Profile, ...]) -> tuple[Profile, ...]:
        if not value:
            raise ValueError("an engine needs at least one profile")
        return value

    def profile_of(self, batch: int) -> int:
        """Index of the narrowest profile that a batch of this size fits into."""
        fits = [(p.largest - p.smallest, i) for i, p in enumerate(self.profiles) if p.smallest <= batch <= p.largest]
        if not fits:
            spans = ", ".join(f"{p.smallest} to {p.largest}" for p in self.profiles)
            raise InputError(f"no profile takes a batch of {batch} (they take {spans}): add one, or change buckets")
        return min(fits)[1]
