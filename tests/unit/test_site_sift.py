"""Frames whose landmarks are guessed are left out: the same ones on every call, whatever was promoted or killed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from lmdeploy.bundle import read_bundle
from lmdeploy.demo import moved, portrait_path
from lmdeploy.errors import InputError
from lmdeploy.geometry import landmark_box
from lmdeploy.images import read_image
from lmdeploy.landmarker import Landmarker
from lmdeploy.model import Model
from lmdeploy.quality import Residual, elt_residual
from lmdeploy.site import registry, sift
from lmdeploy.site.collect import collect_frames, cut
from lmdeploy.site.config import SiteConfig, Split, read_config
from lmdeploy.site.curate import Choice, choose, inputs_sha256, write_inputs
from lmdeploy.site.store import FrameStore, StoredFrame
from lmdeploy.types import U8, Landmarks
from lmdeploy.video.frame import Frame
from tests.site_kit import (
    change_config,
    copy_site,
    frames,
    landmarks_at,
    make_site,
    other_bundle,
    picture,
    remember_anchor,
    see_blobs,
)

LIMIT = 1.0  # %: the blob network has 0.02 on pictures and 2.9 on shuffled ones, whose centroid is the middle's
GOOD, BAD = range(100, 110), range(200, 206)


def shuffled(image: U8, seed: int) -> U8:
    """The same pixels in a random order."""
    return np.random.default_rng(seed).permuted(image.reshape(-1, 3), axis=0).reshape(image.shape)


def see_anything(image: U8) -> list[Landmarks]:
    """A champion that finds three points in every picture, and is sure of them."""
    return [landmarks_at(np.array([[40, 50], [85, 60], [60, 90]], np.float32))]


@pytest.fixture(scope="module", autouse=True)
def one_anchor() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        remember_anchor(patch)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures that the champion sees and six that it can only guess, source `bad`, and the limit."""
    site = make_site(tmp_path_factory.mktemp("made"), images=12)
    collect_frames(site, frames(GOOD), see_blobs, "cam")
    bad = [Frame(shuffled(picture(seed)[0], seed), seed, None, "") for seed in BAD]
    assert collect_frames(site, bad, see_anything, "bad").kept == len(BAD)
    change_config(site, max_residual=LIMIT)
    return site


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Path:
    return copy_site(made, tmp_path / "site")


def drawn_today(site: Path, config: SiteConfig) -> list[StoredFrame]:
    """The seeded draw, written once more: everything sure, by the hash of seed and name."""
    with FrameStore(site) as store:
        kept = [f for f in store.kept() if f.score >= config.min_score]
    return sorted(kept, key=lambda f: hashlib.sha256(f"{config.seed}/{f.sha256}".encode()).hexdigest())


def names(found: Sequence[StoredFrame]) -> list[str]:
    return [f.sha256 for f in found]


def outcome(choice: Choice) -> tuple[object, ...]:
    """What can be compared of a choice: arrays of points cannot."""
    return names(choice.frames), choice.residuals, choice.sift


def no_network(*_: object, **__: object) -> Model:
    raise AssertionError("the network was opened")


def test_planted_pictures_are_left_out_and_the_others_kept(site: Path) -> None:
    choice = choose(site, read_config(site))
    assert {f.source for f in choice.frames} == {"cam"}
    assert len(choice.frames) == len(GOOD)
    assert choice.sift is not None
    assert (choice.sift.limit, choice.sift.looked_at, choice.sift.left_out) == (LIMIT, 16, 6)
    percents = [r.percent for r in choice.residuals.values()]
    assert len(percents) == 16
    assert {r.model for r in choice.residuals.values()} == {registry.champion(site).digest}
    wanted = [min(percents), *np.percentile(percents, (25, 50, 75)), max(percents)]
    np.testing.assert_allclose(choice.sift.quartiles, wanted, atol=1e-4)
    assert choice.sift.sentence().startswith("6 of 16 frames left out: ELT residual above 1 % of the crop (least 0.0")


def test_switched_off_gives_the_choice_without_it_and_never_opens_the_network(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sift, "open_model", no_network)
    for most in (5, 12, 2000):
        config = change_config(site, max_residual=0.0, max_frames=most)
        choice = choose(site, config)
        assert names(choice.frames) == sorted(names(drawn_today(site, config)[:most]))
        assert (choice.residuals, choice.sift) == ({}, None)
    with FrameStore(site) as store:
        assert store.residuals() == {}


def test_limit_that_nothing_exceeds_gives_the_choice_without_it(site: Path) -> None:
    far, off = (choose(site, change_config(site, max_residual=limit)) for limit in (100.0, 0.0))
    assert names(far.frames) == names(off.frames)
    config = read_config(site)
    assert inputs_sha256(site, config, far.frames) == inputs_sha256(site, config, off.frames)


def test_places_of_those_left_out_are_filled_in_the_order_of_the_draw(site: Path) -> None:
    config = change_config(site, max_frames=7)
    draw = drawn_today(site, config)
    good = [f for f in draw if f.source == "cam"][:7]
    choice = choose(site, config)
    assert names(choice.frames) == sorted(names(good))
    assert choice.sift is not None
    assert choice.sift.looked_at == draw.index(good[-1]) + 1 == len(choice.residuals)
    assert choice.sift.left_out == choice.sift.looked_at - 7 > 0


