"""Status, history and verify: every record that is deleted or altered is named (P10)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lmdeploy.errors import DataError
from lmdeploy.site import registry
from lmdeploy.site.collect import collect_frames
from lmdeploy.site.refresh import refresh
from lmdeploy.site.report import history, status, verify
from lmdeploy.site.store import FrameStore
from tests.site_kit import better_errors, copy_site, frames, make_site, see_blobs


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = make_site(tmp_path_factory.mktemp("made"))
    collect_frames(site, frames(range(100, 105)), see_blobs, "cam")
    refresh(site, errors=better_errors)
    return site


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Path:
    return copy_site(made, tmp_path / "site")


def first(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[0]


def edit(path: Path, old: str = "0", new: str = "1") -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "provenance gone": (lambda s: (s / "refreshes/001/provenance.json").unlink(), "provenance.json: missing"),
    "provenance altered": (lambda s: edit(s / "refreshes/001/provenance.json"), "provenance.json: altered"),
    "gate gone": (lambda s: (s / "refreshes/001/gate.json").unlink(), "gate.json: missing"),
    "gate altered": (lambda s: edit(s / "refreshes/001/gate.json"), "gate.json: altered"),
    "state gone": (lambda s: (s / "refreshes/001/state.json").unlink(), "no state file"),
    "log line gone": (lambda s: edit(s / "audit.ndjson", "\n", ""), "audit.ndjson"),
    "picture gone": (lambda s: first(s, "frames/*/*.jpg").unlink(), "jpg: missing"),
    "picture altered": (lambda s: first(s, "frames/*/*.jpg").write_bytes(b"x"), "jpg: altered"),
    "anchor altered": (lambda s: first(s, "anchor/images/*").write_bytes(b"x"), "the anchor was changed"),
    "bundle altered": (lambda s: first(s, "bundles/*/model.onnx").write_bytes(b"x"), "model.onnx"),
    "other factory": (lambda s: edit(s / "site.toml", 'factory = "', 'factory = "' + "0" * 64 + '"#'), "factory"),
    "other bundle": (lambda s: first(s, "bundles/*").rename(s / "bundles" / ("f" * 16)), "holds another bundle"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_damage_is_named(site: Path, damage: str) -> None:
    assert verify(site) > 0
    act, message = DAMAGE[damage]
    act(site)
    with pytest.raises(DataError, match=message.replace(".", r"\.")):
        verify(site)


def test_all_damages_are_named_at_once(site: Path) -> None:
    for damage in ("provenance gone", "picture gone", "anchor altered"):
        DAMAGE[damage][0](site)
    with pytest.raises(DataError) as caught:
        verify(site)
    assert len(caught.value.problems) == 3


def test_verify_and_status_change_nothing(site: Path) -> None:
    def content() -> dict[str, bytes]:
        files = (p for p in site.rglob("*") if p.is_file() and "store.sqlite" not in p.name)
        return {str(p): p.read_bytes() for p in files}

    before = content()
    verify(site)
    status(site)
    history(site)
    assert content() == before


def test_status_says_what_serves_and_what_is_stored(site: Path) -> None:
    told = status(site)
    champion = registry.champion(site)
    assert told["champion"] == champion.digest == told["candidate"]
    assert told["previous"] == told["factory"] == champion.before[0]
    assert told["path"] == str(registry.champion_path(site))
    assert (told["frames"], told["frames_evicted"], told["collecting"]) == (5, 0, "on_request")
    assert (told["gate_images"], told["proposes_only"]) == (30, False)
    assert told["refresh"]["outcome"] == "promoted"
    json.dumps(told)
    with FrameStore(site) as store:
        store.evict(0)
    assert (status(site)["frames"], status(site)["frames_evicted"]) == (0, 5)


def test_status_of_a_new_site(tmp_path: Path) -> None:
    told = status(make_site(tmp_path, images=12))
    assert (told["previous"], told["candidate"], told["refresh"]) == (None, None, None)
    assert told["proposes_only"]


def test_history_is_the_whole_log_as_json(site: Path) -> None:
    events = history(site)
    assert [e["n"] for e in events] == list(range(len(events)))
    assert {"init", "collect", "promote", "refresh gated"} <= {e["event"] for e in events}
    lines = (site / "audit.ndjson").read_text().splitlines()
    assert [json.loads(line) for line in lines] == json.loads(json.dumps(events))


def test_every_frame_of_the_served_model_can_be_listed(site: Path) -> None:
    """P10: from the champion's digest to the pictures it learned from."""
    served = registry.champion(site)
    promoted = next(e for e in history(site) if e["event"] == "promote" and e["data"]["digest"] == served.digest)
    number = int(promoted["data"]["origin"].removeprefix("refresh-"))
    told = json.loads((site / f"refreshes/{number:03d}/provenance.json").read_text())
    with FrameStore(site) as store:
        assert {row["sha256"] for row in told["frames"]} == {f.sha256 for f in store.kept()}
