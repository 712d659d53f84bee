"""Aliases and bundles: one atomic switch, verified rollback, nothing half."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from lmdeploy.bundle import Bundle, read_bundle
from lmdeploy.errors import BundleError, GateRefusedError, InputError
from lmdeploy.site import audit, registry
from lmdeploy.site.registry import (
    KEEP,
    Alias,
    add_bundle,
    bundle_folder,
    champion,
    champion_path,
    promote,
    propose,
    read_alias,
    rollback,
    set_alias,
    with_champion,
)
from tests.site_kit import other_bundle
from tests.tiny_bundle import make_tiny_bundle


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    first = make_tiny_bundle(folder / "0", size=32)
    return [first, *(other_bundle(first, folder / str(n), f"0.1.{n}") for n in range(1, 9))]


@pytest.fixture
def site(tmp_path: Path, bundles: list[Bundle]) -> Path:
    digest = add_bundle(tmp_path, bundles[0].path).digest
    for name in ("factory", "champion"):
        set_alias(tmp_path, name, Alias(digest=digest))  # type: ignore[arg-type]  # both are names
    return tmp_path


def serve(site: Path, bundle: Bundle) -> Alias:
    add_bundle(site, bundle.path)
    return promote(site, bundle.digest, expected=champion(site).digest, origin="test")


def test_promotion_serves_the_new_bundle_verified(site: Path, bundles: list[Bundle]) -> None:
    alias = serve(site, bundles[1])
    assert read_bundle(champion_path(site)).digest == bundles[1].digest
    assert (alias.serial, alias.event, alias.before) == (1, "promote", (bundles[0].digest,))


def test_second_call_changes_nothing(site: Path, bundles: list[Bundle]) -> None:
    first = serve(site, bundles[1])
    again = promote(site, bundles[1].digest, expected=bundles[0].digest, origin="test")
    assert again == first == champion(site)
    assert [r.key for r in audit.read_log(site)] == ["champion-0", "champion-1"]


def test_champion_that_changed_since_the_gate_is_a_refusal(site: Path, bundles: list[Bundle]) -> None:
    serve(site, bundles[1])
    add_bundle(site, bundles[2].path)
    with pytest.raises(GateRefusedError, match="changed after the gate"):
        promote(site, bundles[2].digest, expected=bundles[0].digest, origin="test")
    assert champion(site).digest == bundles[1].digest


def test_bundle_that_does_not_verify_is_not_promoted(site: Path, bundles: list[Bundle]) -> None:
    add_bundle(site, bundles[1].path)
    (bundle_folder(site, bundles[1].digest) / "model.onnx").write_bytes(b"short")
    with pytest.raises(BundleError):
        promote(site, bundles[1].digest, expected=bundles[0].digest, origin="test")
    assert champion(site).digest == bundles[0].digest


def test_rollback_goes_back_and_remembers(site: Path, bundles: list[Bundle]) -> None:
    serve(site, bundles[1])
    serve(site, bundles[2])
    assert rollback(site).digest == bundles[1].digest
    assert rollback(site).digest == bundles[0].digest
    with pytest.raises(InputError, match="no earlier bundle"):
        rollback(site)
    assert champion(site).rejected == (bundles[2].digest, bundles[1].digest)
    with pytest.raises(GateRefusedError, match="rolled back from exactly this model"):
        promote(site, bundles[2].digest, expected=bundles[0].digest, origin="test")
    assert serve(site, bundles[3]).before == (bundles[0].digest,)


def test_rollback_skips_a_damaged_bundle_and_ends_at_the_factory_one(site: Path, bundles: list[Bundle]) -> None:
    for number in (1, 2, 3):
        serve(site, bundles[number])
    for number in (1, 2):
        (bundle_folder(site, bundles[number].digest) / "model.onnx").unlink()
    assert rollback(site).digest == bundles[0].digest


def test_older_bundles_are_pruned_and_the_factory_stays(site: Path, bundles: list[Bundle]) -> None:
    for bundle in bundles[1:]:
        serve(site, bundle)
    kept = {folder.name for folder in (site / "bundles").iterdir()}
    wanted = [bundles[0], *bundles[-1 - KEEP :]]
    assert kept == {b.digest[:16] for b in wanted}
    for bundle in reversed(bundles[-1 - KEEP : -1]):
        assert rollback(site).digest == bundle.digest
    assert rollback(site).digest == bundles[0].digest


def test_adding_twice_and_mending_a_damaged_copy(site: Path, bundles: list[Bundle]) -> None:
    folder = bundle_folder(site, add_bundle(site, bundles[1].path).digest)
    inode = folder.stat().st_ino
    add_bundle(site, bundles[1].path)
    assert folder.stat().st_ino == inode
    (folder / "model.onnx").write_bytes(b"")
    (site / "bundles" / ".x.part").mkdir()
    assert read_bundle(add_bundle(site, bundles[1].path).path).digest == bundles[1].digest
    assert not list((site / "bundles").glob(".*"))


def test_broken_source_is_not_taken_in(site: Path, bundles: list[Bundle], tmp_path: Path) -> None:
    broken = other_bundle(bundles[0], tmp_path / "broken", "9.9.9")
    (broken.path / "model.onnx").write_bytes(b"x")
    with pytest.raises(BundleError):
        add_bundle(site, broken.path)
    assert not bundle_folder(site, broken.digest).exists()


def test_altered_champion_is_refused_with_the_way_out(site: Path, bundles: list[Bundle]) -> None:
    serve(site, bundles[1])
    manifest = bundle_folder(site, bundles[1].digest) / "bundle.json"
    manifest.write_text(manifest.read_text().replace("tiny", "tinY"))
    with pytest.raises(BundleError, match="site rollback"):
        champion_path(site)
    rollback(site)
    assert champion_path(site) == bundle_folder(site, bundles[0].digest)


@pytest.mark.parametrize("content", ["{", '{"digest": "x"}', '{"schema_version": 2, "digest": "' + "0" * 64 + '"}'])
def test_damaged_or_newer_alias_is_named(site: Path, content: str) -> None:
    (site / "aliases" / "champion.json").write_text(content)
    with pytest.raises(InputError, match=r"champion\.json"):
        champion_path(site)


def test_folder_that_is_no_site(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="site init"):
        champion_path(tmp_path)
    assert read_alias(tmp_path, "candidate") is None


def test_candidate_is_named_without_serving(site: Path, bundles: list[Bundle]) -> None:
    add_bundle(site, bundles[1].path)
    for _ in range(2):
        propose(site, bundles[1].digest, "refresh-001")
    found = read_alias(site, "candidate")
    assert found is not None
    assert (found.digest, found.serial, found.origin) == (bundles[1].digest, 0, "refresh-001")
    propose(site, bundles[0].digest, "refresh-002")
    assert champion(site).digest == bundles[0].digest
    assert getattr(read_alias(site, "candidate"), "serial", None) == 1


def test_kill_between_switch_and_log_is_logged_by_the_next_switch(site: Path, bundles: list[Bundle]) -> None:
    serve(site, bundles[1])
    now = champion(site)
    change = {"digest": bundles[0].digest, "serial": now.serial + 1, "event": "rollback"}
    set_alias(site, "champion", now.model_copy(update=change))
    serve(site, bundles[2])
    logged = [(r.event, r.data["serial"]) for r in audit.read_log(site)]
    assert logged == [("init", 0), ("promote", 1), ("rollback", 2), ("promote", 3)]


def test_reader_sees_only_complete_bundles_during_many_promotions(site: Path, bundles: list[Bundle]) -> None:
    """P1: a thread loads and verifies in a loop while another promotes and rolls back."""
    allowed = {b.digest for b in bundles[:3]}
    seen: list[str] = []
    failures: list[Exception] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.wait(0.003):  # a pause, so that the writer gets its turns
            try:
                seen.append(with_champion(site, read_bundle).digest)
            except (BundleError, InputError) as error:
                failures.append(error)

    for bundle in bundles[1:3]:
        add_bundle(site, bundle.path)
    reader = threading.Thread(target=read)
    reader.start()
    base = champion(site)
    for turn in range(1000):
        # The alias alone is switched here, as `promote` does in its middle; the log would dominate the time.
        set_alias(site, "champion", base.model_copy(update={"digest": bundles[turn % 3].digest, "serial": turn}))
    stop.set()
    reader.join()
    assert not failures
    assert set(seen) <= allowed
    assert len(seen) > 20, "the reader hardly read"


def test_alias_file_is_small_plain_json(site: Path) -> None:
    path = site / "aliases" / "champion.json"
    assert json.loads(path.read_text())["digest"] == champion(site).digest
    assert not path.is_symlink()
    assert path.stat().st_size < 1000
    assert registry.KEEP >= 2


def test_a_reader_that_loses_its_bundle_to_a_switch_reads_the_new_champion(site: Path, bundles: list[Bundle]) -> None:
    asked: list[str] = []

    def use(path: Path) -> str:
        asked.append(path.name)
        if len(asked) == 1:  # between the look at the alias and the reading of the bundle
            add_bundle(site, bundles[1].path)
            promote(site, bundles[1].digest, expected=bundles[0].digest, origin="test")
            raise BundleError("gone")
        return read_bundle(path).digest

    assert with_champion(site, use) == bundles[1].digest
    assert asked == [bundles[0].digest[:16], bundles[1].digest[:16]]


def test_a_champion_that_stays_broken_is_told(site: Path) -> None:
    def use(path: Path) -> None:
        raise BundleError("altered")

    with pytest.raises(BundleError, match="altered"):
        with_champion(site, use)