class Stop(RuntimeError):
    """Stands for a kill."""


def test_killed_while_measuring_goes_on_to_the_same_choice(
    site: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sift, "BATCH", 5)
    sizes: list[int] = []

    def counted(predictor: object, crops: U8, batch: int) -> object:
        sizes.append(len(crops))
        if len(sizes) == 3:
            raise Stop
        return elt_residual(predictor, crops, batch=batch)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(sift, "elt_residual", counted)
    with pytest.raises(Stop):
        choose(site, read_config(site))
    again = choose(site, read_config(site))
    assert sizes == [5, 5, 5, 5, 1]  # what was measured before the kill is not measured again
    straight = copy_site(made, tmp_path / "straight")
    assert outcome(choose(straight, read_config(straight))) == outcome(again)


def test_another_champion_does_not_change_the_choice(site: Path, tmp_path: Path) -> None:
    """P7: promoting or rolling back must not make new inputs, and with them a second try."""
    first = choose(site, read_config(site))
    factory = registry.champion(site)
    bundle = registry.add_bundle(site, registry.champion_path(site))
    new = registry.add_bundle(site, other_bundle(bundle, tmp_path / "new", "0.9.0").path)
    registry.promote(site, new.digest, expected=factory.digest, origin="test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sift, "open_model", no_network)
        assert outcome(choose(site, read_config(site))) == outcome(first)
    collect_frames(site, frames(range(300, 302)), see_blobs, "cam")
    models = [r.model for r in choose(site, read_config(site)).residuals.values()]
    assert (models.count(factory.digest), models.count(new.digest)) == (16, 2)


def test_nothing_left_names_the_limit(site: Path, tmp_path: Path) -> None:
    choice = choose(site, change_config(site, max_residual=0.001))
    assert choice.frames == []
    with pytest.raises(InputError, match=r"16 of 16 frames left out.*median.*raise max_residual in site\.toml"):
        write_inputs(site, read_config(site), choice, tmp_path)
    none = sift.Sift(limit=1, looked_at=0, left_out=0, quartiles=())
    with pytest.raises(InputError, match="no frames to learn from; collect"):
        write_inputs(site, read_config(site), Choice([], {}, none), tmp_path)


def test_points_that_never_stay_inside_count_as_guessed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(predictor: object, crops: U8, batch: int) -> Residual:
        return Residual(np.full(len(crops), np.nan), np.full(len(crops), np.nan))

    monkeypatch.setattr(sift, "elt_residual", nowhere)
    choice = choose(site, read_config(site))
    assert choice.frames == []
    assert {r.percent for r in choice.residuals.values()} == {sift.NOWHERE}


def test_missing_and_damaged_pictures_are_named(site: Path) -> None:
    config = read_config(site)
    draw = drawn_today(site, config)
    with FrameStore(site) as store:
        path = store.path(draw[0].sha256)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"truncated.*site verify"):
        choose(site, config)
    path.unlink()
    with pytest.raises(InputError, match="evicted it just now; call the refresh again"):
        sift.sift(site, config, draw)
    assert draw[0].sha256 not in choose(site, config).residuals


def test_face68_under_the_default_limit_keeps_faces_and_drops_noise(tmp_path: Path) -> None:
    """The portrait of the demo, moved; the same picture shuffled; noise. Measured 0.7 to 0.8 % and 8.8 to 13 %."""
    config = SiteConfig(
        name="f", factory="0" * 64, landmarks="ibug68", anchor_sha256="0" * 64, split=Split(train=(), gate=())
    )
    portrait, rng = read_image(portrait_path()), np.random.default_rng(0)
    with Landmarker.load("face68", threads=1, device="cpu") as landmarker, FrameStore(tmp_path) as store:
        registry.add_bundle(tmp_path, read_bundle("face68").path)
        registry.set_alias(tmp_path, "champion", registry.Alias(digest=landmarker.model.digest, origin="test"))
        for time_s in (0.0, 2.0, 4.5, 7.0):
            image = moved(portrait, time_s)
            (face,) = landmarker.predict(image)
            box = landmark_box(face.points_raw)
            region = slice(int(box.y0), int(box.y1)), slice(int(box.x0), int(box.x1))
            mixed = image.copy()
            mixed[region] = shuffled(image[region], int(time_s))
            noise = rng.integers(0, 256, image.shape).astype(np.uint8)
            for source, each in (("face", image), ("shuffled", mixed), ("noise", noise)):
                store.insert(*cut(Frame(each, 0, None, ""), face, source, landmarker.model.digest, (0, 64)))
    taken, seen, told = sift.sift(tmp_path, config, drawn_today(tmp_path, config), threads=1)
    assert [f.source for f in taken] == ["face"] * 4
    assert told.left_out == 8
    assert max(seen[f.sha256].percent for f in taken) < 1.5
    assert sorted(r.percent for r in seen.values())[4] > 6
