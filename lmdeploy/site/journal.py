"""What each refresh has done so far: one state file a refresh, replaced after every finished step."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lmdeploy.errors import InputError
from lmdeploy.site.durable import read_json, replace_json
from lmdeploy.site.gate import GateResult
from lmdeploy.site.sift import Sift

FOLDER, STATE = "refreshes", "state.json"
Step = Literal["started", "prepared", "trained", "exported", "gated", "done"]
ORDER: tuple[Step, ...] = ("started", "prepared", "trained", "exported", "gated", "done")


class RefreshState(BaseModel):
    """Where a refresh stands.

    number: 1, 2, ... inputs: hash of everything the result depends on. champion: digest that the gate compares with.
    frames: collected ones in it. sift: what the residual said of those looked at, None without a limit. provenance:
    sha256 of provenance.json. candidate: digest of the new bundle. outcome and reason: set when it is done.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = Field(default=1, le=1)
    number: int
    step: Step = "started"
    inputs: str = ""
    frames: int = 0
    sift: Sift | None = None
    provenance: str = ""
    champion: str = ""
    candidate: str = ""
    gate: GateResult | None = None
    outcome: Literal["", "promoted", "refused", "proposed"] = ""
    reason: str = ""

    def has(self, step: Step) -> bool:
        """Whether that step is finished."""
        return ORDER.index(self.step) >= ORDER.index(step)


def refresh_folder(site: Path, number: int) -> Path:
    """Where everything of that refresh lies."""
    return site / FOLDER / f"{number:03d}"


def read_states(site: Path) -> list[RefreshState]:
    """All refreshes, oldest first; InputError for a damaged or newer state file."""
    paths = sorted((site / FOLDER).glob(f"[0-9]*/{STATE}"), key=lambda p: int(p.parent.name))
    states = []
    for path in paths:
        try:
            states.append(RefreshState.model_validate(read_json(path, "restore it from a copy")))
        except ValidationError as error:
            raise InputError(f"{path}: {error.errors()[0]['msg']}; restore it, or update lmdeploy") from error
    return states


def write_state(site: Path, state: RefreshState) -> RefreshState:
    """Replace the refresh's state in one step; returns it."""
    folder = refresh_folder(site, state.number)
    folder.mkdir(parents=True, exist_ok=True)
    replace_json(folder / STATE, state.model_dump(mode="json"))
    return state


def current_state(site: Path) -> RefreshState:
    """The refresh that was interrupted, else a new one."""
    states = read_states(site)
    if states and states[-1].step != "done":
        return states[-1]
    return RefreshState(number=states[-1].number + 1 if states else 1)
