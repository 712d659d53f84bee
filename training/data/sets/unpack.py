"""Pictures that live inside a container (HDF5, video) as PNG files, so that every sample is an ordinary file.

They are written once, without loss, to ROOT/unpacked/<name>; each file appears complete or not at all, and a run that
was interrupted goes on with the files that are missing. Where the copy itself cannot be written to, make a folder of
links to it and give that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from lmdeploy.atomic import write_file
from lmdeploy.errors import InputError
from lmdeploy.types import U8
from training.engine.progress import Progress


def cache_folder(root: Path, container: Path) -> Path:
    """Where the pictures of a container go; another size of the file is another folder."""
    inside = container.relative_to(root).with_suffix("")
    return root / "unpacked" / f"{'_'.join(inside.parts)}-{container.stat().st_size}"


def unpack(title: str, files: Mapping[Path, Callable[[], U8]]) -> tuple[str, ...]:
    """Write the PNG files that are not there yet; one line for each picture that cannot be read.

    files: target -> function that gives the picture u8[H,W,3], RGB.
    """
    missing = [path for path in files if not path.is_file()]
    problems = []
    with Progress(f"unpacking {title}", len(missing)) as progress:
        for path in missing:
            try:
                write_png(path, files[path]())
            except InputError as error:
                problems.append(str(error))
            progress.advance()
    return tuple(problems)


def write_png(path: Path, image: U8) -> None:
    """Write u8[H,W,3], RGB, as a PNG, complete or not at all."""
    import cv2  # loading OpenCV takes 0.1 s

    done, content = cv2.imencode(".png", np.ascontiguousarray(image[:, :, ::-1]))
    if not done:
        raise InputError(f"{path}: OpenCV cannot encode a picture of shape {image.shape}")
    write_file(path, content.tobytes())
