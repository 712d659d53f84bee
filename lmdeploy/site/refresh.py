"""One refresh of a site: prepare, train, export, gate, promote.

    prepare   the anchor's training half + the chosen frames -> REFRESH/inputs; see curate and sift
    train     the public `lmdeploy train`, from the FACTORY weights: refreshes never build on each other
    export    the public `lmdeploy export`, which fails when the file disagrees with the network
    gate      candidate and champion on the gate half (gate.py)
    promote   one atomic switch, only when the gate says `better`

The state file is replaced after every step, and every step can be repeated, so the same call goes on after a kill at
any moment and ends in the same state. While the inputs are unchanged a finished refresh is not run again: a gate that
one may try until luck helps is none.
"""

from __future__ import annotations

from pathlib import Path

from lmdeploy.errors import GateRefusedError, InputError
from lmdeploy.site import registry, steps
from lmdeploy.site.anchor import check_anchor
from lmdeploy.site.config import SiteConfig, read_config
from lmdeploy.site.curate import choose, forget, inputs_sha256
from lmdeploy.site.journal import RefreshState, current_state, read_states, refresh_folder
from lmdeploy.site.lock import writer
from lmdeploy.site.measure import gate_errors
from lmdeploy.site.steps import Errors, Tell


def refresh(
    site: Path, *, threads: int | None = None, errors: Errors = gate_errors, tell: Tell = lambda _: None
) -> RefreshState:
    """Start a refresh or go on with the interrupted one, to its end.

    Args:
        site: the site's folder.
        threads: processor threads of residuals, training and gate.
        errors: (bundle, labelled samples, threads) -> NME f64[N] per cent.
        tell: gets one line on the frames left out, then the output of training and export as it comes.
    Returns: the finished state, the last one's when nothing changed since; `check_outcome` turns it into an exit code.
    Errors: LmdeployError when training or export fail (the same call tries again) and InputError without frames.
    """
    site = site.resolve()  # training refuses to go on with a run that was started under another path
    config = read_config(site)
    with writer(site, "refresh") as hold:
        check_anchor(site, config)
        state = _begun(site, config, threads, tell)
        if not state.has("trained"):
            state = steps.train(site, config, state, threads=threads, hold=hold, tell=tell)
        if not state.has("exported"):
            state = steps.export(site, config, state, hold=hold, tell=tell)
        if not state.has("gated") or _champion_changed(site, state):
            state = steps.gate(site, config, state, threads=threads, errors=errors)
        return state if state.has("done") else steps.promote(site, state)


def check_outcome(state: RefreshState) -> None:
    """GateRefusedError (exit code 3) with the reason when a finished refresh did not promote its model."""
    if state.outcome != "promoted":
        told = f"refresh {state.number:03d} {state.outcome}: {state.reason}"
        raise GateRefusedError(f"{told}; what served before goes on serving")


def accept(site: Path) -> registry.Alias:
    """A person promotes the newest candidate of a site that only proposes; what the gate refused stays refused.

    Errors: InputError when there is no refresh, GateRefusedError when the last one was not a proposal.
    """
    with writer(site, "refresh"):
        states = read_states(site)
        if not states:
            raise InputError(f"{site}: nothing was proposed yet; run 'lmdeploy site refresh {site}'")
        last = states[-1]
        if last.outcome != "proposed":
            raise GateRefusedError(
                f"refresh {last.number:03d} is no proposal ({last.outcome or last.step}: {last.reason})"
            )
        origin = f"accepted refresh-{last.number:03d}"
        return registry.promote(site, last.candidate, expected=last.champion, origin=origin)


def _begun(site: Path, config: SiteConfig, threads: int | None, tell: Tell) -> RefreshState:
    """A state with its inputs on the disk: the interrupted refresh, a new one, or the last while nothing is new."""
    state = current_state(site)
    if state.has("prepared"):
        return state
    finished = [s for s in read_states(site) if s.step == "done"]
    choice = choose(site, config, threads)
    inputs = inputs_sha256(site, config, choice.frames)
    if finished and finished[-1].inputs == inputs:
        return finished[-1]
    for earlier in finished:
        forget(refresh_folder(site, earlier.number))
    if choice.sift is not None:
        tell(f"{choice.sift.sentence()}\n".encode())
    return steps.prepare(site, config, state, choice, inputs)


def _champion_changed(site: Path, state: RefreshState) -> bool:
    """Whether a person rolled back between gate and promotion, so that the comparison no longer holds."""
    return not state.has("done") and registry.champion(site).digest not in (state.champion, state.candidate)
