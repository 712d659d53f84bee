"""JSON that two readers could understand differently, or could choke on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lmdeploy.strict_json import DEEPEST, parse_strict

MANIFEST = Path(__file__).parents[2] / "lmdeploy" / "models" / "face68" / "bundle.json"


def test_plain_json_is_what_json_says() -> None:
    raw = MANIFEST.read_bytes()
    assert parse_strict(raw) == json.loads(raw)
    assert parse_strict('["ä😀", 1e3, -0, "\\ud83d\\ude00"]'.encode()) == ["ä😀", 1000.0, 0, "😀"]


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b'{"a": 1, "a": 2}', "twice"),
        (b'[{"x": {"b": 1, "b": 1}}]', "twice"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b"[-Infinity]", "-Infinity is not a number"),
        (b"[1e999]", "too large"),
        (b"[" + b"9" * 5000 + b"]", "limit"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 90_000 + b"1" + b"}" * 90_000, "nested too deeply"),
        (b"[" * (DEEPEST + 2) + b"]" * (DEEPEST + 2), "levels deep"),
        (b'"\\ud800"', "not Unicode"),
        (b'{"\\u0000": 1}', "control characters"),
        (b'{"a\\n": 1}', "control characters"),
        (b"\xff\xfe{}", "utf-8"),
        (b"{} {}", "Extra data"),
        (b"", "Expecting value"),
    ],
)
def test_what_is_odd_is_refused(raw: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_strict(raw)


def test_the_deepest_allowed_passes() -> None:
    value = parse_strict(b"[" * DEEPEST + b"]" * DEEPEST)
    for _ in range(DEEPEST - 1):
        (value,) = value
    assert value == []
