"""`lmdeploy predict` as one call: a source in, files out, a summary back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lmdeploy.backends.base import BackendName, Device, Precision
from lmdeploy.errors import DataError, InputError
from lmdeploy.landmarker import Landmarker
from lmdeploy.pose import check_head_pose
from lmdeploy.show.choose import Shown, open_view
from lmdeploy.show.tiles import Tiles
from lmdeploy.video.champion import Champion
from lmdeploy.video.follow import Following, FollowOptions
from lmdeploy.video.named import named
from lmdeploy.video.pipeline import Summary, run_feed
from lmdeploy.video.reading import Reading, open_reading
from lmdeploy.video.smooth import OneEuroConfig
from lmdeploy.video.track import MIN_SCORE
from lmdeploy.writers.base import About, Sink
from lmdeploy.writers.choose import Kind, Output, open_sinks, output_of
from lmdeploy.writers.per_source import files_in, open_per_source

LISTED = 16  # sources that have a line each at the end


class PredictOptions(BaseModel):
    """What to read, which model looks at it, and where the results go.

    source: as lmdeploy.video.source.open_source takes it; several in a list have names (lmdeploy.video.named), which
    the rows repeat, and so has a single NAME=SOURCE. model: bundle, built-in name or checkpoint. site: serve this
    site's champion instead of `model`. yunet: YuNet's model file. out: outputs, their kind is told from the name
    (lmdeploy.writers.choose). csv, ndjson, save: outputs, too; ndjson `-` is standard output, and so is giving no
    output at all (nor show); save is a folder for pictures or an .mp4 file, and of sources with names a folder in
    which each has its file.
    landmarks: of which schema, where the model finds those of several.
    max_faces: None keeps all faces of a still image, one of a stream. detect_every, min_score, smooth: for streams.
    smooth_cutoff, smooth_beta, smooth_speed_cutoff: min_cutoff, beta and d_cutoff of OneEuroConfig.
    show: on the screen, in a window or the browser. pose: tell how heads are turned (lmdeploy.pose), in CSV, NDJSON
    and Parquet, and draw it.
    give_up_s: end a live source that was lost for so long; None tries it again for ever.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str | Annotated[tuple[str, ...], Field(min_length=1)]
    model: str = "face68"
    site: Path | None = None
    detector: Literal["haar", "yunet", "whole_image"] = "haar"
    yunet: Path | None = None
    out: tuple[str, ...] = ()
    csv: Path | None = None
    ndjson: str | None = None
    save: Path | None = None
    landmarks: str | None = None
    smooth: bool = True
    smooth_cutoff: float = Field(default=OneEuroConfig().min_cutoff, gt=0)
    smooth_beta: float = Field(default=OneEuroConfig().beta, ge=0)
    smooth_speed_cutoff: float = Field(default=OneEuroConfig().d_cutoff, gt=0)
    threads: int | None = None
    device: Device = "auto"
    backend: BackendName = "auto"
    precision: Precision = "auto"
    max_faces: int | None = Field(default=None, ge=1)
    detect_every: int = Field(default=30, ge=0)
    min_score: float = Field(default=MIN_SCORE, ge=0, le=1)
    show: bool = False
    pose: bool = False
    give_up_s: float | None = Field(default=None, ge=0)

    @field_validator("source")
    @classmethod
    def _alone(cls, source: str | tuple[str, ...]) -> str | tuple[str, ...]:
        """A list of one is that one."""
        return source[0] if isinstance(source, tuple) and len(source) == 1 else source

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources, also where there is one."""
        return (self.source,) if isinstance(self.source, str) else self.source


def predict_source(options: PredictOptions, warn: Callable[[str], None], extra: tuple[Sink, ...] = ()) -> Summary:
    """Run a model over one source, or several side by side, and write what was asked for.

    Args:
        options: see PredictOptions.
        warn: takes a sentence for people while the run goes on.
        extra: further takers of the results.
    Errors: InputError for a source or output that cannot be used, BundleError, DeviceError.
    """
    sources = named(options.sources)
    with ExitStack() as closing:
        reading = open_reading(sources, options.give_up_s, warn)  # a wrong name is told before a model is loaded
        closing.callback(reading.feed.close)
        landmarker = _landmarker(options, warn, closing)
        model = landmarker().model
        if options.pose:
            check_head_pose(model.spec.landmarks)
        about = About(model.spec.landmarks, model.digest, reading.rate, options.pose, reading.has_names)
        sinks: list[Sink] = [*_open_sinks(options, reading, about), *extra]
        for sink in sinks:  # `run_feed` closes them, too; but the view may fail to open
            closing.callback(sink.close)
        follow = _follow_options(options)
        followings = [follow.following(source) for source in reading.sources]
        view = open_view(model.spec.landmarks, reading.feed, reading.title, warn) if options.show else None
        if view is None:
            return _run(reading, landmarker, followings, sinks)
        closing.callback(view.close)
        on_screen = Tiles(Shown(view), reading.tiles) if reading.tiles else Shown(view)
        summary = _run(reading, landmarker, followings, [on_screen, *sinks])
        if not summary.interrupted:
            view.wait()
        return summary


def raise_if_incomplete(summary: Summary) -> None:
    """KeyboardInterrupt after a Ctrl-C, DataError when parts of the source could not be read."""
    if summary.interrupted:
        raise KeyboardInterrupt
    if summary.problems:
        missing = "1 input" if len(summary.problems) == 1 else f"{len(summary.problems)} inputs"
        raise DataError(f"{missing} could not be read; the rest is done", summary.problems)


def describe(summary: Summary) -> str:
    """A line for people with the speed, one for each of several sources, and one with the stages' latencies."""
    rate = summary.frames / summary.seconds if summary.seconds else 0.0
    stages = " · ".join(f"{name} {s.median_ms:.2f}/{s.p99_ms:.2f}" for name, s in summary.stages.items())
    return (
        f"{summary.frames} frames, {summary.with_face} with a face, {rate:.1f} frames/s{_each(summary.by_source)}\n"
        f"ms per stage (median/p99): {stages}"
    )


