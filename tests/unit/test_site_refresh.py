"""Refreshes: promoted, refused, proposed; resumed step by step; never twice on the same inputs."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from lmdeploy.bundle import read_bundle, sha256_file
from lmdeploy.dataset import Sample
from lmdeploy.errors import GateRefusedError, InputError, LmdeployError, MissingExtraError
from lmdeploy.site import audit, journal, registry, steps
from lmdeploy.site.child import check_exit
from lmdeploy.site.collect import collect_frames
from lmdeploy.site.config import read_config
from lmdeploy.site.journal import RefreshState, read_states, refresh_folder
from lmdeploy.site.refresh import accept, check_outcome, refresh
from lmdeploy.site.report import verify
from lmdeploy.types import F64
from tests import stand_in
from tests.site_kit import (
    better_errors,
    biased_bundle,
    change_config,
    copy_site,
    frames,
    make_site,
    other_bundle,
    remember_anchor,
    see_blobs,
    worse_errors,
)
from tests.tiny_bundle import make_tiny_bundle


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = make_site(tmp_path_factory.mktemp("made"))
    collect_frames(site, frames(range(100, 108)), see_blobs, "cam")
    return site


@pytest.fixture(autouse=True)
def in_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the stand-in's functions here, which is faster; `real_process` marks the tests that start it for real."""
    if "real_process" not in request.fixturenames:
        monkeypatch.setattr(steps, "run_command", stand_in_call)


@pytest.fixture(scope="module", autouse=True)
def one_anchor() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        remember_anchor(patch)
        yield


@pytest.fixture
def real_process() -> None:
    """Ask for the stand-in in a process of its own."""


def stand_in_call(
    command: Sequence[str], arguments: Sequence[str], *, log: Path, tell: Callable[[bytes], None], **_: object
) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = stand_in.main(list(arguments))
    with log.open("a") as stream:
        stream.write(out.getvalue())
    tell(out.getvalue().encode())
    check_exit(code, arguments, log)


