"""The files of a bundle by precision, each held to its own tolerance against PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Protocol

from export.half import to_half
from export.parity import Parity
from export.quantise.qdq import Scheme
from export.quantise.search import search
from lmdeploy.backends.precision import FILES as OF_BUNDLE
from lmdeploy.backends.precision import INT8_TENSORRT
from lmdeploy.errors import GateRefusedError, InputError
from lmdeploy.types import U8

FILES = {**OF_BUNDLE, "int8_trt": INT8_TENSORRT}
CHOICES = tuple(OF_BUNDLE)

SCHEMES: dict[str, Scheme] = {"int8": "u8s8", "int8_trt": "s8s8"}


class Judge(Protocol):
    """Compares a file with PyTorch as its precision asks."""

    def __call__(self, candidate: bytes, precision: str) -> Parity:
        """The distances, with that precision's tolerance."""
        ...


@dataclass(frozen=True, slots=True)
class Built:
    """One file and how near it is to PyTorch."""

    model: bytes
    parity: Parity


def parse(text: str) -> tuple[str, ...]:
    """Precisions of a list such as `fp32,int8`; fp32 is always among them.

    >>> parse("int8")
    ('fp32', 'int8')
    """
    asked = [word.strip() for word in text.split(",")]
    unknown = [word for word in asked if word not in CHOICES]
    if unknown:
        raise InputError(f"precision {unknown[0]!r} is not known: give some of {','.join(CHOICES)}")
    return tuple(name for name in CHOICES if name == "fp32" or name in asked)


def build(
    model: bytes, precisions: tuple[str, ...], crops: U8 | None, judge: Judge, advice: str = ""
) -> dict[str, Built]:
    """Every asked-for file by precision; int8 is two.

    Args:
        model: fp32 file after surgery.
        precisions: of CHOICES.
        crops: u8[N,S,S,3] that int8 ranges are measured on; not needed otherwise.
        judge: compares a file with PyTorch as the precision asks.
        advice: what to do when an int8 file is refused, for the end of the message.
    Raises: GateRefusedError (exit code 3) that names every file which is over its tolerance.
    """
    built = {"fp32": Built(model, judge(model, "fp32"))}
    if "fp16" in precisions:
        half = to_half(model)
        built["fp16"] = Built(half, judge(half, "fp16"))
    if "int8" in precisions:
        assert crops is not None, "int8 is asked for with crops"
        for name, scheme in SCHEMES.items():
            found = search(model, scheme, crops, partial(judge, precision=name))
            built[name] = Built(found.model, found.parity)
    refused = [one.parity for one in built.values() if not one.parity.passed]
    if refused:
        sentences = [parity.sentence() for parity in refused]
        if advice and any(parity.precision in SCHEMES for parity in refused):
            sentences.append(advice)
        raise GateRefusedError("export refused, no bundle was written: " + "; ".join(sentences))
    return built
