"""What a killed run left of a file that is only written as a whole."""

from __future__ import annotations

from pathlib import Path

from lmdeploy.errors import InputError
from lmdeploy.writers import coco, parquet, spool

# How each kind is made, and the part without which there is nothing to make it from
KINDS: dict[str, tuple[spool.Assemble, str]] = {
    ".json": (coco.assemble, coco.FRAMES),
    ".parquet": (parquet.assemble, parquet.FIRST),
}


def recover(path: str | Path) -> Path:
    """Make the COCO (.json) or Parquet file `path` from what a killed run had collected, and return it.

    COCO: up to the last frame; Parquet: up to the last part (see ParquetSink). InputError when there is nothing.
    """
    path = Path(path)
    folder = spool.hidden_folder(path)
    assemble, needed = KINDS.get(path.suffix.lower(), (None, ""))
    if assemble is None or not (folder / needed).is_file():
        raise InputError(
            f"{path}: nothing to recover, for the folder {folder.name} beside it is missing or empty; only .json and "
            ".parquet outputs of a killed run are recovered, the others are whole as they are"
        )
    spool.finish(path, assemble)
    return path
