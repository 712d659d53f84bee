"""Protocol Buffers' text format, as far as a Triton config.pbtxt needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Union

Scalar = Union[str, int, bool, "Word"]
Value = Union[Scalar, Sequence[Scalar], "Message", Sequence["Message"]]
Message = Mapping[str, Value]


class Word(str):
    """Name of an enum's value: written without quotation marks."""

    __slots__ = ()


def pbtxt(message: Message) -> str:
    """Text of a message, a field a line; a list of messages repeats its field, one of scalars is `[a, b]`.

    >>> print(pbtxt({"name": "face68", "input": [{"data_type": Word("TYPE_UINT8"), "dims": [2, 3]}]}), end="")
    name: "face68"
    input {
      data_type: TYPE_UINT8
      dims: [2, 3]
    }
    """
    return "".join(f"{line}\n" for line in _lines(message))


def _lines(message: Message) -> Iterator[str]:
    for field, value in message.items():
        if isinstance(value, Mapping):
            yield from _block(field, value)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            blocks = [entry for entry in value if isinstance(entry, Mapping)]
            for block in blocks:
                yield from _block(field, block)
            if not blocks:
                yield f"{field}: [{', '.join(_scalar(entry) for entry in value if not isinstance(entry, Mapping))}]"
        else:
            yield f"{field}: {_scalar(value)}"


def _block(field: str, message: Message) -> Iterator[str]:
    yield f"{field} {{"
    yield from (f"  {line}" for line in _lines(message))
    yield "}"


def _scalar(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Word) or not isinstance(value, str):
        return str(value)
    # octal is the one escape that every reader of the format takes for every byte
    plain = (chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in value.encode())
    return f'"{"".join(plain)}"'
