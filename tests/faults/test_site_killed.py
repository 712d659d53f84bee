"""kill -9 during collect, refresh and promotion: nothing is lost, and a complete, verified bundle serves."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmdeploy.bundle import read_bundle
from lmdeploy.errors import LmdeployError
from lmdeploy.site import audit
from lmdeploy.site.collect import collect_frames
from lmdeploy.site.journal import RefreshState, read_states
from lmdeploy.site.registry import champion, champion_path, with_champion
from lmdeploy.site.report import verify
from lmdeploy.site.store import FrameStore
from tests.site_kit import copy_site, frames, make_site, other_bundle, see_blobs

ROOT = Path(__file__).resolve().parents[2]
KILLED = {"signal": 9}
FIRST, LAST = 100, 112  # seeds of the collected frames


class Driver:
    """The process that forks, acts and kills; see site_driver."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.site_driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=ROOT,
            text=True,
        )

    def __call__(self, action: str, site: Path, *arguments: object, **how: object) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        request = {"action": action, "site": str(site), "arguments": arguments, **how}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert isinstance(answer, dict)
        return answer


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    made = Driver()
    with made.process:
        yield made
        assert made.process.stdin is not None
        made.process.stdin.close()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_site(tmp_path_factory.mktemp("empty"), images=60)


