"""Arrays from strangers: zip bombs, Python objects and false claims are refused before they take memory."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lmdeploy import npz
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.backends.reference import distance_px
from lmdeploy.errors import BundleError
from lmdeploy.npz import read_arrays
from tests.tiny_bundle import mixing, tiny_onnx


class Canary:
    """Unpickling it would end the test run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (SystemExit, ("unpickled",))


def archive(path: Path, **members: bytes) -> Path:
    """A zip file of members as they are, deflated."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members.items():
            out.writestr(f"{name}.npy", content)
    return path


def npy(shape: str, data: bytes, dtype: str = "|u1") -> bytes:
    """An .npy file that claims a shape."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read_back(tmp_path: Path, save: object) -> None:
    a, b = np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.ones((0, 2), np.float32)
    save(tmp_path / "f.npz", a=a, b=b)  # type: ignore[operator]  # one of NumPy's two
    for found, wanted in zip(read_arrays(tmp_path / "f.npz", ("a", "b")), (a, b), strict=True):
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == wanted.dtype


BAD = {
    "claim": (npy("(1 << 60,)".replace("1 << 60", str(1 << 60)), b"abc"), "claims more than it holds"),
    "negative": (npy("(-1, 3)", b"abc"), "claims more"),
    "overflow": (npy(f"({1 << 40}, {1 << 40})", b""), "claims more"),
    "objects": (npy("(1,)", b"abc", "|O"), "objects"),
    "code": (npy("__import__('os')", b""), "Cannot parse header|malformed"),
    "unhashable": (npy("{[]: 1}", b""), "cannot be read"),
    "unfinished": (npy("(((", b""), "cannot be read"),
    "no number": (npy("('a',)", b""), "cannot be read"),
    "type": (npy("(1,)", b"a", "|Q9"), "cannot be read"),
    "scalar": (npy("()", b"a"), "single number"),
    "empty": (b"", "cannot be read"),
    "garbage": (b"garbage" * 9, "cannot be read"),
    "version": (b"\x93NUMPY\x09\x09" + bytes(99), "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("ignore:Reading `.npy`")  # NumPy of a header that no NumPy wrote
def test_a_member_that_lies_is_refused(tmp_path: Path, name: str) -> None:
    content, sentence = BAD[name]
    with pytest.raises(BundleError, match=sentence) as caught:
        read_arrays(archive(tmp_path / "f.npz", a=content), ("a",))
    assert str(caught.value).endswith("export the model again")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", a=np.array([Canary()], dtype=object))
    with pytest.raises(BundleError, match="objects"):
        read_arrays(tmp_path / "f.npz", ("a",))


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "MAX_BYTES", 1 << 20)
    size = 20 << 20
    bomb = archive(tmp_path / "f.npz", a=npy(f"({size},)", bytes(size)))
    assert bomb.stat().st_size < 1 << 15
    tracemalloc.start()
    with pytest.raises(BundleError, match="unpacks to more than 1 MB"):
        read_arrays(bomb, ("a",))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 19


def test_a_bomb_that_understates_its_size_ends_there(tmp_path: Path) -> None:
    """The archive says 200 bytes, the stream goes on for a megabyte."""
    file = archive(tmp_path / "f.npz", a=npy("(1000000,)", bytes(1_000_000)))
    raw = file.read_bytes()
    size = (1_000_000 + 10 + len("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000,), }\n")).to_bytes(
        4, "little"
    )
    assert raw.count(size) == 2
    file.write_bytes(raw.replace(size, (200).to_bytes(4, "little")))
    with pytest.raises(BundleError, match="Bad CRC-32"):
        read_arrays(file, ("a",))


@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04", b"\x80\x04\x95", b"garbage"])
def test_what_is_no_archive_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "f.npz").write_bytes(raw)
    with pytest.raises(BundleError, match="cannot be read"):
        read_arrays(tmp_path / "f.npz", ("a",))


@pytest.mark.parametrize("wrong", ["points", "crops", "many", "none", "nan", "double"])
def test_a_reference_of_another_network_is_refused(tmp_path: Path, wrong: str) -> None:
    engine = OrtBackend(tiny_onnx(32, mixing(3)), threads=1)
    n = {"many": 65, "none": 0}.get(wrong, 2)
    crops = np.zeros((n, 32, 64 if wrong == "crops" else 32, 3), np.uint8)
    points = np.zeros((n, 4 if wrong == "points" else 3, 2), np.float64 if wrong == "double" else np.float32)
    if wrong == "nan":
        points[0, 0, 0] = np.nan
    out = io.BytesIO()
    np.savez(out, crops=crops, points=points)
    (tmp_path / "reference.npz").write_bytes(out.getvalue())
    with pytest.raises(BundleError, match=r"does not fit model\.onnx"):
        distance_px(engine, tmp_path / "reference.npz")
