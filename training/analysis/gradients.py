"""Whether pseudo-labels pull a network where true labels would: correlation of gradients (STLD, V-D, Fig. 11).

    g_i(y) = gradient of e_i = mean_k error(main(x_i)_k, y_ik) by the weights of the main head      one sample i
    r      = Pearson correlation of g(GT) and g(pseudo) over all entries of all samples of a group

A replay: the same augmented batches (same seed) twice through one saved network in eval mode, the labels being the
only difference. Samples are grouped by the NME of their pseudo-labels and, since the figure's axis says "loss scale"
and the text "pseudo-label noise", also by their loss on the pseudo-labels; ten groups of equal size, our choice.

Differs from the paper: one checkpoint (the first round after the start) instead of a whole training.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lmdeploy.errors import InputError
from lmdeploy.geometry import transform
from lmdeploy.types import F64
from training.analysis.figure import Frozen, Inputs, Line, Row, canvas, collect, draw, line
from training.analysis.groups import quantile_groups
from training.analysis.run import MissingError, Run
from training.analysis.truth import Matched, Truth
from training.augment import config
from training.data import crops as crop_cache
from training.data.crops import Crops
from training.engine import checkpoint
from training.engine.batch import Drawer
from training.engine.fit import seed_of
from training.engine.predictor import network_of, pick_device
from training.engine.train_set import Part, TrainSet
from training.losses.landmark_error import landmark_error
from training.models import Network
from training.models.heatmap import Heatmap
from training.models.transformer import Transformer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUPS = 10
IMAGES = 256  # at most, spread evenly over the unlabelled ones
BATCH = 16
SEED = 1234


class Gradients(NamedTuple):
    """Per sample: gradient of the last layer f32[N,D] and loss f32[N]."""

    gradient: Tensor
    loss: Tensor


class Curve(Frozen):
    """Correlation of one run's gradients over the noise and over the loss of the groups, and of all samples."""

    name: str
    model: str
    stage: str
    images: int
    by_noise: Line
    by_loss: Line
    all: float


class Correlation(Frozen):
    """A curve for every run."""

    unit: str
    curves: tuple[Curve, ...]
    notes: tuple[str, ...] = ()

    def rows(self) -> list[Row]:
        """Groups by noise, groups by loss, all samples."""
        return [
            row
            for of in self.curves
            for row in (
                *of.by_noise.rows("by noise, "),
                *of.by_loss.rows("by loss, "),
                (of.name, "all samples", of.all),
            )
        ]


def pearson(a: Tensor, b: Tensor) -> float:
    """Pearson correlation of all entries of two tensors of one shape; NaN where one is constant."""
    x, y = (t.double().flatten() - t.double().mean() for t in (a, b))
    size = (x.norm() * y.norm()).item()
    return float(x @ y) / size if size > 0 else float("nan")


def last_layer(main: nn.Module, hidden: Tensor, target: Tensor, visible: Tensor) -> Gradients:
    """Gradients by main's weights of each sample's mean error; main: linear or 1x1 convolution.

    Args:
        main: the head itself.
        hidden: its input, f32[B,K,C] (coordinates) or f32[B,C,h,w] (maps).
        target: f32 of the shape of its output.
        visible: bool[B,K].
    """
    out = main(hidden).detach().requires_grad_()
    error = landmark_error(out, target, torch.ones(len(out), device=out.device)) * visible
    loss = error.sum(dim=1) / visible.sum(dim=1).clamp(min=1)
    (slope,) = torch.autograd.grad(loss.sum(), out)
    equation = "bkhw,bchw->bkc" if out.dim() == 4 else "bkd,bkc->bdc"
    return Gradients(torch.einsum(equation, slope, hidden).flatten(1), loss.detach())


def replay(network: Network, drawers: tuple[Drawer, Drawer], seed: int = SEED) -> tuple[Gradients, Gradients]:
    """Gradients under the labels of two drawers that hold the same images in the same order."""
    network.eval()
    if not isinstance(network, Heatmap | Transformer):
        raise MissingError(f"a {type(network).__name__} has no last layer of the paper's kind; HM and TF have")
    main = network.main
    kept: list[Tensor] = []
    hook = main.register_forward_hook(lambda module, given, out: kept.append(given[0]))
    found: tuple[list[Gradients], list[Gradients]] = ([], [])
    rows = torch.split(torch.arange(len(drawers[0].data)), BATCH)
    try:
        for i, part in enumerate(rows):
            draw = [torch.Generator().manual_seed(seed_of(seed, "gradients", i)) for _ in drawers]
            views = [drawer.draw(part, generator) for drawer, generator in zip(drawers, draw, strict=True)]
            kept.clear()
            with torch.no_grad():
                network(views[0].x)
            hidden, visible = kept[0], views[0].visible & views[1].visible
            for into, view in zip(found, views, strict=True):
                into.append(last_layer(main, hidden, view.target, visible))
    finally:
        hook.remove()
    a, b = (Gradients(*(torch.cat(parts).cpu() for parts in zip(*of, strict=True))) for of in found)
    return a, b