@pytest.fixture(scope="module")
def filled(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = copy_site(empty, tmp_path_factory.mktemp("filled") / "site")
    collect_frames(site, frames(range(FIRST, LAST)), see_blobs, "cam")
    return site


def check_serving(site: Path) -> None:
    """What must hold right after any kill, before anything is mended."""
    assert read_bundle(champion_path(site)).digest == champion(site).digest
    audit.read_log(site)
    read_states(site)
    with FrameStore(site) as store:
        assert store.problems() == []


def stored(site: Path) -> list[str]:
    with FrameStore(site) as store:
        return [frame.sha256 for frame in store.kept()]


def leftovers(site: Path) -> list[Path]:
    return [p for p in site.rglob(".*") if p.suffix in (".part", ".gone")]


def test_collect_killed_anywhere_ends_as_if_never_killed(
    driver: Driver, empty: Path, filled: Path, tmp_path: Path
) -> None:
    total = driver("collect", copy_site(empty, tmp_path / "count"), FIRST, LAST)["calls"]
    assert total > 40
    site = copy_site(empty, tmp_path / "site")
    rng = random.Random(1)
    kills = 0
    # Each try gets a little further, because what is stored already needs no calls.
    for kill_at in [1, 2, 3, 4, 5, 6, *(rng.randrange(7, 16) for _ in range(6))]:
        before = stored(site)
        kills += driver("collect", site, FIRST, LAST, kill_at=kill_at) == KILLED
        check_serving(site)
        assert stored(site)[: len(before)] == before
    assert kills >= 11
    assert driver("collect", site, FIRST, LAST)["exit"] == 0
    assert stored(site) == stored(filled)
    with FrameStore(site) as store:
        files = {p.stem for p in store.folder.rglob("*.jpg")}
        assert files == set(stored(site))
    assert not leftovers(site / "frames")
    verify(site)


@pytest.mark.parametrize("milliseconds", [[30, 80, 140, 220], [10, 55, 110, 300]])
def test_collect_killed_at_any_time(
    driver: Driver, empty: Path, filled: Path, tmp_path: Path, milliseconds: list[int]
) -> None:
    site = copy_site(empty, tmp_path / "site")
    for kill_ms in milliseconds:
        driver("collect", site, FIRST, LAST, kill_ms=kill_ms)
        check_serving(site)
    assert driver("collect", site, FIRST, LAST)["exit"] == 0
    assert stored(site) == stored(filled)
    verify(site)


@pytest.fixture(scope="module")
def straight(driver: Driver, filled: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RefreshState, int]:
    """The state of a refresh that nobody killed, and how many calls it made."""
    site = copy_site(filled, tmp_path_factory.mktemp("straight") / "site")
    calls = driver("refresh", site)["calls"]
    (state,) = read_states(site)
    assert state.outcome == "promoted"
    return state, calls


@pytest.mark.parametrize("chain", range(3))
def test_refresh_killed_anywhere_ends_as_if_never_killed(
    driver: Driver, filled: Path, straight: tuple[RefreshState, int], tmp_path: Path, chain: int
) -> None:
    """Kills that follow each other on one site, each at a random call of what is left to do."""
    site = copy_site(filled, tmp_path / "site")
    wanted, calls = straight
    rng = random.Random(chain)
    factory = champion(site).digest
    kills = 0
    # The preparation makes most of the calls (one for each picture); the later steps only a few each.
    for kill_at in [rng.randrange(1, calls), *(rng.randrange(1, 14) for _ in range(7))]:
        answer = driver("refresh", site, kill_at=kill_at)
        kills += answer == KILLED
        check_serving(site)
        assert champion(site).digest in (factory, wanted.candidate)
    assert kills >= 4
    answer = driver("refresh", site)
    assert answer["exit"] == 0
    assert read_states(site) == [wanted]
    assert champion(site).digest == wanted.candidate
    assert champion(site).serial == 1
    keys = [r.key for r in audit.read_log(site) if r.key]
    assert len(keys) == len(set(keys))
    assert not leftovers(site / "bundles")
    verify(site)


def test_refresh_killed_while_the_trainer_works(
    driver: Driver, filled: Path, straight: tuple[RefreshState, int], tmp_path: Path
) -> None:
    """The trainer dies with its parent, and the next one goes on with the stages that are done."""
    site = copy_site(filled, tmp_path / "site")
    slow = {"STAND_IN_DELAY": "0.1"}
    for kill_ms in (700, 800, 900, 1000):
        driver("refresh", site, kill_ms=kill_ms, env=slow)
        check_serving(site)
    assert driver("refresh", site, env=slow)["exit"] == 0
    assert read_states(site) == [straight[0]]
    verify(site)


def site_and_others(empty: Path, folder: Path) -> tuple[Path, list[str], list[str]]:
    """A site, the digests of its champion and of three other bundles, and where these three lie."""
    site = copy_site(empty, folder / "site")
    base = read_bundle(champion_path(site))
    bundles = [other_bundle(base, folder / str(n), f"0.9.{n}") for n in range(3)]
    digests, sources = [base.digest, *(b.digest for b in bundles)], [str(b.path) for b in bundles]
    return site, digests, sources


def test_promotion_killed_at_every_call_leaves_a_verified_champion(
    driver: Driver, empty: Path, tmp_path: Path
) -> None:
    site, digests, sources = site_and_others(empty, tmp_path)
    calls = driver("promote", copy_site(site, tmp_path / "count"), sources, 1)["calls"]
    assert calls >= 12
    for kill_at in range(1, calls + 1):
        again = copy_site(site, tmp_path / f"killed at {kill_at}")
        assert driver("promote", again, sources, 1, kill_at=kill_at) == KILLED
        check_serving(again)
        assert champion(again).digest in digests
        assert champion(again).serial in (0, 1)
        assert driver("promote", again, sources, 2)["exit"] == 0
        serials = [r.data["serial"] for r in audit.read_log(again) if r.key and r.key.startswith("champion-")]
        assert serials == list(range(champion(again).serial + 1))
        assert not leftovers(again)
        verify(again)


def test_reader_never_sees_a_half_switch_while_promoters_are_killed(
    driver: Driver, empty: Path, tmp_path: Path
) -> None:
    site, digests, sources = site_and_others(empty, tmp_path)
    seen: list[str] = []
    failures: list[str] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                seen.append(with_champion(site, read_bundle).digest)
            except LmdeployError as error:
                failures.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    rng = random.Random(3)
    killed = [driver("promote", site, sources, 500, kill_ms=rng.randrange(20, 250)) for _ in range(10)]
    stop.set()
    reader.join()
    assert killed == [KILLED] * 10
    assert not failures
    assert set(seen) <= set(digests)
    check_serving(site)
    assert driver("promote", site, sources, 3)["exit"] == 0
    verify(site)
