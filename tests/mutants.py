"""Broken bundles by number: mutant(base, n) is the same for ever, and most of them reach deep.

Files are damaged with and without the hashes of bundle.json being made right again; ONNX files also by field, so that
what comes out is still a message; JSON also by value.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

import numpy as np

Rng = np.random.Generator
Files = dict[str, bytes]
Field = tuple[int, int, int | bytes]  # number, wire type, value
NUMBERS = (0, 1, 2, 7, 8, 16, 127, 128, 255, 1 << 16, 1 << 24, (1 << 31) - 1, 1 << 31, 1 << 40, (1 << 63) - 1,
           1 << 63, (1 << 64) - 1, (1 << 64) - 2)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, 1e308, "", "x", "../x", "a\nb", "\ud800", "\x00", "x" * 3000, [], {}, [[]], {"": 0},
    [1, 2], "all", "model.onnx", float("nan"), float("inf"), 2**63, 3, 1024, 0.5,
)  # fmt: skip


def mutant(base: Files, number: int) -> tuple[str, Files, bool]:
    """(kind, the damaged files, whether model.onnx is to be opened alone)."""
    rng = np.random.default_rng(number)
    files = dict(base)
    kind = str(rng.choice(KINDS, p=WEIGHTS))
    graph, manifest = files["model.onnx"], files["bundle.json"]
    if kind == "file":
        name = str(rng.choice(sorted(files)))
        files[name] = damaged(files[name], rng)
        return kind, files, False
    if kind == "json-bytes":
        files["bundle.json"] = damaged(manifest, rng)
        return kind, files, False
    if kind == "json-value":
        files["bundle.json"] = odd_json(manifest, rng)
        return kind, files, False
    if kind == "metadata":
        files["model.onnx"] = graph + _property("lmdeploy", odd_json(base["spec.json"], rng))
        return kind, files, True
    name = "reference.npz" if kind == "npz" else "model.onnx"
    change = odd_message if kind in ("onnx-field", "alone") else damaged
    if kind == "npz":
        change = damaged_array if rng.random() < 0.7 else damaged
    for _ in range(1 if kind == "npz" else int(rng.integers(1, 3))):
        files[name] = change(files[name], rng)
    if kind != "alone":
        files["bundle.json"] = signed(manifest, files)
    return kind, files, kind == "alone"


def damaged_array(raw: bytes, rng: Rng) -> bytes:
    """An .npz file one of whose members is damaged, packed again with the right checksums."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        names = sorted(old.namelist())
        chosen = str(rng.choice(names))
        for name in names:
            content = old.read(name)
            head, data = content[:128], content[128:]  # an array's header is where the lies are
            if name == chosen:
                content = damaged(head, rng) + data if rng.random() < 0.6 else head + damaged(data, rng)
            new.writestr(zipfile.ZipInfo(name), content)  # a ZipInfo of its own date: the same bytes every time
    return out.getvalue()


KINDS = ("file", "json-bytes", "json-value", "metadata", "npz", "onnx-bytes", "onnx-field", "alone")
WEIGHTS = (0.06, 0.07, 0.13, 0.08, 0.1, 0.16, 0.32, 0.08)


def signed(manifest: bytes, files: Files) -> bytes:
    """bundle.json with the sizes and hashes that its files have now."""
    value = json.loads(manifest)
    for name in value["files"]:
        value["files"][name] = {"bytes": len(files[name]), "sha256": hashlib.sha256(files[name]).hexdigest()}
    return json.dumps(value).encode()


def damaged(raw: bytes, rng: Rng) -> bytes:
    """Bits flipped, the end cut off, a piece taken from elsewhere, noise put in, or a piece taken out."""
    out = bytearray(raw)
    if not out:
        return b"\x80\x04."
    at, other = (int(n) for n in rng.integers(0, len(out), 2))
    size = int(rng.integers(1, 64))
    match int(rng.integers(0, 6)):
        case 0 | 1:
            for _ in range(int(rng.integers(1, 9))):
                out[int(rng.integers(0, len(out)))] ^= 1 << int(rng.integers(0, 8))
        case 2:
            del out[at:]
        case 3:
            out[at : at + size] = out[other : other + size]
        case 4:
            out[at:at] = rng.bytes(size)
        case _:
            del out[at : at + size]
    return bytes(out)


