"""Recipes: all shipped ones load; every mistake is named with the nearest right word."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmdeploy.errors import InputError
from training import recipe
from training.augment import config
from training.engine.fit import Schedule
from training.methods import METHODS, stld


@pytest.mark.parametrize("name", [name for name in recipe.built_in() if "/" not in name])
def test_every_shipped_recipe_loads_and_is_complete(name: str) -> None:
    loaded = recipe.load(name)
    folder = Path(recipe.__file__).parent / "recipes"
    text = (folder / f"{name}.toml").read_text()
    for section in ("[network]", "[crop]", "[schedule]", "[augment]", "[options]"):
        assert section in text
    options = loaded.method_config().model_fields_set
    assert "oversample" in options
    assert options & {"epochs", "students"}  # TS3's students have lengths of their own


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('method = "stld"\n[options]\nlamda_mode = "code"', ["'lamda_mode' is not a field", "'lambda_mode'"]),
        ('method = "stld"\n[schedule]\nbach = 3', ["'schedule.bach' is not a field", "'batch'"]),
        ('method = "std"', ["'std' is none of", "stld"]),
        ('method = "stld"\ncodec = "argmax"', ["codec 'argmax'", "subpixel"]),
        ('method = "stld"\n[crop]\nsize = 100', ["multiple of 32"]),
        ('method = "stld"\n[schedule]\nlr = -1.0', ["schedule.lr", "greater than 0"]),
        ("method = ", ["not valid TOML"]),
        ("[crop]\nsize = 64", ["method", "required"]),
    ],
)
def test_mistakes_are_named(text: str, words: list[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        recipe.load(str(file))
    for word in (*words, "mine.toml" if "lamda" not in text else "stld"):
        assert word in str(caught.value)


def test_a_misspelt_method_gets_a_suggestion() -> None:
    with pytest.raises(InputError, match="did you mean 'supervised'"):
        recipe.load("supervized")


def test_a_method_s_name_means_the_recipe_of_that_name() -> None:
    assert set(METHODS) <= set(recipe.built_in())
    assert recipe.load("stld").method_config().model_dump()["rounds"] == 4


def test_the_published_schedule_is_the_methods_own_default() -> None:
    published = recipe.load("stld_hm_r18")
    assert published.method_config() == stld.Config()
    assert published.schedule == Schedule()
    assert published.augment == config.STLD
