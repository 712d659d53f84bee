"""site.toml: written as it is read, unknown keys named with the likely right one."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdeploy.errors import InputError
from lmdeploy.site import audit
from lmdeploy.site.config import FILE, SiteConfig, Split, read_config, set_collecting, to_toml, write_config

CONFIG = SiteConfig(
    name='odd "name" \\ ü\n\x7f',
    factory="0" * 64,
    landmarks="ibug68",
    anchor_sha256="1" * 64,
    command=("python", "-m", "lmdeploy"),
    split=Split(train=("a b.png", "ü.jpg"), gate=("c.png",)),
)


def test_config_comes_back_as_written(tmp_path: Path) -> None:
    write_config(tmp_path, CONFIG)
    assert read_config(tmp_path) == CONFIG


VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.integers(-9, 9),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,6}", fullmatch=True), st.one_of(VALUES, st.lists(VALUES, max_size=3))))
def test_toml_is_read_back_by_the_standard_library(value: dict[str, object]) -> None:
    assert tomllib.loads(to_toml({**value, "table": value})) == {**value, "table": value}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("quota_mb", "qouta_mb", "did you mean 'quota_mb'"),
        ("resamples", "resample", "did you mean 'resamples'"),
        ("seed = 0\nrecipe", "seed = 'x'\nrecipe", "seed: "),
        ("schema_version = 1", "schema_version = 2", "schema_version"),
        ("quota_mb = 2000.0", "quota_mb = -1", "quota_mb"),
        ("max_residual = 4.0", "max_residual = -1", "max_residual: .* greater than or equal to 0"),
        ("max_residual = 4.0", "max_residual = nan", "max_residual: "),
        ("max_residual = 4.0", "max_residual = inf", "max_residual: .* finite"),
        ("max_residual = 4.0", "max_residual = '4 %'", "max_residual: .* number"),
        ("max_residual", "max_residuals", "did you mean 'max_residual'"),
        ("[split]", "[split", "not valid TOML"),
        ('collecting = "on_request"', "collecting = false", "collecting"),
    ],
)
def test_wrong_keys_and_values_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    write_config(tmp_path, CONFIG)
    text = (tmp_path / FILE).read_text()
    assert old in text
    (tmp_path / FILE).write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message):
        read_config(tmp_path)


def test_folder_without_config_is_no_site(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="site init"):
        read_config(tmp_path)


def test_collecting_is_off_until_asked_for_and_the_switch_is_logged(tmp_path: Path) -> None:
    write_config(tmp_path, CONFIG)
    assert read_config(tmp_path).collecting == "on_request"
    set_collecting(tmp_path, "off")
    set_collecting(tmp_path, "on")
    assert read_config(tmp_path) == CONFIG.model_copy(update={"collecting": "on"})
    assert [r.data["state"] for r in audit.read_log(tmp_path)] == ["off", "on"]
