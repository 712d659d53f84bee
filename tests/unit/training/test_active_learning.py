"""Active learning: what is bought, what stays hidden, what is kept, and that planted noise is found."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lmdeploy.errors import InputError
from lmdeploy.schema import load_schema
from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job, recipe
from training.data import pools
from training.data.crops import Crops
from training.engine.count import count
from training.engine.fit import Stage, Step
from training.engine.train_set import Part
from training.methods import METHODS, active_learning
from training.models import KINDS
from training.models.scaf import Scaf
from training.selection import STRATEGIES, measures

POOL = 12


class Seen:
    """The parts of every stage of a run whose networks are not trained."""

    def __init__(self, ready: job.Prepared) -> None:
        self.parts: list[Part] = []
        self.stages: list[Stage] = []
        self.reported: list[str] = []
        ready.trainer.fit = self.fit  # type: ignore[method-assign]
        ready.trainer.report = lambda network, name: self.reported.append(name)  # type: ignore[method-assign]

    def fit(self, network: nn.Module, parts: list[Part], step: Step, stage: Stage, schedule: object = None) -> None:
        self.parts += parts
        self.stages.append(stage)


def prepared(toy: Path, out: Path, **options: Any) -> tuple[job.Prepared, active_learning.Config]:
    made = tiny_recipe("active_learning", **options)
    config = made.method_config()
    assert isinstance(config, active_learning.Config)
    return job.prepare(tiny_request(toy, out, "active_learning", recipe=made)), config


def bought(toy: Path, out: Path, **options: Any) -> Seen:
    ready, config = prepared(toy, out, **options)
    seen = Seen(ready)
    active_learning.train(config, ready.trainer, ready.labelled, None)
    return seen


def rows_of(part: Part) -> tuple[int, ...]:
    assert part.rows is not None
    return part.rows


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_pools_are_disjoint_and_complete_and_the_budget_is_met_exactly(
    strategy: str, toy: Path, tmp_path: Path
) -> None:
    seen = bought(toy, tmp_path, strategy=strategy, initial=4, budget=9, step=2, discard=0.0)
    rows = [rows_of(part) for part in seen.parts]
    assert [len(some) for some in rows] == [4, 6, 8, 9]  # the last step is cut
    assert seen.reported == ["round0", "round1", "round2", "round3"]
    names = {f"toy_1_{i:04d}.png" for i in range(POOL)}
    for r, (before, after) in enumerate(itertools.pairwise(rows)):
        assert after[: len(before)] == before
        assert len(set(after)) == len(after)
        kept = json.loads((tmp_path / "selection" / f"round{r}.json").read_text())
        assert tuple(kept["chosen_rows"]) == after[len(before) :]
        assert len(kept["labelled"]) == len(before)
        candidates = [name for _, name in kept["values"]]
        assert set(kept["labelled"]) | set(candidates) == names
        assert not set(kept["labelled"]) & set(candidates)
        assert set(kept["chosen"]) <= set(candidates)
    final = (tmp_path / "selection" / "labelled.txt").read_text().splitlines()
    assert final == [f"toy_1_{i:04d}.png" for i in rows[-1]]


def test_no_label_can_be_seen_before_it_is_bought(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[Crops] = []
    real = measures.measure

    def watched(strategy: str, network: Any, crops: Crops, size: int, window: int) -> Any:
        scored.append(crops)
        return real(strategy, network, crops, size, window)

    monkeypatch.setattr(active_learning, "measure", watched)
    seen = bought(toy, tmp_path, initial=4, budget=9, step=2)
    for part in seen.parts:
        hidden = [i for i in range(POOL) if i not in rows_of(part)]
        assert np.isfinite(part.crops.points[list(rows_of(part))]).all()
        assert np.isnan(part.crops.points[hidden]).all()
    assert len(scored) == 3
    assert all(np.isnan(crops.points).all() for crops in scored)


def test_the_discard_s_images_are_named_and_not_bought(toy: Path, tmp_path: Path) -> None:
    bought(toy, tmp_path, initial=2, budget=5, step=3, discard=0.25)
    kept = json.loads((tmp_path / "selection" / "round0.json").read_text())
    ranked = [name for _, name in kept["values"]]
    assert kept["dropped"] == ranked[:2]  # floor(0.25 x 10)
    assert kept["chosen"] == ranked[2:5]


def test_it_says_once_that_boxes_are_the_ground_truth(
    toy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        bought(toy, tmp_path, initial=4, budget=9, step=2)
    said = [record.getMessage() for record in caplog.records if "ground truth" in record.getMessage()]
    assert said == ["boxes: the ground truth of all 12 images, whose points are hidden until chosen"]


def test_stld_on_bought_labels_is_the_recipe_stld_with_round_0_given() -> None:
    plain, active = recipe.load("stld"), recipe.load("stld_active")
    assert active.options == plain.options | {"start": "init", "student": "fresh"}
    assert active.model_copy(update={"options": plain.options, "name": plain.name}) == plain


def test_the_whole_pool_can_be_bought_in_spite_of_the_discard(toy: Path, tmp_path: Path) -> None:
    seen = bought(toy, tmp_path, initial=2, budget=POOL, step=5, discard=0.5)
    assert sorted(rows_of(seen.parts[-1])) == list(range(POOL))


def test_a_budget_of_the_initial_images_is_random_choice_whatever_the_strategy(toy: Path, tmp_path: Path) -> None:
    chosen = {
        name: [
            rows_of(part) for part in bought(toy, tmp_path / name, strategy=name, initial=5, budget=5, discard=0).parts
        ]
        for name in STRATEGIES
    }
    assert len({str(rows) for rows in chosen.values()}) == 1
    assert len(chosen["nnm"]) == 1
    ready, config = prepared(toy, tmp_path / "seed")
    ready.trainer.settings = job.Settings(**{**vars(ready.trainer.settings), "seed": 7})
    assert active_learning.first_rows(config, ready.trainer, POOL) != chosen["nnm"][0]


def test_an_interrupted_run_keeps_to_its_choice(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bought(toy, tmp_path, initial=4, budget=9, step=2)
    (tmp_path / "selection" / "round2.json").unlink()
    made = measures.measure
    calls = []

    def counted(*args: Any) -> Any:
        calls.append(args)
        return made(*args)

    monkeypatch.setattr(active_learning, "measure", counted)
    second = bought(toy, tmp_path, initial=4, budget=9, step=2)
    assert len(calls) == 1
    assert [rows_of(part) for part in second.parts] == [rows_of(part) for part in first.parts]


def test_a_run_s_length_is_known_beforehand_and_nothing_is_written_for_it(toy: Path, tmp_path: Path) -> None:
    ready, config = prepared(toy, tmp_path, initial=2, budget=POOL, step=5, discard=0.5)
    counted = count(active_learning.train, config, ready.trainer, ready.labelled, None)
    assert [length.images for length in counted.lengths] == [2, 7, 10, 11, 12]  # halves of 10, 5, 2 and 1 are left
    assert not (tmp_path / "selection").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"budget": 13}, "the pool has 12 labelled images, and options.budget asks for 13"),
        ({"budget": 2, "initial": 3}, "budget 2 is less than the 3 initial images"),
        ({"window": 4}, "it must be odd"),
        ({"strategy": "random", "discard": 0.1}, "does not rank by hardness"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], words: str, toy: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        bought(toy, tmp_path, **options)


def test_scaf_starts_every_round_from_one_auto_encoder_and_buys(toy: Path, tmp_path: Path) -> None:
    base = tiny_recipe("active_learning", initial=4, budget=6, step=2, strategy="k_center", discard=0.0)
    network = tiny_recipe("scaf").network
    made = recipe.checked(base.model_copy(update={"network": network, "codec": "scaf"}), "test")
    ready = job.prepare(tiny_request(toy, tmp_path, "active_learning", recipe=made))
    seen = Seen(ready)
    cfg = made.method_config()
    found = active_learning.train(cfg, ready.trainer, ready.labelled, None)  # type: ignore[arg-type]
    assert isinstance(found, Scaf)
    assert [stage.name for stage in seen.stages if stage.name.startswith("round")] == ["round0", "round1"]
    assert seen.stages[-1].rates["encoder."] == pytest.approx(2e-5 / made.schedule.lr)
    assert not any(weight.requires_grad for weight in found.generator.parameters())
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(measures.embed(found.eval(), x), found(x)[1])


def test_the_final_list_is_a_labelled_list_of_train(toy: Path, tmp_path: Path) -> None:
    bought(toy, tmp_path, initial=4, budget=9, step=2)
    found = pools.read_pools(
        toy / "labelled", str(tmp_path / "selection" / "labelled.txt"), (), load_schema("ibug68"), 1
    )
    assert (len(found.labelled), len(found.hidden)) == (9, 3)


def test_only_networks_with_maps_are_trained() -> None:
    assert all(
        all(codec != "coords" for codec in KINDS[kind].config.codecs) for kind in METHODS["active_learning"].networks
    )
