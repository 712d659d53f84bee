"""The wire format of Protocol Buffers, read without trusting a byte of it, and written.

A message is a row of fields: a number, a wire type, a value. That is all that is needed to look into an ONNX file
before an engine does; the runtime does not depend on the onnx package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
LARGEST_FIELD = (1 << 29) - 1
Value = int | memoryview
Changes = Mapping[int, Callable[[memoryview], bytes] | None]
"""What becomes of a message's fields by number: its bytes after the call, or None where it is left out."""


class WireError(ValueError):
    """The bytes are not a Protocol Buffers message."""


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """(field number, value) of every field: an int for numbers, their bytes for texts, messages and packed rows."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if not 0 < number <= LARGEST_FIELD:
            raise WireError(f"no field can have number {number}")
        if kind == VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == BYTES:
            size, at = _varint(message, at)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise WireError(f"wire type {kind} is not in use")
        if size > end - at:
            raise WireError("a field is longer than what holds it")
        yield number, message[at : at + size]
        at += size


def integers(value: Value) -> list[int]:
    """The signed 64-bit numbers of one field of a repeated int64, packed or not."""
    if isinstance(value, int):
        return [_signed(value)]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(_signed(number))
    return found


def text(value: Value) -> str:
    """A string field."""
    if isinstance(value, int):
        raise WireError("a number stands where a text should")
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise WireError("a name is not UTF-8") from error


def message(value: Value) -> memoryview:
    """The bytes of a field that holds a message."""
    if isinstance(value, int):
        raise WireError("a number stands where a message should")
    return value


def replaced(whole: memoryview, changes: Changes) -> bytes:
    """The message with some of its fields changed, which must hold messages; the others stay as they are.

    Only of numbers and length-delimited fields, as ONNX's descriptions of graphs are: `fields` does not tell which
    bytes had a fixed width.
    """
    parts = []
    for number, value in fields(whole):
        if number not in changes:
            parts.append(field(number, value))
            continue
        change = changes[number]
        if change is not None:
            parts.append(field(number, change(message(value))))
    return b"".join(parts)


def field(number: int, value: Value | bytes) -> bytes:
    """One field: a number (unsigned), or bytes with their length."""
    if isinstance(value, int):
        return _as_varint(number << 3 | VARINT) + _as_varint(value)
    return _as_varint(number << 3 | BYTES) + _as_varint(len(value)) + bytes(value)


def _as_varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """(unsigned number, where the next byte is)."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise WireError("it ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise WireError("a number is longer than ten bytes")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