def correlation(a: Tensor, b: Tensor, along: F64, name: str, groups: int = GROUPS) -> Line:
    """Pearson r of f32[N,D] gradients in groups of equal size along f64[N], over the groups' mean."""
    parts = quantile_groups(along, groups)
    return line(name, [along[g].mean() for g in parts], [pearson(a[g], b[g]) for g in parts])


def curve_of(run: Run, truth: Truth, images: int = IMAGES) -> Curve:
    """Round t's network under true labels and under the pseudo-labels of round t - 1, for the first t >= 1 saved."""
    t = min(run.trained_rounds(), default=None)
    if t is None:
        raise MissingError(f"{run.name}: no network of a round after 0 (stages/round<t>.safetensors)")
    found = _some(truth.of(run, run.labels(t - 1)), images)
    device = pick_device("auto")
    network = _network(run, t).to(device)
    with tempfile.TemporaryDirectory() as folder:
        gt, pseudo = replay(network, _drawers(run, found, Path(folder), device))
    noise = found.nme(found.pseudo, found.true)
    a, b, loss = gt.gradient, pseudo.gradient, pseudo.loss.numpy().astype(np.float64)
    by_noise, by_loss = correlation(a, b, noise, run.name), correlation(a, b, loss, run.name)
    return Curve(
        name=run.name, model=run.model, stage=f"round{t}", images=len(noise), by_noise=by_noise, by_loss=by_loss,
        all=pearson(a, b),
    )  # fmt: skip


def make(inputs: Inputs) -> Correlation:
    """A curve for every run that kept a trained round and the labels before it."""
    truth = inputs.needs_truth()
    curves, lacking = collect(lambda run: curve_of(run, truth), inputs.runs)
    return Correlation(unit=inputs.runs[0].unit, curves=tuple(curves), notes=lacking)


def plot(result: Correlation) -> Figure:
    """Correlation over noise (left) and over loss (right)."""
    figure, (left, right) = canvas(2)
    draw(left, [of.by_noise for of in result.curves], f"NME of pseudo-labels, {result.unit}", "Pearson r")
    draw(right, [of.by_loss for of in result.curves], "loss on pseudo-labels", "Pearson r")
    right.ticklabel_format(axis="x", style="sci", scilimits=(-2, 4))
    figure.suptitle(
        "last layer's gradients, GT against pseudo: "
        + "; ".join(f"{of.name} ({of.model}) after {of.stage}, {of.images} images" for of in result.curves),
        fontsize=8,
    )
    return figure


def _network(run: Run, t: int) -> Network:
    saved = checkpoint.read(run.folder / "stages" / f"round{t}.safetensors")
    try:
        return network_of(saved)
    except RuntimeError as error:
        raise MissingError(f"{run.name}: stages/round{t} is more than a network with two heads") from error


def _some(found: Matched, images: int) -> Matched:
    """At most `images` of the matched ones, spread evenly."""
    some = np.unique(np.linspace(0, len(found.samples) - 1, min(images, len(found.samples))).astype(int))
    score = None if found.score is None else found.score[some]
    samples, boxes = (tuple(of[i] for i in some) for of in (found.samples, found.boxes))
    return replace(found, samples=samples, boxes=boxes, pseudo=found.pseudo[some], true=found.true[some], score=score)


def _drawers(run: Run, found: Matched, folder: Path, device: torch.device) -> tuple[Drawer, Drawer]:
    """The images' crops with true and with pseudo-labels, augmented as in training."""
    boxed = [replace(sample, box=box) for sample, box in zip(found.samples, found.boxes, strict=True)]
    crop, points = run.spec.crop, run.spec.landmarks.points
    gt = crop_cache.build(boxed, points, crop, folder, "analysed")
    moved = np.stack([transform(m, p) for m, p in zip(gt.matrices, found.pseudo, strict=True)])
    try:
        strengths = config.Config.model_validate(run.spec.recipe.get("augment", {}))
    except ValueError as error:
        raise InputError(f"{run.name}: its augmentation is of another version of lmdeploy") from error

    def drawer(crops: Crops) -> Drawer:
        data = TrainSet([Part(crops)])
        return Drawer(data, run.spec, run.network.unit(crop.size), strengths, device)

    return drawer(gt), drawer(gt.with_points(moved))
