"""`lmdeploy site` as a person calls it: exit codes, what goes to which stream, and the whole life of a small site."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import pytest

from lmdeploy.cli import main
from lmdeploy.site import registry
from tests.site_kit import STAND_IN, biased_bundle, change_config, copy_site, picture, write_folder
from tests.tiny_bundle import make_tiny_bundle

Capture = pytest.CaptureFixture[str]


def call(capsys: Capture, *words: object) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of one call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lmdeploy", "site", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
    out = capsys.readouterr()
    return int(caught.value.code or 0), out.out, out.err


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A biased factory bundle, a good one, an anchor and a folder of new pictures."""
    folder = tmp_path_factory.mktemp("parts")
    biased_bundle(folder / "factory")
    make_tiny_bundle(folder / "good")
    write_folder(folder / "anchor", range(60))
    (folder / "new").mkdir()
    for number in range(500, 512):
        cv2.imwrite(str(folder / "new" / f"{number}.png"), picture(number)[0][..., ::-1])
    return folder


@pytest.fixture(scope="module")
def made(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from lmdeploy.site.init import init_site

    site = tmp_path_factory.mktemp("made") / "site"
    init_site(site, parts / "factory", parts / "anchor")
    change_config(site, command=(sys.executable, str(STAND_IN)), reserve_mb=0.0)
    return site


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Path:
    return copy_site(made, tmp_path / "site")


def test_whole_life(site: Path, parts: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Collect, refresh to a promotion, look, roll back, verify."""
    factory = registry.champion(site).digest
    code, out, err = call(capsys, "collect", site, parts / "new", "--detector", "whole_image")
    assert (code, out) == (0, "")
    assert "12 frames" in err

    monkeypatch.setenv("STAND_IN_BUNDLE", str(parts / "good"))
    code, out, err = call(capsys, "refresh", site, "--threads", 1)
    assert (code, out) == (0, "")
    assert "stage 3" in err  # the trainer's own output, live
    assert "refresh 001 promoted" in err

    code, out, err = call(capsys, "status", site, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["champion"] != factory == told["previous"]
    assert told["refresh"]["gate"]["decision"] == "better"

    code, out, err = call(capsys, "rollback", site)
    assert (code, out) == (0, "")
    assert factory[:16] in err
    assert registry.champion(site).digest == factory

    code, out, err = call(capsys, "history", site, "--json")
    assert [e["event"] for e in json.loads(out)][-1] == "rollback"
    assert err == ""
    assert call(capsys, "verify", site)[0] == 0


def test_refused_refresh_ends_with_3_and_changes_nothing(site: Path, parts: Path, capsys: Capture) -> None:
    factory = registry.champion(site).digest
    call(capsys, "collect", site, parts / "new", "--detector", "whole_image", "--every", 2)
    for _ in range(2):  # the second call repeats the answer
        code, out, err = call(capsys, "refresh", site)
        assert (code, out) == (3, "")
        assert "not shown better" in err
        assert "goes on serving" in err
    assert registry.champion(site).digest == factory


def test_person_promotes_a_proposal(parts: Path, tmp_path: Path, capsys: Capture) -> None:
    write_folder(tmp_path / "few", range(20))
    site = tmp_path / "s"
    code, _, err = call(capsys, "init", site, "--bundle", parts / "factory", "--anchor", tmp_path / "few")
    assert "only proposes" in err
    change_config(site, command=(sys.executable, str(STAND_IN)), reserve_mb=0.0)
    call(capsys, "collect", site, parts / "new", "--detector", "whole_image")
    code, _, err = call(capsys, "refresh", site)
    assert code == 3
    assert "proposed" in err
    code, out, err = call(capsys, "promote", site)
    assert (code, out) == (0, "")
    assert "serves now" in err
    assert registry.champion(site).serial == 1


def test_init_prints_what_the_gate_can_show(parts: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "r.toml").write_text("method = 'stld'\n")
    words = ["init", tmp_path / "s", "--bundle", parts / "factory", "--anchor", parts / "anchor"]
    code, out, err = call(capsys, *words, "--quota-mb", 7, "--seed", 4, "--recipe", tmp_path / "r.toml")
    assert (code, out) == (0, "")
    assert "30 images of 30 identities" in err
    assert "80 % power" in err
    text = (tmp_path / "s" / "site.toml").read_text()
    assert "quota_mb = 7.0\n" in text
    assert "seed = 4\n" in text
    code, _, err = call(capsys, *words)
    assert code == 2
    assert "choose another folder" in err


def test_tables_for_people_go_to_stderr(site: Path, capsys: Capture) -> None:
    for command in ("status", "history"):
        code, out, err = call(capsys, command, site)
        assert (code, out) == (0, "")
        assert registry.champion(site).digest[:16] in err
        assert registry.champion(site).digest not in err


def test_collecting_can_be_forbidden_and_allowed(site: Path, parts: Path, capsys: Capture) -> None:
    assert call(capsys, "collect", site, "--off")[0] == 0
    code, _, err = call(capsys, "collect", site, parts / "new", "--detector", "whole_image")
    assert code == 2
    assert "--on" in err
    code, _, err = call(capsys, "collect", site, parts / "new", "--on", "--detector", "whole_image")
    assert code == 0
    assert "12 frames" in err
    assert json.loads(call(capsys, "status", site, "--json")[1])["collecting"] == "on"


def test_broken_pictures_are_named_and_the_rest_is_done(site: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "bad.png").write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "src" / "good.png"), picture(700)[0][..., ::-1])
    code, _, err = call(capsys, "collect", site, tmp_path / "src", "--detector", "whole_image")
    assert code == 2
    assert "bad.png" in err
    assert "1 frames" in err
    assert json.loads(call(capsys, "status", site, "--json")[1])["frames"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["collect"], "give a SOURCE"),
        (["refresh"], "site collect"),
        (["rollback"], "no earlier bundle"),
        (["promote"], "nothing was proposed"),
        (["collect", "no-such-file.mp4"], "no such file"),
        (["collect", "x.png", "--detector", "yunet"], "yunet"),
    ],
)
def test_wrong_calls_end_with_2_and_the_next_step(site: Path, capsys: Capture, words: list[str], message: str) -> None:
    code, out, err = call(capsys, words[0], site, *words[1:])
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["collect", "refresh", "status", "rollback", "history", "verify"])
def test_folder_that_is_no_site_ends_with_2(tmp_path: Path, capsys: Capture, command: str) -> None:
    code, _, err = call(capsys, command, tmp_path, *(["x.png"] if command == "collect" else []))
    assert code == 2
    assert "site init" in err


def test_verify_names_what_is_wrong(site: Path, capsys: Capture) -> None:
    (site / "anchor" / "landmarks.csv").unlink()
    code, _, err = call(capsys, "verify", site)
    assert code == 2
    assert "anchor was changed" in err


def test_every_command_has_a_help_text(capsys: Capture) -> None:
    _, out, _ = call(capsys, "--help")
    for command in ("init", "collect", "refresh", "status", "promote", "rollback", "history", "verify"):
        assert f"  {command} " in out
        assert len(call(capsys, command, "--help")[1]) > 100
