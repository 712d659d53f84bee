"""What training gets to see: the training half, the frames, and nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from lmdeploy.dataset import read_labelled, read_list, read_unlabelled
from lmdeploy.errors import InputError
from lmdeploy.site.collect import collect_frames
from lmdeploy.site.config import read_config
from lmdeploy.site.curate import INPUTS, PROVENANCE, Choice, choose, forget, inputs_sha256, write_inputs
from lmdeploy.site.store import FrameStore
from tests.site_kit import change_config, copy_site, frames, make_site, see_blobs
from tests.tiny_bundle import BLOBS3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = make_site(tmp_path_factory.mktemp("made"), images=12)
    collect_frames(site, frames(range(100, 112)), see_blobs, "cam")
    return site


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Path:
    return copy_site(made, tmp_path / "site")


def test_choice_does_not_depend_on_the_order_of_collecting(site: Path, made: Path, tmp_path: Path) -> None:
    other = copy_site(made, tmp_path / "other")
    with FrameStore(other) as store:
        store.evict(0)
        store._db.execute("DELETE FROM frames")
        store.clean()
    collect_frames(other, frames([*range(111, 99, -1)]), see_blobs, "cam")
    config = change_config(site, max_frames=5)
    assert [f.sha256 for f in choose(site, config).frames] == [f.sha256 for f in choose(other, config).frames]
    again = config.model_copy(update={"seed": 1})
    assert {f.sha256 for f in choose(site, again).frames} != {f.sha256 for f in choose(site, config).frames}
    assert len(choose(site, read_config(made)).frames) == 12


def test_unsure_frames_lost_pictures_and_the_anchor_are_left_out(site: Path) -> None:
    config = read_config(site)
    every = choose(site, config).frames
    with FrameStore(site) as store:
        store.path(every[0].sha256).unlink()
        store._db.execute("UPDATE frames SET score=0.1 WHERE sha256=?", (every[1].sha256,))
        leaked = f"{every[3].fingerprint:016x}"
    assert len(choose(site, config).frames) == 10
    with pytest.MonkeyPatch.context() as patch:
        import numpy as np

        patch.setattr("lmdeploy.site.curate.anchor_fingerprints", lambda *_: np.array([int(leaked, 16)], np.uint64))
        assert every[3].sha256 not in {f.sha256 for f in choose(site, config).frames}


def test_training_sees_the_training_half_and_the_frames_alone(site: Path, tmp_path: Path) -> None:
    config = read_config(site)
    chosen = choose(site, config)
    digest = write_inputs(site, config, chosen, tmp_path)
    inputs = tmp_path / INPUTS
    labelled = read_labelled(inputs / "labelled", BLOBS3)
    assert {s.name for s in labelled} == set(config.split.train) == set(read_list(inputs / "labelled.txt"))
    whole = b"".join(p.read_bytes() for p in inputs.rglob("*") if p.suffix in (".csv", ".txt"))
    assert not [name for name in config.split.gate if name.encode() in whole]
    gate = {hashlib.sha256((site / "anchor/images" / n).read_bytes()).hexdigest() for n in config.split.gate}
    assert not gate & {hashlib.sha256(p.read_bytes()).hexdigest() for p in inputs.rglob("*") if p.is_file()}
    unlabelled = read_unlabelled(inputs / "unlabelled")
    assert [s.name for s in unlabelled] == [f"{f.sha256}.jpg" for f in chosen.frames]
    for sample, frame in zip(unlabelled, chosen.frames, strict=True):
        assert sample.box is not None
        assert (sample.box.x0, sample.box.y1) == pytest.approx((frame.box.x0, frame.box.y1), abs=1e-3)
    assert hashlib.sha256((tmp_path / PROVENANCE).read_bytes()).hexdigest() == digest


def test_provenance_names_every_frame_and_how_it_was_found(site: Path, tmp_path: Path) -> None:
    config = read_config(site)
    chosen = choose(site, config)
    write_inputs(site, config, chosen, tmp_path)
    told = json.loads((tmp_path / PROVENANCE).read_text())
    assert [row["sha256"] for row in told["frames"]] == [f.sha256 for f in chosen.frames]
    assert {row["source"] for row in told["frames"]} == {"cam"}
    assert {row["model"] for row in told["frames"]} == {config.factory}
    assert told["config"]["factory"] == config.factory
    assert told["config"]["split"]["gate"] == list(config.split.gate)


def test_writing_again_gives_the_same_and_sweeps_what_a_kill_left(site: Path, tmp_path: Path) -> None:
    config = read_config(site)
    chosen = choose(site, config)
    first = write_inputs(site, config, chosen, tmp_path)
    (tmp_path / f".{INPUTS}.part").mkdir()
    (tmp_path / f".{INPUTS}.part" / "half").write_text("")
    (tmp_path / INPUTS / "unlabelled" / "images" / "stray.jpg").write_text("")
    assert write_inputs(site, config, chosen, tmp_path) == first
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "site") == [INPUTS, PROVENANCE]
    assert not (tmp_path / INPUTS / "unlabelled/images/stray.jpg").exists()


def test_evicting_a_frame_does_not_take_it_from_a_running_refresh(site: Path, tmp_path: Path) -> None:
    config = read_config(site)
    write_inputs(site, config, choose(site, config), tmp_path)
    with FrameStore(site) as store:
        assert store.evict(0) == 12
    assert len(read_unlabelled(tmp_path / INPUTS / "unlabelled")) == 12


def test_frame_that_a_collector_evicts_meanwhile_is_named(site: Path, tmp_path: Path) -> None:
    config = read_config(site)
    chosen = choose(site, config)
    with FrameStore(site) as store:
        store.evict(0)
    with pytest.raises(InputError, match="call the refresh again"):
        write_inputs(site, config, chosen, tmp_path)
    assert not (tmp_path / INPUTS).exists()


def test_no_frames_is_an_error_with_the_next_step(site: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="site collect"):
        write_inputs(site, read_config(site), Choice([], {}, None), tmp_path)


@pytest.mark.parametrize(
    "change", [{"seed": 5}, {"gate": {"alpha": 0.01}}, {"factory": "f" * 64}, {"recipe": "r.toml"}]
)
def test_hash_of_the_inputs_sees_what_matters(site: Path, change: dict[str, object]) -> None:
    (site / "r.toml").write_text("x = 1")
    config = read_config(site)
    chosen = choose(site, config).frames
    first = inputs_sha256(site, config, chosen)
    assert first == inputs_sha256(site, change_config(site, collecting="on", quota_mb=5.0), chosen)
    assert first != inputs_sha256(site, change_config(site, **change), chosen)
    assert first != inputs_sha256(site, config, chosen[1:])


def test_forgetting_keeps_the_records(tmp_path: Path) -> None:
    for name in ("inputs/unlabelled/images/a.jpg", "run/model.safetensors", "run/metrics.csv", "bundle/model.onnx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    for name in ("provenance.json", "gate.json", "state.json"):
        (tmp_path / name).write_text("x")
    forget(tmp_path)
    forget(tmp_path)
    left = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert left == ["gate.json", "provenance.json", "run/metrics.csv", "state.json"]
