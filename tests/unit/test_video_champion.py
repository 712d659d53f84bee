"""A site's champion is followed through promotions while frames go on, and a bad one is never served."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest

import lmdeploy.video.champion as champion_file
from lmdeploy.bundle import Bundle
from lmdeploy.errors import InputError
from lmdeploy.geometry import whole_image_box
from lmdeploy.landmarker import Landmarker
from lmdeploy.site.registry import Alias, add_bundle, set_alias
from lmdeploy.video.champion import Champion
from lmdeploy.video.follow import Following
from lmdeploy.video.pipeline import run
from lmdeploy.video.track import Tracker
from tests.blob_video import Kept, Made
from tests.tiny_bundle import make_tiny_bundle

load = partial(Landmarker.load, threads=1, detector="whole_image")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(champion_file, "LOOK_EVERY_S", 0.0)
    folder = tmp_path / "site"
    folder.mkdir()
    serve(folder, make_tiny_bundle(tmp_path / "first", name="first"), 1)
    return folder


def serve(site: Path, bundle: Bundle, serial: int) -> str:
    """What a promotion leaves behind."""
    inside = add_bundle(site, bundle.path)
    set_alias(site, "champion", Alias(digest=inside.digest, serial=serial, event="promote"))
    return inside.digest


def settled(champion: Champion, digest: str) -> bool:
    end = time.monotonic() + 10
    while champion().model.digest != digest and time.monotonic() < end:
        time.sleep(0.01)
    return champion().model.digest == digest


def test_promotion_takes_over_and_the_old_model_is_closed(site: Path, tmp_path: Path) -> None:
    said: list[str] = []
    champion = Champion(site, load, said.append)
    old = champion()
    digest = serve(site, make_tiny_bundle(tmp_path / "second", name="second"), 2)
    assert settled(champion, digest)
    assert said == []
    with pytest.raises(InputError, match="closed"):
        old.predict(next(iter(Made(1))).image)
    champion.close()
    champion.close()


def test_no_frame_is_dropped_while_the_model_changes(site: Path, tmp_path: Path) -> None:
    champion = Champion(site, load, lambda _: None)
    first = champion().model.digest
    second: list[str] = []
    kept = Kept()
    at: dict[int, object] = {
        50: lambda: second.append(serve(site, make_tiny_bundle(tmp_path / "second", name="second"), 2)),
        250: lambda: time.sleep(0.5),
    }
    run(Made(300, at=at), champion, Following(Tracker()), [kept])
    digests = [some[0].digest for some in kept.faces]
    assert [some[0].frame for some in kept.faces] == list(range(300))
    assert digests[:50] == [first] * 50
    assert digests[-1] == second[0]
    assert digests == sorted(digests, key=[first, second[0]].index)  # one change, for good
    champion.close()


def test_damaged_champion_is_not_served_and_is_told_once(site: Path, tmp_path: Path) -> None:
    said: list[str] = []
    champion = Champion(site, load, said.append)
    first = champion().model.digest
    bundle = make_tiny_bundle(tmp_path / "second", name="second")
    inside = add_bundle(site, bundle.path)
    (inside.path / "model.onnx").write_bytes(b"garbage")
    set_alias(site, "champion", Alias(digest=inside.digest, serial=2, event="promote"))
    end = time.monotonic() + 10
    while not said and time.monotonic() < end:
        assert champion().model.digest == first
        time.sleep(0.01)
    for _ in range(20):
        assert champion().model.digest == first
    assert len(said) == 1
    assert "goes on serving" in said[0]
    champion.close()


def test_champion_with_other_landmarks_waits_for_a_restart(site: Path, tmp_path: Path) -> None:
    said: list[str] = []
    champion = Champion(site, load, said.append)
    first = champion().model.digest
    serve(site, make_tiny_bundle(tmp_path / "second", schema="ibug68"), 2)
    end = time.monotonic() + 10
    while not said and time.monotonic() < end:
        champion()
        time.sleep(0.01)
    assert "other landmarks" in said[0]
    assert champion().model.digest == first
    champion.close()


def test_alias_file_is_looked_at_once_a_second(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(champion_file, "LOOK_EVERY_S", 1.0)
    monkeypatch.setattr(champion_file, "monotonic", lambda: clock[0])
    champion = Champion(site, load, lambda _: None)
    looks: list[int] = []
    look = champion._look
    monkeypatch.setattr(champion, "_look", lambda: (looks.append(1), look())[1])
    for step in range(100):
        clock[0] = 100 + step * 0.033
        champion()
    assert len(looks) == 3
    champion.close()


def test_folder_that_is_no_site(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a site"):
        Champion(tmp_path, load, lambda _: None)


def test_it_needs_no_more_than_the_site_s_name(site: Path) -> None:
    with Champion(str(site)) as champion:
        image = next(iter(Made(1))).image
        assert champion().predict(image, [whole_image_box(160, 160)])
    with pytest.raises(InputError, match="closed"):
        champion().predict(image, [whole_image_box(160, 160)])
