"""What a killed run left of a file that is only written as a whole."""

from __future__ import annotations

from pathlib import Path

from lmdeploy.errors import InputError
from lmdeploy.writers import coco, parquet, spool

ASSEMBLE: dict[str, spool.Assemble] = {".json": coco.assemble, ".parquet": parquet.assemble}


def recover(path: str | Path) -> Path:
    """Make the COCO (.json) or Parquet file `path` from what a killed run had collected, and return it.

    COCO: up to the last frame; Parquet: up to the last part (see ParquetSink). InputError when there is nothing.
    """
    path = Path(path)
    folder = spool.hidden_folder(path)
    if path.suffix.lower() not in ASSEMBLE or not folder.is_dir():
        raise InputError(
            f"{path}: nothing to recover, for there is no folder {folder.name} beside it; only .json and .parquet "
            "outputs of a killed run are recovered, the others are whole as they are"
        )
    spool.finish(path, ASSEMBLE[path.suffix.lower()])
    return path
