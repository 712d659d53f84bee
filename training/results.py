"""What a run of a published cell came to: its test splits, beside the figures that the paper prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lmdeploy.atomic import write_file
from lmdeploy.boxes import boxes_for
from lmdeploy.evaluate import THRESHOLD, Evaluation, measure
from lmdeploy.model import Model
from lmdeploy.outcome import predict_samples
from training.data.published import Data, Target, samples_of


def on_split(model: Model, data: Data, root: Path, name: str) -> Evaluation:
    """Figures of a model on a test split, with the recipe's boxes, frame and normaliser."""
    outcome = predict_samples(model, boxes_for(samples_of(data, root, name), "file"))
    part = data.measured
    threshold, subset = (THRESHOLD, None) if part is None else (part.threshold, part.subset)
    result = measure(outcome, data.frame, data.normaliser, threshold, subset)
    return result.model_copy(update={"boxes": f"crop policy {(part or data).crop}"})


def report(
    model: Model, data: Data, targets: tuple[Target, ...], root: Path, out: Path, tell: Callable[[str], None]
) -> None:
    """Measure every test split, write out/test/<split>.json, and say it beside the paper's figures.

    Args:
        model: the run's last network.
        data: the recipe's [data].
        targets: the recipe's [[target]].
        root: the user's copy of the set that is measured on.
        out: run folder.
        tell: gets a line for each split and each target.
    """
    results = {name: on_split(model, data, root, name) for name in data.test}
    for name, result in results.items():
        write_file(out / "test" / f"{name}.json", result.to_json().encode())
        how = f"{result.normaliser}, {result.frame} frame, {result.images} images"
        tell(f"{(data.measured or data).set} {name}: NME {result.nme:.2f} % ({how})")
    for target in targets:
        tell(beside(target, results[target.split or data.test[0]]))


def beside(target: Target, result: Evaluation) -> str:
    """One line: the published figure and ours."""
    where = f" on {target.split}" if target.split else ""
    return (
        f"{target.paper} Table {target.table}, {target.row}{where}: {target.metric} {target.value} {target.unit} "
        f"published, {figure(target, result):.2f} here"
    )


def figure(target: Target, result: Evaluation) -> float:
    """Our figure in the target's unit; NaN where the set has no such figure."""
    ours = {"nme": result.nme, "auc": 100 * result.auc, "fr": result.fr, "mre_mm": result.mre_mm}[target.metric]
    return float("nan") if ours is None else ours
