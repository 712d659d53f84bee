"""The runs that a figure needs, as recipes (methods spec 5.4, 5.7, 5.8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmdeploy.errors import InputError
from lmdeploy.site.config import to_toml
from training import recipe
from training.analysis import report, sweeps
from training.data import published
from training.methods import stld
from training.models import transformer

PUBLISHED = recipe.load("stld_hm_r18")


def tf_recipe() -> recipe.Recipe:
    return recipe.checked(
        PUBLISHED.model_copy(update={"network": transformer.Config(), "codec": "coords", "name": "tf"}), "tf"
    )


def test_sigma_2_of_the_paper_with_the_midpoint_after_it() -> None:
    found = [stld.Config.model_validate(of.recipe.options).sigma for of in sweeps.plan("sensitivity", [PUBLISHED])]
    assert [sigma[0] for sigma in found] == [1.5, 1.8, 2.0, 2.2, 2.6, 3.0, 3.4, 3.8, 4.2, 4.6]
    assert found[3] == (2.2, 1.8, 1.5)  # the published one stays as it is
    assert all(s == pytest.approx((s[0], (s[0] + 1.5) / 2, 1.5)) for s in found if s[0] != 2.2)


def test_p_2_of_the_paper_for_coordinates() -> None:
    planned = sweeps.plan("sensitivity", [tf_recipe()])
    found = [stld.Config.model_validate(of.recipe.options) for of in planned]
    assert [cfg.p[0] for cfg in found] == [1.0, 1.4, 1.8, 2.4, 3.0, 4.0]
    assert found[0].p == (1, 1, 1)
    assert found[3].p == (2.4, 1.6, 1.0)
    assert {cfg.sigma for cfg in found} == {(2.2, 1.8, 1.5)}
    assert {of.labelled for of in planned} == {157}


def test_the_ablation_has_five_variants_at_four_ratios() -> None:
    planned = sweeps.plan("ablation", [PUBLISHED, tf_recipe()])
    assert len(planned) == 2 * 5 * 4
    assert {of.labelled for of in planned} == {50, 157, 315, 630}
    methods = [of.recipe.method for of in planned if of.labelled == 50][:5]
    assert methods == ["naive", "linear_warmup", "stld", "stld", "stld"]
    switches = [(of.recipe.options.get("pretrain"), of.recipe.options.get("mixed")) for of in planned[8:20:4]]
    assert switches == [(True, False), (False, True), (True, True)]
    naive = planned[0].recipe
    assert (naive.options["epochs"], naive.options["oversample"]) == (60, 100)
    assert naive.method_config().model_dump()["sigma"] == 1.5


def test_the_crossover_has_the_paper_s_ratios_and_three_more() -> None:
    planned = sweeps.plan("crossover", [PUBLISHED, tf_recipe()])
    assert [of.labelled for of in planned] == 2 * [50, 75, 150, 225, 375, 750, 1500]
    with pytest.raises(InputError, match="same name"):
        sweeps.plan("crossover", [PUBLISHED, PUBLISHED])
    with pytest.raises(InputError, match="figures with a sweep"):
        sweeps.plan("cost", [PUBLISHED])


@pytest.mark.parametrize("name", ["face68", "refresh", "supervised", *recipe.built_in()[::20]])
def test_a_written_recipe_reads_back_the_same(name: str) -> None:
    loaded = recipe.load(name)
    assert recipe.parse(to_toml(loaded.model_dump(mode="json", exclude_none=True)), name) == loaded


def test_a_published_cell_is_varied_with_its_data_but_without_its_target(tmp_path: Path) -> None:
    """The recipe says where its data are; only the number of labelled images changes with the run."""
    data = published.Data.model_validate(
        {"set": "300w", "labelled": 157, "crop": "stld_300w", "test": ["full"], "normaliser": "inter-ocular"}
    )
    target = published.Target(paper="STLD", table="I", row="HM", metric="nme", unit="%", value=3.81)
    crop = PUBLISHED.crop.model_copy(update={"scale": 1.0})  # the policy itself enlarges the box
    cell = PUBLISHED.model_copy(update={"data": data, "target": (target,), "crop": crop})
    planned = sweeps.plan("ablation", [cell])
    counts = {(of.labelled, of.recipe.data.labelled) for of in planned if of.recipe.data}
    assert counts == {(count, count) for count in (50, 157, 315, 630)}
    assert not any(of.recipe.target for of in planned)
    file = tmp_path / "cell.toml"
    file.write_text(to_toml(cell.model_dump(mode="json", exclude_none=True)))
    command = report.plan("ablation", [str(file)], None, tmp_path)[0]
    assert "--labelled" not in command
    assert recipe.load(command.split()[2]) == planned[0].recipe


def test_the_plan_prints_commands_whose_recipes_load(tmp_path: Path) -> None:
    commands = report.plan("fig13", ["stld_hm_r18"], tmp_path / "my data", tmp_path / "out")
    assert len(commands) == 10
    words = f"lmdeploy train {tmp_path}/out/stld-hm-r18-sigma1.5-157.toml --data '{tmp_path}/my data' --labelled 157"
    assert commands[0].startswith(words)
    assert commands[0].endswith(f"--out {tmp_path}/out/runs/stld-hm-r18-sigma1.5-157")
    assert recipe.load(str(tmp_path / "out" / "stld-hm-r18-157.toml")) == PUBLISHED
