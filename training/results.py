"""What a run of a published cell came to: its test splits, beside the figures that the paper prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lmdeploy.atomic import write_file
from lmdeploy.evaluate import Evaluation, evaluate
from lmdeploy.model import Model
from training.data.published import Data, Target, samples_of


def on_split(model: Model, data: Data, root: Path, name: str) -> Evaluation:
    """Figures of a model on a test split, with the recipe's boxes, frame and normaliser."""
    samples = samples_of(data, root, name)
    result = evaluate(model, samples, boxes="file", frame=data.frame, normaliser=data.normaliser)
    return result.model_copy(update={"boxes": f"crop policy {data.crop}"})


def report(
    model: Model, data: Data, targets: tuple[Target, ...], root: Path, out: Path, tell: Callable[[str], None]
) -> None:
    """Measure every test split, write out/test/<split>.json, and say it beside the paper's figures.

    Args:
        model: the run's last network.
        data: the recipe's [data].
        targets: the recipe's [[target]]; they are on the first test split.
        root: the user's copy of the set.
        out: run folder.
        tell: gets a line for each split and each target.
    """
    results = {name: on_split(model, data, root, name) for name in data.test}
    for name, result in results.items():
        write_file(out / "test" / f"{name}.json", result.to_json().encode())
        how = f"{result.normaliser}, {result.frame} frame, {result.images} images"
        tell(f"{data.set} {name}: NME {result.nme:.2f} % ({how})")
    for target in targets:
        tell(beside(target, results[data.test[0]]))


def beside(target: Target, result: Evaluation) -> str:
    """One line: the published figure and ours."""
    return (
        f"{target.paper} Table {target.table}, {target.row}: {target.metric} {target.value} {target.unit} published, "
        f"{figure(target, result):.2f} here"
    )


def figure(target: Target, result: Evaluation) -> float:
    """Our figure in the target's unit; NaN where the set has no such figure."""
    ours = {"nme": result.nme, "auc": 100 * result.auc, "fr": result.fr, "mre_mm": result.mre_mm}[target.metric]
    return float("nan") if ours is None else ours
