"""Recipes and plans: what is read, what is refused, and that no biology stands in the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from imganalysis import simulate
from imganalysis.errors import SettingsError

PACKAGE = Path(simulate.__file__).parent


def test_an_unknown_key_is_refused_by_name(tmp_path: Path) -> None:
    data = yaml.safe_load((PACKAGE / "recipes" / "melanoma.yaml").read_text("utf-8"))
    data["section"]["thicknes_um"] = 3
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"mine\.yaml: not a valid recipe:\n +section\.thickne"):
        simulate.load_recipe(path)


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(
        SettingsError, match="no recipe is called 'carcinoma': take one of melanoma"
    ):
        simulate.load_recipe("carcinoma")


def test_a_recipe_is_frozen() -> None:
    recipe = simulate.load_recipe()
    with pytest.raises(ValueError, match="frozen"):
        recipe.name = "other"


def test_overrides_reach_deep_and_leave_the_rest() -> None:
    over = {"cells": {"tumour": {"expression": {"MelanA": {"loss": 0.0}}}}}
    plain, changed = simulate.load_recipe(), simulate.load_recipe("melanoma", over)
    assert plain.cells["tumour"].expression["MelanA"].loss == 3.0
    assert changed.cells["tumour"].expression["MelanA"].loss == 0.0
    assert changed.cells["tumour"].expression["MelanA"].log_sd == 0.5
    assert changed.cells["T"] == plain.cells["T"]


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"weeks": {0: {"dying": {"tumor": 0.1}}}}, "unknown cell: tumor"),
        ({"cells": {"T": {"expression": {"CD8": {"level": 1.0}}}}}, "unknown marker: CD8"),
        ({"weeks": {0: {"nest": {"mix": {"tumour": 0.5}}}}}, "must sum to 1"),
        ({"panels": {"apoptosis": {"bleed": [[1.0]]}}}, "3 x 3 matrix"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(over: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        simulate.load_recipe("melanoma", over)


def test_two_biopsies_of_one_name_are_refused(tmp_path: Path) -> None:
    data = yaml.safe_load((PACKAGE / "plans" / "sample.yaml").read_text("utf-8"))
    data["biopsies"][1]["biopsy"] = data["biopsies"][0]["biopsy"]
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(SettingsError, match="named twice: P01-W0"):
        simulate.load_plan(path)


def test_no_marker_and_no_kind_of_cell_is_named_in_the_code() -> None:
    recipe = simulate.load_recipe()
    names = {*recipe.markers, *recipe.cells, "melan", "caspase"} - {"T", "B"}
    words = re.compile("|".join(rf"\b{re.escape(n)}\b" for n in names), re.IGNORECASE)
    for path in PACKAGE.glob("*.py"):
        code = path.read_text(encoding="utf-8").replace('name_or_path: str | Path = "melanoma"', "")
        # Prose may speak of a tumour; a value or a name may not.
        strings = re.sub(r'""".*?"""', "", code, flags=re.DOTALL)
        strings = re.sub(r"#.*", "", strings)
        found = words.findall(strings)
        assert not found, f"{path.name} names {found}"
