"""What a refresh starts from: never twice the same inputs, always the factory weights and the site's own anchor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lmdeploy.errors import InputError
from lmdeploy.site import registry
from lmdeploy.site.collect import collect_frames
from lmdeploy.site.journal import read_states, refresh_folder
from lmdeploy.site.refresh import refresh
from lmdeploy.site.report import verify
from tests.site_kit import (
    better_errors,
    change_config,
    copy_site,
    factory_of,
    frames,
    make_site,
    see_blobs,
    worse_errors,
)


def test_same_inputs_are_not_tried_again(site: Path) -> None:
    """P7: a refused candidate cannot be tried until luck helps."""
    first = refresh(site, errors=worse_errors)
    assert refresh(site, errors=better_errors) == first
    assert len(read_states(site)) == 1
    collect_frames(site, frames(range(200, 203)), see_blobs, "cam")
    second = refresh(site, errors=better_errors)
    assert (second.number, second.outcome, second.frames) == (2, "promoted", 11)
    assert second.gate is not None
    assert second.gate.round == 2


def test_every_refresh_starts_from_the_factory_weights(site: Path) -> None:
    """P9: depth 1 however many refreshes there were, and the last one's bulk alone is kept."""
    for number in range(3):
        collect_frames(site, frames(range(300 + 3 * number, 303 + 3 * number)), see_blobs, "cam")
        state = refresh(site, errors=better_errors if number == 0 else worse_errors)
        checkpoint = json.loads((refresh_folder(site, state.number) / "run/model.safetensors").read_text())
        assert Path(checkpoint["init"]) == registry.bundle_folder(site, factory_of(site)).resolve()
    assert not (refresh_folder(site, 1) / "inputs").exists()
    assert not (refresh_folder(site, 2) / "run/model.safetensors").exists()
    assert (refresh_folder(site, 3) / "inputs").exists()
    verify(site)


def test_same_store_config_and_seed_give_the_same_candidate(made: Path, straight: Path, tmp_path: Path) -> None:
    """P18."""
    (first,) = read_states(straight)
    assert refresh(copy_site(made, tmp_path / "b"), errors=better_errors) == first
    changed = copy_site(made, tmp_path / "c")
    change_config(changed, seed=1)
    assert refresh(changed, errors=better_errors).candidate != first.candidate


def test_altered_anchor_stops_the_refresh(site: Path) -> None:
    table = site / "anchor" / "landmarks.csv"
    table.write_text(table.read_text() + "\n")
    with pytest.raises(InputError, match="anchor was changed"):
        refresh(site, errors=better_errors)
    assert read_states(site) == []


def test_no_frames_is_an_error_with_the_next_step(tmp_path: Path) -> None:
    site = make_site(tmp_path, images=12)
    with pytest.raises(InputError, match="site collect"):
        refresh(site)


def test_recipe_of_the_site_is_what_is_trained(site: Path) -> None:
    (site / "recipe.toml").write_text("method = 'stld'\n")
    change_config(site, recipe="recipe.toml")
    refresh(site, errors=better_errors)
    assert json.loads((refresh_folder(site, 1) / "run/model.safetensors").read_text())["method"] == "recipe.toml"
