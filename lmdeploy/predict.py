"""`lmdeploy predict` as one call: a source in, files out, a summary back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lmdeploy.backends.base import BackendName, Device, Precision
from lmdeploy.errors import DataError, InputError
from lmdeploy.landmarker import Landmarker
from lmdeploy.pose import check_head_pose
from lmdeploy.show.choose import Shown, open_view
from lmdeploy.video.champion import Champion
from lmdeploy.video.connect import shown
from lmdeploy.video.follow import Following, FollowOptions
from lmdeploy.video.frame import Source
from lmdeploy.video.pipeline import Summary, run
from lmdeploy.video.smooth import OneEuroConfig
from lmdeploy.video.source import ImageFiles, open_source
from lmdeploy.video.track import MIN_SCORE
from lmdeploy.writers.base import About, Sink
from lmdeploy.writers.choose import Output, open_sinks, output_of


class PredictOptions(BaseModel):
    """What to read, which model looks at it, and where the results go.

    source: as lmdeploy.video.source.open_source takes it. model: bundle, built-in name or checkpoint. site: serve this
    site's champion instead of `model`. yunet: YuNet's model file. out: outputs, their kind is told from the name
    (lmdeploy.writers.choose). csv, ndjson, save: outputs, too; ndjson `-` is standard output, and so is giving no
    output at all (nor show); save is a folder for pictures or an .mp4 file.
    landmarks: of which schema, where the model finds those of several.
    max_faces: None keeps all faces of a still image, one of a stream. detect_every, min_score, smooth: for streams.
    smooth_cutoff, smooth_beta, smooth_speed_cutoff: min_cutoff, beta and d_cutoff of OneEuroConfig.
    show: on the screen, in a window or the browser. pose: tell how heads are turned (lmdeploy.pose), in CSV, NDJSON
    and Parquet, and draw it.
    give_up_s: end a live source that was lost for so long; None tries it again for ever.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
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


def predict_source(options: PredictOptions, warn: Callable[[str], None], extra: tuple[Sink, ...] = ()) -> Summary:
    """Run a model over a source and write what was asked for.

    Args:
        options: see PredictOptions.
        warn: takes a sentence for people while the run goes on.
        extra: further takers of the results.
    Errors: InputError for a source or output that cannot be used, BundleError, DeviceError.
    """
    with ExitStack() as closing:
        landmarker = _landmarker(options, warn, closing)
        source = open_source(options.source, give_up_s=options.give_up_s, warn=warn)
        closing.callback(source.close)
        model = landmarker().model
        if options.pose:
            check_head_pose(model.spec.landmarks)
        about = About(model.spec.landmarks, model.digest, source.rate, options.pose)
        sinks: list[Sink] = [*open_sinks(_outputs(options, source), about), *extra]
        for sink in sinks:  # `run` closes them, too; but the view may fail to open
            closing.callback(sink.close)
        view = open_view(model.spec.landmarks, source, shown(options.source), warn) if options.show else None
        if view is None:
            return run(source, landmarker, _following(options, source), sinks)
        closing.callback(view.close)
        summary = run(source, landmarker, _following(options, source), [Shown(view), *sinks])
        if not summary.interrupted:
            view.wait()
        return summary


def raise_if_incomplete(summary: Summary) -> None:
    """KeyboardInterrupt after a Ctrl-C, DataError when parts of the source could not be read."""
    if summary.interrupted:
        raise KeyboardInterrupt
    if summary.problems:
        raise DataError(f"{len(summary.problems)} inputs could not be read; the rest is done", summary.problems)


def describe(summary: Summary) -> str:
    """A line for people with the speed, and one with median / 99th percentile of each stage."""
    rate = summary.frames / summary.seconds if summary.seconds else 0.0
    stages = " · ".join(f"{name} {s.median_ms:.2f}/{s.p99_ms:.2f}" for name, s in summary.stages.items())
    return (
        f"{summary.frames} frames, {summary.with_face} with a face, {rate:.1f} frames/s\n"
        f"ms per stage (median/p99): {stages}"
    )


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


def _following(options: PredictOptions, source: Source) -> Following:
    smoothing = OneEuroConfig(
        min_cutoff=options.smooth_cutoff, beta=options.smooth_beta, d_cutoff=options.smooth_speed_cutoff
    )
    follow = FollowOptions(
        max_faces=options.max_faces,
        detect_every=options.detect_every,
        min_score=options.min_score,
        smooth=options.smooth and smoothing,
        track=options.detector != "whole_image",
        pose=options.pose,
    )
    return follow.following(source)


def _outputs(options: PredictOptions, source: Source) -> list[Output]:
    """All that is asked for, NDJSON on standard output by default; InputError for what would harm the source."""
    outputs = [output_of(text) for text in options.out]
    if options.csv is not None:
        outputs.append(Output("csv", options.csv))
    if options.save is not None:
        outputs.append(Output("mp4" if options.save.suffix.lower() == ".mp4" else "images", options.save))
    if options.ndjson is not None or not (outputs or options.show):
        lines = options.ndjson or "-"
        outputs.append(Output("ndjson", None if lines == "-" else Path(lines)))
    own = {file.parent.resolve() for file in source.paths} if isinstance(source, ImageFiles) else set()
    for path in (output.path for output in outputs if output.path is not None):
        if path.resolve() in own:
            raise InputError(f"{path} would overwrite the source's own images: choose another folder")
        if path.exists() and path.resolve() == Path(options.source).resolve():
            raise InputError(f"{path} is the source: choose another name for the output")
    return outputs
