"""Several data sets in one run: how they are named, joined, and refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.schema import load_schema
from tests.unit.training.conftest import tiny_recipe, tiny_request
from tests.unit.training.sets.fixture_300w import write_300w
from tests.unit.training.sets.fixture_wflw import write_wflw
from training import estimate, job, run_folder
from training.data.published import Data
from training.recipe import Recipe, checked, load, parse
from training.sources import sources_of


def asked(toy: Path, out: Path, **fields: Any) -> job.Request:
    return tiny_request(toy, out, "cross_protocol", **fields)


@pytest.fixture(scope="module")
def copy(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The labelled faces again, as another protocol would have them."""
    return Path(shutil.copytree(toy / "labelled", tmp_path_factory.mktemp("copy") / "other"))


def test_a_sample_has_only_its_own_data_set_s_points(toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(asked(toy, tmp_path))
    seen = np.isfinite(ready.labelled.points).all(axis=2)
    assert seen.shape == (18, 73)
    np.testing.assert_array_equal(seen[:6], [[True] * 5 + [False] * 68] * 6)
    np.testing.assert_array_equal(seen[6:], [[False] * 5 + [True] * 68] * 12)
    assert [data.images for data in ready.trainer.settings.spec.data] == [6, 12]


def test_two_protocols_of_one_schema_are_told_apart_by_a_name(toy: Path, tmp_path: Path, copy: Path) -> None:
    request = asked(toy, tmp_path, schema="ibug68@photos", also=((copy, "ibug68@video"), (toy / "five", "face5")))
    sources = sources_of(request)
    assert sources.target == "ibug68@photos"
    assert [part.label for part in sources.parts] == ["face5", "ibug68@photos", "ibug68@video"]
    assert sources.landmarks.points == 5 + 68 + 68
    assert job.prepare(request).trainer.settings.spec.parts[1].landmarks == load_schema("ibug68")


def test_a_part_may_have_a_schema_file_of_the_user_s_own(toy: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine@home.toml"
    own.write_text(
        'name = "own5"\npoints = 5\nnames = ["a", "b", "c", "d", "e"]\n[normaliser]\nkind = "box"\nname = "box"\n'
    )
    sources = sources_of(asked(toy, tmp_path, also=((toy / "five", str(own)),)))
    assert [part.label for part in sources.parts] == ["ibug68", "own5"]


def test_mistakes_are_told_before_anything_is_trained(toy: Path, tmp_path: Path, copy: Path) -> None:
    five = toy / "five"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"also": ()}, "several data sets: give --also FOLDER SCHEMA"),
        ({"also": ((five, "face6"),)}, "face6.*neither one of"),
        ({"also": ((toy / "labelled", "ibug68@b"),)}, "given twice"),
        ({"also": ((copy, "ibug68"),)}, "two data sets are called ibug68.*ibug68@NAME"),
        ({"also": ((five, "cofw29"),)}, r"cofw29 \(.*five\).*x5"),
        ({"also": ((copy, "face5"),)}, "more points than the 5"),
        ({"recipe": tiny_recipe("supervised")}, "supervised trains on one data set: drop --also, or choose cross"),
    ]
    for fields, match in cases:
        with pytest.raises(InputError, match=match):
            job.prepare(asked(toy, tmp_path, **fields))


def test_init_must_have_the_same_parts(toy: Path, tmp_path: Path) -> None:
    job.run(asked(toy, tmp_path / "one", recipe=tiny_recipe("cross_protocol", fine=False, epochs=1)), lambda _: None)
    other = asked(toy, tmp_path / "two", schema="ibug68@b", init=tmp_path / "one" / "model.safetensors")
    with pytest.raises(InputError, match=r"73 points \(face5\+ibug68\), the data has 73 \(face5\+ibug68@b\)"):
        job.prepare(other)


def test_a_run_goes_on_only_with_the_same_data_sets(toy: Path, tmp_path: Path) -> None:
    request = asked(toy, tmp_path / "run")
    run_folder.claim(request)
    (tmp_path / "run" / "stages").mkdir()
    run_folder.claim(request)
    with pytest.raises(InputError, match=r"\(also differ\)"):
        run_folder.claim(asked(toy, tmp_path / "run", also=((toy / "five", "face5@other"),)))


def test_dry_run_counts_both_stages(toy: Path, tmp_path: Path) -> None:
    found = estimate.estimate(asked(toy, tmp_path))
    assert found.image_steps == 2 * 18 + 2 * 12


def published_recipe(**fields: Any) -> Recipe:
    table = {
        "set": "300w", "crop": "stld_300w", "unlabelled": "none", "test": ["full"], "normaliser": "inter-ocular",
        "also": [{"set": "wflw", "crop": "stld_wflw"}],
    }  # fmt: skip
    tiny = tiny_recipe("cross_protocol", epochs=1, fine_epochs=1)
    crop = tiny.crop.model_copy(update={"kind": "stretch", "scale": 1.0})
    return checked(tiny.model_copy(update={"data": Data.model_validate(table | fields), "crop": crop}), "test")


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("sets")
    return write_300w(root / "300w"), write_wflw(root / "wflw")


def test_published_sets_are_joined_and_measured_on_the_first_one(copies: tuple[Path, Path], tmp_path: Path) -> None:
    request = job.Request(
        recipe=published_recipe(), data=copies[0], out=tmp_path, also=((copies[1], "wflw"),), device="cpu",
        precision="32",
    )  # fmt: skip
    told: list[str] = []
    job.run(request, told.append)
    assert "ibug68: 300-W: 4 labelled images, 0 unlabelled" in told
    assert "wflw98: WFLW: 5 labelled images" in told
    assert any(line.startswith("300w full: NME") for line in told)
    again = load(str(tmp_path / "recipe.toml"))
    assert again.data == request.recipe.data


def test_a_misspelt_field_of_a_further_set_is_named() -> None:
    text = (
        'method = "cross_protocol"\n[data]\nset = "300w"\ncrop = "stld_300w"\ntest = ["full"]\n'
        'normaliser = "inter-ocular"\n[[data.also]]\nset = "wflw"\ncropp = "stld_wflw"\n'
    )
    with pytest.raises(InputError, match="did you mean 'crop'"):
        parse(text, "test")


@pytest.mark.parametrize("names", [(), ("300w",), ("wflw", "wflw"), ("wflw", "aflw")])
def test_every_further_published_set_needs_its_copy_and_no_other_is_taken(
    names: tuple[str, ...], copies: tuple[Path, Path], tmp_path: Path
) -> None:
    also = tuple((copies[1], name) for name in names)
    with pytest.raises(InputError, match="give --also FOLDER wflw"):
        sources_of(job.Request(recipe=published_recipe(), data=copies[0], out=tmp_path, also=also))


@pytest.mark.parametrize("crop", ["hrnet", "unknown"])
def test_the_further_sets_crop_must_be_a_policy_of_the_same_rule(crop: str) -> None:
    with pytest.raises(InputError, match=crop):
        published_recipe(also=[{"set": "wflw", "crop": crop}])
