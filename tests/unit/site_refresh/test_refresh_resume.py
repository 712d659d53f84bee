"""Refreshes that were stopped or failed: resumed step by step, to the same state."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lmdeploy.bundle import read_bundle
from lmdeploy.dataset import Sample
from lmdeploy.errors import InputError, LmdeployError, MissingExtraError
from lmdeploy.site import audit, journal, registry, steps
from lmdeploy.site.collect import collect_frames
from lmdeploy.site.journal import RefreshState, read_states, refresh_folder
from lmdeploy.site.refresh import refresh
from lmdeploy.site.report import verify
from lmdeploy.types import F64
from tests.site_kit import better_errors, factory_of, frames, other_bundle, see_blobs, worse_errors


@pytest.mark.parametrize(
    ("fail", "kind", "message"),
    [
        ("torch", MissingExtraError, "pip install"),
        ("crash", LmdeployError, "broke"),
        ("silent", LmdeployError, "without"),
    ],
)
def test_failed_training_is_tried_again(
    site: Path, monkeypatch: pytest.MonkeyPatch, fail: str, kind: type[Exception], message: str
) -> None:
    monkeypatch.setenv("STAND_IN_FAIL", fail)
    with pytest.raises(kind, match=message):
        refresh(site, errors=better_errors)
    assert read_states(site)[0].step == "prepared"
    monkeypatch.delenv("STAND_IN_FAIL")
    assert refresh(site, errors=better_errors).outcome == "promoted"
    assert len(read_states(site)) == 1


STEPS: list[tuple[str, str]] = [
    ("prepare", "started"),
    ("train", "prepared"),
    ("export", "trained"),
    ("gate", "exported"),
    ("promote", "gated"),
]


class Stop(RuntimeError):
    """Stands for a kill between two lines of the program."""


@pytest.mark.parametrize(("step", "left"), STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_resumed_refresh_reaches_the_same_state(
    site: Path, straight: Path, monkeypatch: pytest.MonkeyPatch, step: str, left: str, when: str
) -> None:
    """P3: stopped before a step, or after its work and log but before its state is written."""
    with monkeypatch.context() as patch:
        if when == "before":
            patch.setattr(steps, step, _stop)
        else:
            patch.setattr(steps, "write_state", _stop_at(left))
        with pytest.raises(Stop):
            refresh(site, errors=better_errors)
    states = read_states(site)
    assert (states[0].step if states else "started") == left
    assert [refresh(site, errors=better_errors)] == read_states(straight)
    starts = (refresh_folder(site, 1) / "run" / "starts.txt").read_text().splitlines()
    assert len(starts) == (2 if (step, when) == ("train", "after") else 1)
    keys = [r.key for r in audit.read_log(site) if r.key]
    assert len(keys) == len(set(keys)) == len([r for r in audit.read_log(straight) if r.key])
    verify(site)


def _stop(*_: object, **__: object) -> None:
    raise Stop


def _stop_at(left: str) -> Callable[[Path, RefreshState], RefreshState]:
    def write(site: Path, state: RefreshState) -> RefreshState:
        if journal.ORDER.index(state.step) == journal.ORDER.index(left) + 1:  # type: ignore[arg-type]  # a step's name
            raise Stop
        return journal.write_state(site, state)

    return write


def test_rollback_between_gate_and_promotion_makes_the_gate_compare_again(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(site, errors=better_errors)
    collect_frames(site, frames(range(200, 203)), see_blobs, "cam")
    with monkeypatch.context() as patch:
        patch.setattr(steps, "promote", _stop)
        with pytest.raises(Stop):
            refresh(site, errors=_falling([4.0, 5.0]))
    registry.rollback(site)
    state = refresh(site, errors=_falling([4.5, 5.0]))
    assert state.champion == factory_of(site)
    assert state.outcome == "promoted"
    assert state.gate is not None
    assert state.gate.candidate_nme == pytest.approx(4.5, abs=0.2)


def _falling(levels: list[float]) -> Callable[[Path, list[Sample], int | None], F64]:
    answers = iter(levels)

    def errors(bundle: Path, samples: list[Sample], threads: int | None) -> F64:
        return next(answers) + np.random.default_rng(1).normal(0, 0.1, len(samples))

    return errors


def test_half_exported_bundle_is_made_again(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(steps, "export", _stop)
        with pytest.raises(Stop):
            refresh(site, errors=better_errors)
    half = refresh_folder(site, 1) / "bundle"
    other_bundle(read_bundle(registry.champion_path(site)), half, "9.9.9")
    (half / "model.onnx").write_bytes(b"half")
    state = refresh(site, errors=better_errors)
    assert state.outcome == "promoted"
    assert read_bundle(registry.champion_path(site)).spec.version != "9.9.9"


def test_damaged_and_newer_states_are_named(site: Path) -> None:
    refresh(site, errors=worse_errors)
    path = refresh_folder(site, 1) / journal.STATE
    good = json.loads(path.read_text())
    path.write_text(json.dumps({**good, "schema_version": 2}))
    with pytest.raises(InputError, match=r"state\.json.*update lmdeploy"):
        refresh(site)
    path.write_text("{")
    with pytest.raises(InputError, match=r"state\.json"):
        read_states(site)


def test_states_are_ordered_by_number(tmp_path: Path) -> None:
    for number in (1, 999, 1000, 2):
        journal.write_state(tmp_path, RefreshState(number=number, step="done"))
    assert [s.number for s in read_states(tmp_path)] == [1, 2, 999, 1000]
    assert journal.current_state(tmp_path).number == 1001
    assert journal.current_state(tmp_path / "new").number == 1
    journal.write_state(tmp_path, RefreshState(number=1001, step="gated"))
    state = journal.current_state(tmp_path)
    assert (state.number, state.has("exported"), state.has("done")) == (1001, True, False)