def _each(frames: dict[str, int]) -> str:
    """Lines about each source; of many the number and those that gave nothing, for a pattern may name thousands."""
    listed = frames if len(frames) <= LISTED else {name: count for name, count in frames.items() if not count}
    lines = [f"{name}: {count} frame{'s' * (count != 1)}" for name, count in list(listed.items())[:LISTED]]
    lines += [f"{len(frames)} sources"] if len(frames) > LISTED else []
    return "".join(f"\n  {line}" for line in lines)


def _landmarker(options: PredictOptions, warn: Callable[[str], None], closing: ExitStack) -> Callable[[], Landmarker]:
    def load(path: str | Path) -> Landmarker:
        return Landmarker.load(
            path,
            threads=options.threads,
            device=options.device,
            backend=options.backend,
            precision=options.precision,
            detector=options.detector,
            yunet=options.yunet,
            schema=options.landmarks,
        )

    if options.site is not None:
        champion = Champion(options.site, load, warn)
        closing.callback(champion.close)
        return champion
    landmarker = closing.enter_context(load(options.model))
    return lambda: landmarker


def _run(
    reading: Reading, landmarker: Callable[[], Landmarker], followings: Sequence[Following], sinks: Sequence[Sink]
) -> Summary:
    summary = run_feed(reading.feed, landmarker, followings, sinks)
    summary.problems = [*reading.problems, *summary.problems]
    if reading.has_names:  # one that gave nothing counts, too
        summary.by_source = {one.named.name: summary.by_source.get(one.named.name, 0) for one in reading.opened}
    return summary


def _follow_options(options: PredictOptions) -> FollowOptions:
    smoothing = OneEuroConfig(
        min_cutoff=options.smooth_cutoff, beta=options.smooth_beta, d_cutoff=options.smooth_speed_cutoff
    )
    return FollowOptions(
        max_faces=options.max_faces,
        detect_every=options.detect_every,
        min_score=options.min_score,
        smooth=options.smooth and smoothing,
        track=options.detector != "whole_image",
        pose=options.pose,
    )


def _open_sinks(options: PredictOptions, reading: Reading, about: About) -> list[Sink]:
    """Writers for all that is asked for; InputError for what would harm a source, before anything is written."""
    outputs = _outputs(options)
    for output in outputs:
        if output.path is not None:
            _check_place(output.kind, output.path, reading)
    if not reading.has_names:
        return open_sinks(outputs, about)
    return open_sinks(outputs, about, lambda folder: open_per_source(folder, reading.opened))


def _check_place(kind: Kind, path: Path, reading: Reading) -> None:
    if kind == "mp4" and len(reading.opened) > 1:
        folder = path.with_suffix("").name
        raise InputError(f"{path} shows one source: give a folder, such as {folder}/, in which each has its file")
    per_source = kind == "images" and reading.has_names
    for place in files_in(path, reading.opened).values() if per_source else [path]:
        reading.check(place)


def _outputs(options: PredictOptions) -> list[Output]:
    """All that is asked for, NDJSON on standard output by default."""
    outputs = [output_of(text) for text in options.out]
    if options.csv is not None:
        outputs.append(Output("csv", options.csv))
    if options.save is not None:
        outputs.append(Output("mp4" if options.save.suffix.lower() == ".mp4" else "images", options.save))
    if options.ndjson is not None or not (outputs or options.show):
        lines = options.ndjson or "-"
        outputs.append(Output("ndjson", None if lines == "-" else Path(lines)))
    return outputs
