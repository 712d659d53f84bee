"""What the residual left out of a refresh is told in the log, the state and the provenance, and stays so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lmdeploy.errors import InputError
from lmdeploy.site import audit, sift, steps
from lmdeploy.site.collect import collect_frames
from lmdeploy.site.journal import STATE, RefreshState, read_states, refresh_folder
from lmdeploy.site.refresh import refresh
from lmdeploy.site.report import status, verify
from lmdeploy.video.frame import Frame
from tests.site_kit import better_errors, change_config, copy_site, picture, worse_errors
from tests.unit.test_site_sift import LIMIT, Stop, no_network, see_anything, shuffled


@pytest.fixture
def planted(site: Path) -> Path:
    """The eight pictures that the champion sees, and three that it cannot."""
    bad = [Frame(shuffled(picture(seed)[0], seed), seed, None, "") for seed in range(200, 203)]
    assert collect_frames(site, bad, see_anything, "bad").kept == 3
    change_config(site, max_residual=LIMIT)
    return site


def test_refresh_tells_what_it_left_out(planted: Path) -> None:
    told: list[bytes] = []
    state = refresh(planted, errors=better_errors, tell=told.append)
    assert (state.outcome, state.frames) == ("promoted", 8)
    assert state.sift is not None
    assert (state.sift.looked_at, state.sift.left_out) == (11, 3)
    assert told[0].startswith(b"3 of 11 frames left out: ELT residual above 1 % of the crop (least ")
    (prepared,) = [r for r in audit.read_log(planted) if r.event == "refresh prepared"]
    assert prepared.data["sift"] == state.sift.model_dump(mode="json") == status(planted)["refresh"]["sift"]
    provenance = json.loads((refresh_folder(planted, 1) / "provenance.json").read_text())
    bad = {sha256 for sha256, r in provenance["residuals"].items() if r["percent"] > LIMIT}
    assert (len(provenance["residuals"]), len(bad)) == (11, 3)
    assert bad.isdisjoint(row["sha256"] for row in provenance["frames"])
    assert {row["source"] for row in provenance["frames"]} == {"cam"}
    verify(planted)


def test_promotion_of_another_champion_gives_no_second_try(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P7: the numbers are the first champion's, so the inputs are those of before."""
    first = refresh(planted, errors=better_errors)
    assert first.outcome == "promoted"
    monkeypatch.setattr(sift, "open_model", no_network)
    assert refresh(planted, errors=better_errors) == first
    assert len(read_states(planted)) == 1


def test_interrupted_refresh_reaches_the_same_state(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P3, P18: stopped after measuring and before its state is written."""
    straight = copy_site(planted, tmp_path / "straight")
    wanted = refresh(straight, errors=better_errors)

    def stop(*_: object, **__: object) -> RefreshState:
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(steps, "write_state", stop)
        with pytest.raises(Stop):
            refresh(planted, errors=better_errors)
    assert refresh(planted, errors=better_errors) == wanted
    provenance = [(refresh_folder(s, 1) / "provenance.json").read_bytes() for s in (planted, straight)]
    assert provenance[0] == provenance[1]


def test_site_of_before_goes_on(planted: Path) -> None:
    """Neither site.toml nor state.json of older sites name the residual, and their store has no such table."""
    change_config(planted, max_residual=0.0)
    state = refresh(planted, errors=worse_errors)
    assert (state.frames, state.sift) == (11, None)
    path = refresh_folder(planted, 1) / STATE
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "sift"}))
    assert refresh(planted, errors=better_errors) == state
    toml = planted / "site.toml"
    toml.write_text("".join(line for line in toml.read_text().splitlines(True) if "max_residual" not in line))
    assert refresh(planted, errors=better_errors) == state  # the default of 4 % leaves none of these out
    verify(planted)


def test_all_left_out_is_an_error_with_the_next_step(planted: Path) -> None:
    change_config(planted, max_residual=0.0001)
    with pytest.raises(InputError, match="11 of 11 frames left out"):
        refresh(planted, errors=better_errors)
    change_config(planted, max_residual=LIMIT)
    assert refresh(planted, errors=better_errors).frames == 8
