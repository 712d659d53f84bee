"""Refreshes: promoted, refused, proposed, accepted by a person."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lmdeploy.bundle import read_bundle, sha256_file
from lmdeploy.errors import GateRefusedError, InputError
from lmdeploy.site import audit, registry, steps
from lmdeploy.site.collect import collect_frames
from lmdeploy.site.config import read_config
from lmdeploy.site.journal import refresh_folder
from lmdeploy.site.refresh import accept, check_outcome, refresh
from lmdeploy.site.report import verify
from tests.site_kit import (
    better_errors,
    biased_bundle,
    change_config,
    factory_of,
    frames,
    make_site,
    see_blobs,
    worse_errors,
)
from tests.tiny_bundle import make_tiny_bundle


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


def test_parity_failure_is_a_refusal_that_stands(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAIL", "parity")
    state = refresh(site, errors=better_errors)
    assert state.outcome == "refused"
    assert "parity 0.5 px" in state.reason
    assert state.gate is None
    monkeypatch.delenv("STAND_IN_FAIL")
    assert refresh(site, errors=better_errors) == state
    assert registry.champion(site).digest == factory_of(site)
