"""The steps of a refresh. Each can be killed and repeated: it is finished when its state is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmdeploy.bundle import read_bundle, sha256_file
from lmdeploy.dataset import Sample
from lmdeploy.errors import BundleError, GateRefusedError, LmdeployError
from lmdeploy.site import audit, registry
from lmdeploy.site.anchor import FOLDER as ANCHOR
from lmdeploy.site.anchor import anchor_part, identities, schema_argument, subgroups
from lmdeploy.site.child import run_command
from lmdeploy.site.config import SiteConfig
from lmdeploy.site.curate import INPUTS, Choice, write_inputs
from lmdeploy.site.durable import remove_folder, replace_json
from lmdeploy.site.gate import decide
from lmdeploy.site.journal import RefreshState, Step, read_states, refresh_folder, write_state
from lmdeploy.site.same_files import export_options
from lmdeploy.types import F64

Errors = Callable[[Path, list[Sample], int | None], F64]
Tell = Callable[[bytes], None]
RUN, CHECKPOINT, BUNDLE, GATE, LOG = "run", "model.safetensors", "bundle", "gate.json", "commands.log"
METHOD = "refresh"  # the recipe that ships with the package


def prepare(site: Path, config: SiteConfig, state: RefreshState, choice: Choice, inputs: str) -> RefreshState:
    """Write what training reads; see curate."""
    folder = refresh_folder(site, state.number)
    folder.mkdir(parents=True, exist_ok=True)
    provenance = write_inputs(site, config, choice, folder)
    change = {"inputs": inputs, "frames": len(choice.frames), "provenance": provenance, "sift": choice.sift}
    return finish(site, state, "prepared", change)


def train(
    site: Path, config: SiteConfig, state: RefreshState, *, threads: int | None, hold: int, tell: Tell
) -> RefreshState:
    """Run the public training command from the factory weights; it resumes by itself after a kill."""
    folder = refresh_folder(site, state.number)
    inputs = folder / INPUTS
    arguments = {
        "--data": inputs / "labelled",
        "--labelled": inputs / "labelled.txt",
        "--unlabelled": inputs / "unlabelled",
        "--boxes": "file",
        "--schema": schema_argument(site, config),
        "--init": registry.bundle_folder(site, config.factory),
        "--seed": config.seed,
        "--out": folder / RUN,
        **({"--threads": threads} if threads else {}),
    }
    method = str(site / config.recipe) if config.recipe else METHOD
    flags = [str(part) for pair in arguments.items() for part in pair]
    log = folder / LOG
    run_command(config.command, ["train", method, *flags], log=log, hold=hold, threads=threads, tell=tell)
    checkpoint = folder / RUN / CHECKPOINT
    if not checkpoint.is_file():
        raise LmdeployError(f"training ended without {checkpoint}; see {log}, then call the refresh again")
    return finish(site, state, "trained", {}, {"checkpoint": sha256_file(checkpoint), "from": config.factory})


def export(site: Path, config: SiteConfig, state: RefreshState, *, hold: int, tell: Tell) -> RefreshState:
    """Run the public export command, which checks parity, and take the bundle into the site as candidate."""
    folder = refresh_folder(site, state.number)
    bundle = folder / BUNDLE
    if not _whole(bundle):
        remove_folder(bundle)
        labelled = folder / INPUTS / "labelled"
        arguments = ["export", str(folder / RUN / CHECKPOINT), "-o", str(bundle)]
        arguments += export_options(registry.bundle_folder(site, registry.champion(site).digest), labelled)
        try:
            run_command(config.command, arguments, log=folder / LOG, hold=hold, tell=tell)
        except GateRefusedError as error:
            return finish(site, state, "done", {"outcome": "refused", "reason": str(error)})
    added = registry.add_bundle(site, bundle)
    registry.propose(site, added.digest, _origin(state))
    return finish(site, state, "exported", {"candidate": added.digest})


def gate(site: Path, config: SiteConfig, state: RefreshState, *, threads: int | None, errors: Errors) -> RefreshState:
    """Compare candidate and champion on the gate half; per-image errors go to gate.json."""
    samples = anchor_part(site, config, "gate")
    champion = registry.champion(site).digest
    lacking = missing_parts(registry.bundle_folder(site, state.candidate), registry.bundle_folder(site, champion))
    if lacking:
        return finish(site, state, "done", {"champion": champion, "outcome": "refused", "reason": lacking})
    new = errors(registry.bundle_folder(site, state.candidate), samples, threads)
    old = errors(registry.bundle_folder(site, champion), samples, threads)
    used = sum(earlier.gate is not None for earlier in read_states(site) if earlier.number < state.number)
    groups = subgroups(site / ANCHOR, samples)
    result = decide(new, old, identities(samples), config.gate, round_=used + 1, groups=groups)
    rows = [{"image": s.name, "candidate": a, "champion": b} for s, a, b in zip(samples, new, old, strict=True)]
    path = refresh_folder(site, state.number) / GATE
    replace_json(path, {"schema_version": 1, "result": result.model_dump(mode="json"), "errors": rows})
    change = {"champion": champion, "gate": result}
    return finish(site, state, "gated", change, {"gate_json": sha256_file(path)})


def missing_parts(candidate: Path, champion: Path) -> str:
    """Why the candidate cannot stand in for the champion whatever its errors are; "" when it can.

    The gate crops by true boxes, so it cannot see that a detector's box map was lost.
    """
    new, old = read_bundle(candidate).spec, read_bundle(champion).spec
    if new.landmarks != old.landmarks:
        return f"the candidate has the landmarks {new.landmarks.name}, the champion {old.landmarks.name}"
    lost = sorted(set(old.detectors) - set(new.detectors))
    return f"the candidate has no box map for the detector {', '.join(lost)}, which the champion has" if lost else ""


def promote(site: Path, state: RefreshState) -> RefreshState:
    """Switch to the candidate when the gate says `better`; else only record why not."""
    assert state.gate is not None, "promote comes after gate"
    result = state.gate
    if result.decision != "better":
        outcome = "proposed" if result.decision == "propose_only" else "refused"
        return finish(site, state, "done", {"outcome": outcome, "reason": result.reason})
    try:
        registry.promote(site, state.candidate, expected=state.champion, origin=_origin(state))
    except GateRefusedError as error:
        return finish(site, state, "done", {"outcome": "refused", "reason": str(error)})
    return finish(site, state, "done", {"outcome": "promoted", "reason": result.reason})


def finish(
    site: Path, state: RefreshState, step: Step, change: dict[str, Any], facts: dict[str, Any] | None = None
) -> RefreshState:
    """Log the step (once, however often it is repeated) and write the state that says it is finished."""
    state = RefreshState.model_validate({**state.model_dump(), **change, "step": step})
    logged = state.model_dump(mode="json", exclude={"schema_version", "number", "step"})
    key = f"{_origin(state)}-{step}-{hashlib.sha256(state.champion.encode()).hexdigest()[:8]}"
    audit.append(site, f"refresh {step}", {"refresh": state.number, **logged, **(facts or {})}, key=key)
    return write_state(site, state)


def _origin(state: RefreshState) -> str:
    return f"refresh-{state.number:03d}"


def _whole(bundle: Path) -> bool:
    if not bundle.is_dir():
        return False
    try:
        read_bundle(bundle)
    except BundleError:
        return False
    return True
