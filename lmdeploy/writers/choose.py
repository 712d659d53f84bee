"""From the name of an output to its writer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lmdeploy.atomic import check_file, check_place
from lmdeploy.errors import InputError
from lmdeploy.writers.base import About, Sink
from lmdeploy.writers.behind import Behind
from lmdeploy.writers.coco import CocoSink
from lmdeploy.writers.long_csv import LongCsvSink
from lmdeploy.writers.mp4 import Mp4Sink
from lmdeploy.writers.ndjson import NdjsonSink
from lmdeploy.writers.parquet import ParquetSink, import_pyarrow
from lmdeploy.writers.pictures import ImageSink
from lmdeploy.writers.wide_csv import CsvSink

Kind = Literal["csv", "long", "ndjson", "coco", "parquet", "mp4", "images"]
# The longer ending first: a name that fits `.long.csv` fits `.csv`, too.
ENDINGS: dict[str, Kind] = {
    ".long.csv": "long",
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "coco",
    ".parquet": "parquet",
    ".mp4": "mp4",
}
STANDARD_OUTPUT = "-"
OPEN: dict[Kind, Callable[[Path, About], Sink]] = {
    "csv": lambda path, about: CsvSink(path, about.schema.points, pose=about.pose, sources=about.sources),
    "long": lambda path, about: LongCsvSink(path, about.schema, sources=about.sources),
    "ndjson": lambda path, _: NdjsonSink(path),
    "coco": CocoSink,
    "parquet": ParquetSink,
    "mp4": lambda path, about: Behind(Mp4Sink(path, about.rate)),
}


@dataclass(frozen=True, slots=True)
class Output:
    """One thing to write. path: file or folder, None for standard output (NDJSON only)."""

    kind: Kind
    path: Path | None


def output_of(text: str) -> Output:
    """The output that a name asks for; InputError for an ending that no writer has.

    >>> output_of("out.long.csv").kind, output_of("-").kind, output_of("out/").kind
    ('long', 'ndjson', 'images')
    """
    if text == STANDARD_OUTPUT:
        return Output("ndjson", None)
    path = Path(text)
    if text and (text.endswith(("/", "\\")) or path.is_dir() or not path.suffix):
        return Output("images", path)
    for ending, kind in ENDINGS.items():
        if path.name.lower().endswith(ending):
            return Output(kind, path)
    raise InputError(
        f"output {text!r}: choose a name that ends in {', '.join(ENDINGS)}, '-' for NDJSON on standard output, or a "
        "folder for pictures (with / at its end)"
    )


def open_sinks(outputs: Sequence[Output], about: About, folder: Callable[[Path], Sink] = ImageSink) -> list[Sink]:
    """A writer for each output; when one cannot be opened, those before it are closed.

    Args:
        outputs: what to write.
        about: what is known of the run.
        folder: makes the writer of annotated pictures in a folder.
    Errors: InputError for a place that is named twice or cannot be written, MissingExtraError.
    """
    _check(outputs)
    sinks: list[Sink] = []
    with ExitStack() as closing:
        for output in outputs:
            sinks.append(_open(output, about, folder))
            closing.callback(sinks[-1].close)
        closing.pop_all()
    return sinks


def _open(output: Output, about: About, folder: Callable[[Path], Sink]) -> Sink:
    if output.path is None:
        return NdjsonSink(None)
    return folder(output.path) if output.kind == "images" else OPEN[output.kind](output.path, about)


def _check(outputs: Sequence[Output]) -> None:
    """Find what is wrong before the first file is touched."""
    places = [None if output.path is None else output.path.resolve() for output in outputs]
    for output, place in zip(outputs, places, strict=True):
        if places.count(place) > 1:
            raise InputError(f"{output.path or 'standard output'} is asked for twice: give each output its own name")
        if output.path is not None:
            (check_place if output.kind == "images" else check_file)(output.path)
    if any(output.kind == "parquet" for output in outputs):
        import_pyarrow()
