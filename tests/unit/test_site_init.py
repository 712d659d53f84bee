"""Making a site: all of it or nothing, with a word on what its gate can show."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lmdeploy.bundle import read_bundle, write_bundle
from lmdeploy.dataset import read_labelled
from lmdeploy.errors import BundleError, DataError, InputError
from lmdeploy.site import audit, init, registry
from lmdeploy.site.anchor import check_anchor, site_schema
from lmdeploy.site.config import read_config
from lmdeploy.site.init import Summary, init_site
from lmdeploy.site.measure import gate_errors
from lmdeploy.site.power import detectable_difference
from lmdeploy.site.report import verify
from tests.site_kit import write_folder
from tests.tiny_bundle import BLOBS3, make_tiny_bundle


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("parts")
    return make_tiny_bundle(folder / "bundle").path, write_folder(folder / "anchor", range(20), per_identity=2)


def test_new_site_serves_the_factory_bundle_and_is_as_written(parts: tuple[Path, Path], tmp_path: Path) -> None:
    site = tmp_path / "deep" / "site"
    summary = init_site(site, *parts, quota_mb=5, seed=3)
    assert read_bundle(registry.champion_path(site)).digest == read_bundle(parts[0]).digest
    config = read_config(site)
    assert (config.quota_mb, config.seed, config.collecting, config.recipe) == (5, 3, "on_request", "")
    assert (summary.gate_images, summary.gate_identities, summary.train_images) == (10, 5, 10)
    assert not set(config.split.gate) & set(config.split.train)
    assert site_schema(site, config) == BLOBS3
    check_anchor(site, config)
    assert [r.event for r in audit.read_log(site)] == ["init"]
    assert verify(site) == 1
    assert [p.name for p in site.parent.iterdir()] == ["site"]


def test_printed_figures_are_those_of_the_gate_half(parts: tuple[Path, Path], tmp_path: Path) -> None:
    summary = init_site(tmp_path / "s", *parts)
    gate = [s for s in read_labelled(parts[1], BLOBS3) if s.name in read_config(tmp_path / "s").split.gate]
    errors = gate_errors(parts[0], gate, 1)
    assert summary.nme == pytest.approx(errors.mean())
    assert summary.detectable == pytest.approx(detectable_difference(errors, [s.identity for s in gate], 0.05))


@pytest.mark.parametrize("inside", ["file", "folder with a file"])
def test_used_place_is_refused_untouched(parts: tuple[Path, Path], tmp_path: Path, inside: str) -> None:
    place = tmp_path / "place"
    if inside == "file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / "mine").write_text("mine")
    with pytest.raises(InputError, match="choose another folder"):
        init_site(place, *parts)
    assert (place if inside == "file" else place / "mine").read_text() == "mine"


def test_empty_folder_is_a_free_place(parts: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    init_site(tmp_path / "s", *parts)
    assert verify(tmp_path / "s") == 1


def test_what_a_killed_call_left_is_removed(parts: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / ".s.1.part" / "anchor").mkdir(parents=True)
    (tmp_path / ".other.1.part").mkdir()
    init_site(tmp_path / "s", *parts)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".other.1.part", "s"]


def test_error_in_the_middle_leaves_nothing(
    parts: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(init, "publish_folder", stop)
    with pytest.raises(KeyboardInterrupt):
        init_site(tmp_path / "s", *parts)
    assert list(tmp_path.iterdir()) == []


def test_broken_parts_are_named(parts: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        init_site(tmp_path / "s", tmp_path / "none", parts[1])
    broken = write_folder(tmp_path / "broken", range(4))
    (broken / "images" / "a0002.png").unlink()
    with pytest.raises(DataError, match=r"a0002\.png"):
        init_site(tmp_path / "s", parts[0], broken)
    assert not (tmp_path / "s").exists()


def test_recipe_is_copied(parts: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("method = 'stld'\n")
    init_site(tmp_path / "s", *parts, recipe=tmp_path / "mine.toml")
    assert read_config(tmp_path / "s").recipe == "recipe.toml"
    assert (tmp_path / "s" / "recipe.toml").read_text() == "method = 'stld'\n"


def test_built_in_schema_is_named_and_an_own_one_is_written(parts: tuple[Path, Path], tmp_path: Path) -> None:
    init_site(tmp_path / "own", *parts)
    assert read_config(tmp_path / "own").landmarks == "schema.toml"
    assert (tmp_path / "own/schema.toml").is_file()


def test_site_may_be_moved(parts: tuple[Path, Path], tmp_path: Path) -> None:
    init_site(tmp_path / "s", *parts)
    (tmp_path / "s").rename(tmp_path / "t")
    assert verify(tmp_path / "t") == 1
    assert registry.champion_path(tmp_path / "t").parent.parent == tmp_path / "t"


def test_sentences_say_what_the_gate_cannot_show() -> None:
    summary = Summary(40, 20, 40, 5.0, 0.4, trainable=True)
    told = "\n".join(summary.lines())
    assert "40 images of 20 identities" in told
    assert "0.40 % NME" in told
    assert "80 % power" in told
    assert "about 160 gate images" in told
    assert "only proposes" not in told
    few = "\n".join(dataclasses.replace(summary, gate_images=29, trainable=False).lines())
    assert "only proposes" in few
    assert "weights.safetensors" in few
    assert "inf" in "\n".join(dataclasses.replace(summary, detectable=float("inf")).lines())


def test_bundle_with_weights_can_be_refreshed(parts: tuple[Path, Path], tmp_path: Path) -> None:
    base = read_bundle(parts[0])
    files = {"model.onnx": base.file("model.onnx").read_bytes(), "weights.safetensors": b"weights"}
    made = write_bundle(tmp_path / "b", base.spec, files)
    assert init_site(tmp_path / "s", made.path, parts[1]).trainable
    assert not init_site(tmp_path / "t", *parts).trainable


def test_a_place_that_takes_no_files_is_one_sentence(parts: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is no folder that takes files"):
        init_site(tmp_path / "file" / "site", *parts)
