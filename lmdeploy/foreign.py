"""What a file that is not one of ours is, told from its first bytes; nothing of it is ever run or unpickled."""

from __future__ import annotations

from pathlib import Path

LOOK = 512  # bytes that are read
PICKLED = "a pickle (a PyTorch checkpoint, perhaps), which can run any code and is never opened"
MARKS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"ftrt", "a TensorRT engine, which runs on one GPU and version only and is never taken from others"),
    (0, b"ptrt", "a TensorRT engine, which runs on one GPU and version only and is never taken from others"),
    (0, b"PK", "a zip archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"\xfd7zXZ", "an xz archive"),
    (257, b"ustar", "a tar archive"),
    (4, b"ORTM", "a model in ONNX Runtime's own format"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x7fELF", "a program"),
    (0, b"\x89PNG", "a picture"),
    (0, b"\xff\xd8\xff", "a picture"),
    (8, b"{", "a safetensors file (a checkpoint's name ends in .safetensors)"),
    (0, b"version https://git-lfs", "a Git LFS pointer instead of the file it stands for"),
    (0, b"{", "a JSON file"),
    (0, b"<", "an XML or HTML file"),
)
PROTOCOLS = range(2, 6)


def foreign_kind(start: bytes) -> str:
    """What a file is that begins with these bytes; empty where they may be those of an ONNX file, or of anything."""
    if not start:
        return "an empty file"
    if start[0] == 0x80 and len(start) > 1 and start[1] in PROTOCOLS:
        return PICKLED
    if start.startswith(b"PK") and b"data.pkl" in start:
        return PICKLED
    return next((kind for at, mark, kind in MARKS if start[at : at + len(mark)] == mark), "")


def start_of(path: Path) -> bytes:
    """The first bytes of a regular file."""
    with path.open("rb") as stream:
        return stream.read(LOOK)
