"""The ways in which a bundle could run on this machine: every engine, device and precision that there is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict

from lmdeploy.backends.base import BackendName, Device
from lmdeploy.backends.choose import OFFERS
from lmdeploy.errors import InputError
from lmdeploy.landmarker import MAX_BATCH
from lmdeploy.model import Running

DEVICES: tuple[Device, ...] = ("cpu", "cuda")
Precision = Literal["fp32", "bf16", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
BF16: Final = "bf16"
EXTRA = ("openvino", BF16)  # what its precision `auto` is: the float32 file, computed in bf16


class Options(BaseModel):
    """What is measured.

    model: bundle folder, built-in name or exported ONNX file. data: a labelled folder, for the accuracy of every way.
    batches: faces in one frame. backend, device, precision: `auto` for all that there are. schema: of which
    landmarks, where the model finds those of several. quick: fewer and shorter blocks, and at most 32 of the labelled
    images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    data: Path | None = None
    batches: tuple[int, ...] = (1, 2, 4, 8)
    threads: int | None = None
    device: Device = "auto"
    backend: BackendName = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    schema_name: str | None = None
    detector: Literal["haar", "yunet", "whole_image"] = "haar"
    yunet: Path | None = None
    quick: bool = False


@dataclass(frozen=True, slots=True)
class Way:
    """An engine on a device in a precision."""

    backend: BackendName
    device: Device
    precision: Precision

    @property
    def name(self) -> str:
        """For people, before it is known which provider runs."""
        return f"{self.backend} {self.device} {self.precision}"

    def running(self, options: Options) -> Running:
        """How it is opened."""
        return {
            "backend": self.backend,
            "device": self.device,
            "precision": "auto" if self.precision == BF16 else self.precision,
            "threads": options.threads,
            "schema": options.schema_name,
        }


def faces(text: str) -> tuple[int, ...]:
    """Sizes of batches from a list; InputError for what is none.

    >>> faces("1, 4")
    (1, 4)
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and 1 <= int(word) <= MAX_BATCH for word in words):
        raise InputError(f"batch {text!r}: give numbers of faces from 1 to {MAX_BATCH}, as in 1,2,4,8")
    return tuple(dict.fromkeys(map(int, words)))


def candidates(options: Options) -> list[Way]:
    """All ways within the options, processors first; of one engine fp32 comes first."""
    found: list[Way] = []
    for device in DEVICES:
        for backend, offers in OFFERS.items():
            if backend == "auto" or device not in offers:
                continue
            runs = dict.fromkeys(precision for offer in offers[device] for precision in offer.runs)
            found += [Way(backend, device, name) for name in PRECISIONS if name in runs or (backend, name) == EXTRA]
    return [way for way in found if _asked(way, options)]


def _asked(way: Way, options: Options) -> bool:
    return (
        options.backend in ("auto", way.backend)
        and options.device in ("auto", way.device)
        and options.precision in ("auto", way.precision)
    )
