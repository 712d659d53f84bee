"""The runs that the figures with many trainings need, as named recipes (STLD, Figs. 3, 9, 12, 13; methods spec 5).

A sweep = recipes times numbers of labelled images. Numbers are those of the paper's data sets: 300-W 50, 157, 315, 630
(1.6, 5, 10, 20 %); WFLW 50, 375, 750, 1500 (0.7, 5, 10, 20 %) and 75, 150, 225 (1, 2, 3 %, our choice).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lmdeploy.errors import InputError
from training import recipe
from training.methods import METHODS, stld
from training.recipe import Recipe

OF_300W = (50, 157, 315, 630)
OF_WFLW = (50, 75, 150, 225, 375, 750, 1500)
FIVE_PER_CENT = (157,)
SIGMA_2 = (1.5, 1.8, 2.0, 2.2, 2.6, 3.0, 3.4, 3.8, 4.2, 4.6)
COMMON = ("rounds", "start", "student", "epochs", "decay_at", "oversample")  # options that mean the same everywhere
P_2 = (1.0, 1.4, 1.8, 2.4, 3.0, 4.0)


class Planned(NamedTuple):
    """One training: the name of its run, its recipe and how many images are labelled."""

    name: str
    recipe: Recipe
    labelled: int


def rounds(base: Recipe) -> list[Recipe]:
    """Fig. 3: naive self-training, CL and STLD."""
    return [of_method(base, method) for method in ("naive", "curriculum_labeling", "stld") if method in METHODS]


def ablation(base: Recipe) -> list[Recipe]:
    """Fig. 9: naive, linear warm-up, PP only, shrink only, full."""
    others = [of_method(base, method) for method in ("naive", "linear_warmup") if method in METHODS]
    full = of_method(base, "stld")
    parts = [with_options(full, "pp-only", mixed=False), with_options(full, "shrink-only", pretrain=False)]
    return [*others, *parts, full]


def crossover(base: Recipe) -> list[Recipe]:
    """Fig. 12: full STLD; give a recipe for each model."""
    return [of_method(base, "stld")]


def sensitivity(base: Recipe) -> list[Recipe]:
    """Fig. 13: sigma_2 (HM) or p_2 (TF), the published curriculum as it is."""
    full = of_method(base, "stld")
    cfg = stld.Config.model_validate(full.options)
    is_tf = full.network.kind == "transformer"
    knob, starts, last = ("p", P_2, 1.0) if is_tf else ("sigma", SIGMA_2, cfg.gt_sigma)
    own = (cfg.p if is_tf else cfg.sigma)[0]
    return [
        full if start == own else with_options(full, f"{knob}{start:g}", **{knob: curriculum(start, last, cfg.rounds)})
        for start in starts
    ]


def curriculum(start: float, last: float, rounds: int) -> tuple[float, ...]:
    """Values of rounds 2 .. T evenly from start down to last; with T = 4 the middle one is the midpoint.

    >>> curriculum(3.0, 1.5, 4)
    (3.0, 2.25, 1.5)
    """
    steps = rounds - 2
    if steps == 0:
        return (start,)
    return tuple(round(start + (last - start) * i / steps, 6) for i in range(steps + 1))


def of_method(base: Recipe, method: str) -> Recipe:
    """The recipe with another method: lengths, start and rounds are taken over, the rest are the method's defaults."""
    if base.method == method:
        return base
    known = METHODS[method].config.model_fields
    options = {key: base.options[key] for key in COMMON if key in base.options and key in known}
    name = f"{base.name}-{method.replace('_', '-')}"
    return recipe.checked(base.model_copy(update={"method": method, "name": name, "options": options}), name)


def with_options(base: Recipe, suffix: str, **options: object) -> Recipe:
    """The recipe under another name, some options replaced."""
    name = f"{base.name}-{suffix}"
    return recipe.checked(base.model_copy(update={"name": name, "options": base.options | options}), name)


SWEEPS: dict[str, tuple[Callable[[Recipe], list[Recipe]], tuple[int, ...]]] = {
    "noise": (rounds, FIVE_PER_CENT),
    "ablation": (ablation, OF_300W),
    "crossover": (crossover, OF_WFLW),
    "sensitivity": (sensitivity, FIVE_PER_CENT),
}
"""Figure -> (a recipe's variants, numbers of labelled images)."""


def plan(figure: str, bases: list[Recipe]) -> list[Planned]:
    """All runs of a figure, for each given recipe (one a model)."""
    if figure not in SWEEPS:
        raise InputError(f"--plan {figure}: figures with a sweep of their own are {', '.join(SWEEPS)}")
    variants, numbers = SWEEPS[figure]
    found = [
        Planned(f"{of.name}-{labelled}", _with_data(of, labelled), labelled)
        for base in bases
        for of in variants(base)
        for labelled in numbers
    ]
    names = [of.name for of in found]
    if len(set(names)) < len(names):
        raise InputError("two of the recipes have the same name: give each its own `name`")
    return found


def _with_data(of: Recipe, labelled: int) -> Recipe:
    """The recipe with its own number of labelled images, and without the figures of the cell that it came from."""
    data = of.data.model_copy(update={"labelled": labelled}) if of.data else None
    return of.model_copy(update={"data": data, "target": ()})
