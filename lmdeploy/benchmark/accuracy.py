"""How right each way is on a labelled folder."""

from __future__ import annotations

from collections.abc import Sequence

from lmdeploy.benchmark.measure import Watch
from lmdeploy.benchmark.report import Accuracy
from lmdeploy.benchmark.ways import Options
from lmdeploy.boxes import Boxed, boxes_for
from lmdeploy.bundle import ModelSpec
from lmdeploy.dataset import read_labelled
from lmdeploy.evaluate import measure
from lmdeploy.landmarker import Landmarker
from lmdeploy.outcome import predict_samples

MOST_QUICK = 32


def labelled(options: Options, spec: ModelSpec) -> Boxed | None:
    """The labelled images of the options with their true boxes: all, or for a quick look the first ones."""
    if options.data is None:
        return None
    samples = read_labelled(options.data, spec.landmarks)
    return boxes_for(samples[:MOST_QUICK] if options.quick else samples, "gt")


def accuracies(ways: Sequence[Landmarker], boxed: Boxed | None, watch: Watch) -> list[Accuracy | None]:
    """Figures of open landmarkers on the same images, by the schema's own normaliser; None without images."""
    if boxed is None:
        return [None] * len(ways)
    found: list[Accuracy | None] = []
    for number, way in enumerate(ways):
        watch("accuracy", number, len(ways))
        result = measure(predict_samples(way.model, boxed))
        about = {name: getattr(result, name) for name in Accuracy.model_fields}
        found.append(Accuracy(**about))
    watch("accuracy", len(ways), len(ways))
    return found
