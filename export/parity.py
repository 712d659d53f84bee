"""Does a file say the same as PyTorch? Distances between both on the same crops."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from lmdeploy.backends.base import Backend
from lmdeploy.backends.reference import TOLERANCE_PX as OF_ENGINES
from lmdeploy.types import U8, Array

TOLERANCE_PX = OF_ENGINES | {"int8_trt": OF_ENGINES["int8"]}  # 99th percentile of the distance, crop px (design.md)
TOLERANCE_PX |= {f"frame_{name}": TOLERANCE_PX[name] for name in ("fp32", "fp16")}  # whole frames in
BATCH = 32


class Parity(BaseModel):
    """Distances between two backends over N crops, crop px; only the 99th percentile is gated.

    against: what the file was held against. per_landmark_p99_px: by landmark. left_float: convolutions of an int8 file
    that were left in float because it was over the tolerance with them. nme, nme_pytorch: of both on one labelled
    folder, per cent; None without one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: str
    against: str = "PyTorch"
    images: int
    median_px: float
    mean_px: float
    p99_px: float
    max_px: float
    score_max: float
    tolerance_px: float
    per_landmark_p99_px: tuple[float, ...] = ()
    left_float: int = 0
    nme: float | None = None
    nme_pytorch: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the 99th percentile is inside the tolerance; NaN is not."""
        return self.p99_px <= self.tolerance_px

    def numbers(self) -> dict[str, float]:
        """What bundle.json records; the card has every landmark, this only the worst one."""
        found = self.model_dump(exclude={"precision", "against", "per_landmark_p99_px"}, exclude_none=True)
        if not self.precision.startswith("int8"):
            del found["left_float"]
        if self.per_landmark_p99_px:
            worst = int(np.argmax(self.per_landmark_p99_px))
            found |= {"worst_landmark": worst, "worst_landmark_p99_px": self.per_landmark_p99_px[worst]}
        return found

    def sentence(self) -> str:
        """One line for people."""
        verdict = "within" if self.passed else "OVER"
        nme = "" if self.nme is None else f", NME {self.nme:.3f} % (PyTorch {self.nme_pytorch:.3f} %)"
        floats = f", {self.left_float} more convolutions left in float" if self.left_float else ""
        return (
            f"{self.precision} against {self.against} on {self.images} crops: median {self.median_px:.5f} px, mean "
            f"{self.mean_px:.5f} px, 99 % {self.p99_px:.5f} px ({verdict} the tolerance of {self.tolerance_px} px), "
            f"max {self.max_px:.4f} px, score max {self.score_max:.2g}{floats}{nme}"
        )


def compare(reference: Backend, candidate: Backend, crops: U8, precision: str = "fp32") -> Parity:
    """Run both on crops u8[N,S,S,3] and compare points and scores."""
    distance, score = [], []
    for i in range(0, len(crops), BATCH):
        a, b = reference.run(crops[i : i + BATCH]), candidate.run(crops[i : i + BATCH])
        distance.append(np.linalg.norm(a.points - b.points, axis=-1))
        score.append(np.abs(a.score - b.score).ravel())
    return summarise(np.concatenate(distance), np.concatenate(score), precision)


def summarise(px: Array, score: Array, precision: str, against: str = "PyTorch") -> Parity:
    """The figures of distances f32[N,K], crop px, and of differences in score."""
    return Parity(
        precision=precision, against=against, images=len(px), median_px=float(np.median(px)),
        mean_px=float(px.mean()), p99_px=float(np.percentile(px, 99)), max_px=float(px.max()),
        score_max=float(score.max()), tolerance_px=TOLERANCE_PX[precision],
        per_landmark_p99_px=tuple(np.percentile(px, 99, axis=0).tolist()),
    )  # fmt: skip


def generated_crops(size: int, count: int = 16, seed: int = 0) -> U8:
    """Smooth random pictures u8[count,size,size,3] that anyone may ship: sums of coloured waves and blobs."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    out = np.full((count, size, size, 3), 128.0)
    for picture in out:
        for _ in range(12):
            fx, fy, phase = draw.uniform(-6, 6), draw.uniform(-6, 6), draw.uniform(0, 2 * np.pi)
            picture += np.sin(2 * np.pi * (fx * x + fy * y) + phase)[..., None] * draw.uniform(-25, 25, 3)
        cx, cy, width = draw.uniform(0.2, 0.8), draw.uniform(0.2, 0.8), draw.uniform(0.05, 0.2)
        blob = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * width**2))
        picture += blob[..., None] * draw.uniform(-120, 120, 3)
    crops: U8 = np.clip(out, 0, 255).astype(np.uint8)
    return crops