@pytest.fixture(scope="module")
def straight(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose refresh was never interrupted."""
    site = copy_site(made, tmp_path_factory.mktemp("straight") / "site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "run_command", stand_in_call)
        refresh(site, errors=better_errors)
    return site


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Path:
    return copy_site(made, tmp_path / "site")


def factory_of(site: Path) -> str:
    return read_config(site).factory


@pytest.mark.usefixtures("real_process")
def test_better_model_is_promoted_with_its_whole_lineage(site: Path) -> None:
    told: list[bytes] = []
    state = refresh(site, errors=better_errors, tell=told.append, threads=2)
    assert (state.outcome, state.step, state.frames) == ("promoted", "done", 8)
    assert registry.champion(site).digest == state.candidate != factory_of(site)
    assert registry.champion(site).before == (factory_of(site),)
    assert read_bundle(registry.champion_path(site)).spec.version.startswith("0.2.0+")
    assert b"stage 3" in b"".join(told)
    check_outcome(state)
    events = [r.event for r in audit.read_log(site)]
    wanted = ["refresh prepared", "refresh trained", "refresh exported", "refresh gated", "promote", "refresh done"]
    assert events[-len(wanted) :] == wanted
    trained = next(r for r in audit.read_log(site) if r.event == "refresh trained")
    checkpoint = refresh_folder(site, 1) / "run" / "model.safetensors"
    assert trained.data["checkpoint"] == sha256_file(checkpoint)
    assert trained.data["from"] == factory_of(site)
    rows = json.loads((refresh_folder(site, 1) / "gate.json").read_text())["errors"]
    assert {row["image"] for row in rows} == set(read_config(site).split.gate)
    verify(site)


def test_worse_model_is_refused_with_exit_code_3(site: Path) -> None:
    state = refresh(site, errors=worse_errors)
    assert state.outcome == "refused"
    assert state.gate is not None
    assert state.gate.decision == "worse"
    assert registry.champion(site).digest == factory_of(site)
    with pytest.raises(GateRefusedError, match="refresh 001 refused: worse by at least") as caught:
        check_outcome(state)
    assert caught.value.exit_code == 3
    assert next(r for r in audit.read_log(site) if r.event == "refresh done").data["reason"] == state.reason
    verify(site)


def test_real_gate_on_equal_networks_refuses(site: Path) -> None:
    state = refresh(site)
    assert state.gate is not None
    assert (state.outcome, state.gate.decision, state.gate.difference) == ("refused", "not_shown_better", 0.0)


def test_real_gate_promotes_a_really_better_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(tmp_path, bundle=biased_bundle(tmp_path / "biased").path)
    collect_frames(site, frames(range(100, 104)), see_blobs, "cam")
    monkeypatch.setenv("STAND_IN_BUNDLE", str(make_tiny_bundle(tmp_path / "good").path))
    state = refresh(site)
    assert state.outcome == "promoted"
    assert state.gate is not None
    assert state.gate.difference is not None
    assert state.gate.difference < -5


def test_few_gate_images_only_propose(tmp_path: Path) -> None:
    site = make_site(tmp_path, images=20)
    collect_frames(site, frames(range(100, 104)), see_blobs, "cam")
    state = refresh(site, errors=better_errors)
    assert state.outcome == "proposed"
    assert registry.champion(site).digest == factory_of(site)
    candidate = registry.read_alias(site, "candidate")
    assert candidate is not None
    assert candidate.digest == state.candidate
    with pytest.raises(GateRefusedError, match="only 10 gate images"):
        check_outcome(state)


def test_person_accepts_a_proposal(tmp_path: Path) -> None:
    site = make_site(tmp_path, images=20)
    with pytest.raises(InputError, match="nothing was proposed"):
        accept(site)
    collect_frames(site, frames(range(100, 104)), see_blobs, "cam")
    state = refresh(site, errors=better_errors)
    assert accept(site).digest == state.candidate == registry.champion(site).digest
    assert accept(site).serial == 1
    assert audit.read_log(site)[-1].data["origin"] == "accepted refresh-001"
    registry.rollback(site)
    with pytest.raises(GateRefusedError, match="rolled back from exactly this model"):
        accept(site)
    verify(site)


def test_what_the_gate_refused_cannot_be_accepted(site: Path) -> None:
    refresh(site, errors=worse_errors)
    with pytest.raises(GateRefusedError, match="no proposal"):
        accept(site)
    assert registry.champion(site).digest == factory_of(site)


def test_same_inputs_are_not_tried_again(site: Path) -> None:
    """P7: a refused candidate cannot be tried until luck helps."""
    first = refresh(site, errors=worse_errors)
    assert refresh(site, errors=better_errors) == first
    assert len(read_states(site)) == 1
    collect_frames(site, frames(range(200, 203)), see_blobs, "cam")
    second = refresh(site, errors=better_errors)
    assert (second.number, second.outcome, second.frames) == (2, "promoted", 11)
    assert second.gate is not None
    assert second.gate.round == 2


def test_every_refresh_starts_from_the_factory_weights(site: Path) -> None:
    """P9: depth 1 however many refreshes there were, and the last one's bulk alone is kept."""
    for number in range(3):
        collect_frames(site, frames(range(300 + 3 * number, 303 + 3 * number)), see_blobs, "cam")
        state = refresh(site, errors=better_errors if number == 0 else worse_errors)
        checkpoint = json.loads((refresh_folder(site, state.number) / "run/model.safetensors").read_text())
        assert Path(checkpoint["init"]) == registry.bundle_folder(site, factory_of(site)).resolve()
    assert not (refresh_folder(site, 1) / "inputs").exists()
    assert not (refresh_folder(site, 2) / "run/model.safetensors").exists()
    assert (refresh_folder(site, 3) / "inputs").exists()
    verify(site)


def test_same_store_config_and_seed_give_the_same_candidate(made: Path, straight: Path, tmp_path: Path) -> None:
    """P18."""
    (first,) = read_states(straight)
    assert refresh(copy_site(made, tmp_path / "b"), errors=better_errors) == first
    changed = copy_site(made, tmp_path / "c")
    change_config(changed, seed=1)
    assert refresh(changed, errors=better_errors).candidate != first.candidate


def test_altered_anchor_stops_the_refresh(site: Path) -> None:
    table = site / "anchor" / "landmarks.csv"
    table.write_text(table.read_text() + "\n")
    with pytest.raises(InputError, match="anchor was changed"):
        refresh(site, errors=better_errors)
    assert read_states(site) == []


def test_no_frames_is_an_error_with_the_next_step(tmp_path: Path) -> None:
    site = make_site(tmp_path, images=12)
    with pytest.raises(InputError, match="site collect"):
        refresh(site)


def test_parity_failure_is_a_refusal_that_stands(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAIL", "parity")
    state = refresh(site, errors=better_errors)
    assert state.outcome == "refused"
    assert "parity 0.5 px" in state.reason
    assert state.gate is None
    monkeypatch.delenv("STAND_IN_FAIL")
    assert refresh(site, errors=better_errors) == state
    assert registry.champion(site).digest == factory_of(site)


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


def test_model_that_a_person_rolled_back_is_not_promoted_again(site: Path) -> None:
    state = refresh(site, errors=better_errors)
    registry.rollback(site)
    change_config(site, gate={"alpha": 0.04})  # the same candidate comes out, so the inputs must differ otherwise
    again = refresh(site, errors=better_errors)
    assert again.candidate == state.candidate
    assert again.outcome == "refused"
    assert "rolled back" in again.reason
    assert registry.champion(site).digest == factory_of(site)


def test_candidate_without_a_box_map_of_the_champion_is_refused(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate crops by true boxes and cannot see that serving would lose its detector."""
    factory = read_bundle(registry.champion_path(site))
    bare = factory.spec.model_copy(update={"detectors": {}})
    from lmdeploy.bundle import write_bundle

    files = {"model.onnx": factory.file("model.onnx").read_bytes()}
    monkeypatch.setenv("STAND_IN_BUNDLE", str(write_bundle(tmp_path / "bare", bare, files).path))
    state = refresh(site, errors=better_errors)
    assert state.outcome == "refused"
    assert "no box map for the detector whole_image" in state.reason
    assert steps.missing_parts(factory.path, factory.path) == ""
    other = make_tiny_bundle(tmp_path / "faces", schema="ibug68")
    assert "landmarks ibug68" in steps.missing_parts(other.path, factory.path)


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


def test_recipe_of_the_site_is_what_is_trained(site: Path) -> None:
    (site / "recipe.toml").write_text("method = 'stld'\n")
    change_config(site, recipe="recipe.toml")
    refresh(site, errors=better_errors)
    assert json.loads((refresh_folder(site, 1) / "run/model.safetensors").read_text())["method"] == "recipe.toml"


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