def odd_json(raw: bytes, rng: Rng) -> bytes:
    """One value replaced, taken out, or joined by an unknown one, anywhere in the tree; or the tree nested deeply."""
    if rng.random() < 0.03:
        return b'{"a":' * 5000 + raw + b"}" * 5000
    if rng.random() < 0.03:
        return raw.replace(b"{", b'{"kind": "lmdeploy-bundle", "kind": 1, ', 1)
    tree = json.loads(raw)
    node = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = keys[int(rng.integers(0, len(keys)))]
        if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.15:
            break
        node = node[key]
    value = ODD[int(rng.integers(0, len(ODD)))]
    if rng.random() < 0.15:
        del node[key]
    elif isinstance(node, dict) and rng.random() < 0.2:
        node["odd\nkey" if rng.random() < 0.5 else "odd" * 300] = value
    else:
        node[key] = value
    return json.dumps(tree).encode()


def odd_message(raw: bytes, rng: Rng, depth: int = 0) -> bytes:
    """A Protocol Buffers message with one field changed, doubled, moved or taken out, lengths made right again."""
    parts = _parts(raw)
    if not parts:
        return damaged(raw, rng)
    at = _chosen(parts, rng, depth)
    number, kind, value = parts[at]
    inner = isinstance(value, bytes) and len(value) > 2 and bool(_parts(value))
    if inner and depth < 6 and rng.random() < (0.97 if depth < 2 else 0.8):
        assert isinstance(value, bytes)
        parts[at] = (number, kind, odd_message(value, rng, depth + 1))
        return _message(parts)
    match int(rng.integers(0, 8)):
        case 0:
            del parts[at]
        case 1:
            parts.insert(int(rng.integers(0, len(parts) + 1)), parts[at])
        case 2:
            parts[at] = (int(rng.integers(1, 27)), kind, value)
        case 3:
            other = parts[int(rng.integers(0, len(parts)))]
            parts[at] = (number, other[1], other[2])
        case _ if isinstance(value, int):
            parts[at] = (number, kind, NUMBERS[int(rng.integers(0, len(NUMBERS)))])
        case _:
            parts[at] = (number, kind, damaged(value, rng) if kind == 2 else rng.bytes(len(value)))
    return _message(parts)


def _chosen(parts: list[Field], rng: Rng, depth: int) -> int:
    """Which field to change: of a whole file mostly the longest, which is the graph."""
    if depth == 0 and rng.random() < 0.9:
        return max(range(len(parts)), key=lambda n: 0 if isinstance(parts[n][2], int) else len(parts[n][2]))
    return int(rng.integers(0, len(parts)))


def _parts(raw: bytes) -> list[Field]:
    """The fields of a message; none where it is not one."""
    parts: list[Field] = []
    at = 0
    while at < len(raw):
        tag, at = _read(raw, at)
        kind = tag & 7
        if kind == 0:
            value, at = _read(raw, at)
            parts.append((tag >> 3, kind, value))
            continue
        size, at = _read(raw, at) if kind == 2 else ({1: 8, 5: 4}.get(kind, -1), at)
        if at < 0 or size < 0 or not tag >> 3 or at + size > len(raw):
            return []
        parts.append((tag >> 3, kind, raw[at : at + size]))
        at += size
    return parts


def _read(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while 0 <= at < len(raw) and shift < 70:
        value |= (raw[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if raw[at - 1] < 128:
            return value, at
    return 0, len(raw) + 1


def _message(parts: list[Field]) -> bytes:
    out = bytearray()
    for number, kind, value in parts:
        out += _number(number << 3 | kind)
        out += _number(value) if isinstance(value, int) else (_number(len(value)) if kind == 2 else b"") + value
    return bytes(out)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _property(key: str, value: bytes) -> bytes:
    """One entry of an ONNX file's metadata; of two of the same key the engine takes one, and we none."""
    return _message([(14, 2, _message([(1, 2, key.encode()), (2, 2, value)]))])
