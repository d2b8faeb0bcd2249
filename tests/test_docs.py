"""The documentation names every column and every word of the results."""

from __future__ import annotations

import csv
import re
import shlex
import tomllib
from typing import TYPE_CHECKING, Any, get_args

import pytest
import typer
import yaml

from imganalysis import field_table, methods
from imganalysis import tables as t
from imganalysis.annotations import KINDS, WRITTEN
from imganalysis.cli import app
from imganalysis.panel import Channel, Statistic
from imganalysis.quantify.ratios import RATIO_COLUMNS
from imganalysis.segment import Segmenter
from imganalysis.settings import Preparation, Settings, parse_settings
from imganalysis.settings_artefacts import Artefacts
from imganalysis.tables_biopsies import DERIVED
from imganalysis.training_data import TrainingRecipe, held_out

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def text(repository: Path) -> str:
    return (repository / "docs" / "results.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "words", [t.FLAGS, t.REASONS, t.EXCLUSIONS, t.CELL_COLUMNS, t.PAIR_COLUMNS],
    ids=["flags", "reasons", "exclusions", "cells", "pairs"],
)  # fmt: skip
def test_words_are_explained_as_in_the_code(words: dict[str, str], text: str) -> None:
    for word, meaning in words.items():
        assert f"| `{word}` | {meaning} |" in text


def test_no_word_is_explained_twice(text: str) -> None:
    for section in text.split("\n#"):
        words = re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE)
        assert sorted(set(words)) == sorted(words), section.splitlines()[0]


def test_what_can_be_outlined_is_explained(repository: Path) -> None:
    page = (repository / "docs" / "space.md").read_text(encoding="utf-8")
    for kind in KINDS:
        assert f"`{WRITTEN[kind]}`" in page and f"`{kind}`" in page, kind


def test_facts_of_fields_and_status_are_explained(text: str) -> None:
    for word in (*field_table.FACTS, *field_table.STATUS):
        assert f"`{word}`" in text, word


def test_the_help_names_every_background() -> None:
    run: Any = typer.main.get_command(app)
    (option,) = (p for p in run.commands["run"].params if p.name == "background")
    backgrounds = get_args(Preparation.model_fields["background"].annotation)
    assert option.metavar == "|".join(backgrounds)


@pytest.mark.parametrize("name", ["gate", "cohort", "agree", "power", "classifier train"])
def test_the_help_shows_how_to_begin(name: str, repository: Path) -> None:
    """An example whose options there are, and the page of the docs."""
    found: Any = typer.main.get_command(app)
    for part in name.split():
        found = found.commands[part]
    (example,) = re.findall(rf"Example:  imganalysis {name} (.+)", found.help)
    options, rest, _ = found.make_parser(found.context_class(found)).parse_args(
        shlex.split(example)
    )
    assert not rest and options["results" if "results" in options else "out"]
    (linked,) = re.findall(r"docs/\w+\.md", found.help)
    assert (repository / linked).exists()


def test_links_lead_somewhere(repository: Path) -> None:
    pages = [*repository.glob("*.md"), *repository.glob("docs/*.md")]
    assert len(pages) >= 6
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def page(repository: Path, name: str) -> str:
    return (repository / "docs" / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Code of a page."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    assert found
    return found


def rows(text: str, first: str) -> list[list[str]]:
    """Cells of the table whose head begins with a word."""
    lines = text.split(f"\n| {first} |")[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_method_and_the_default_are_named(repository: Path) -> None:
    named = [row[0] for row in rows(page(repository, "segmentation.md"), "method")]
    expected = {f"`{name}`" for name in methods.BUILT_IN} - {f"`{methods.DEFAULT}`"}
    assert sorted(named) == sorted({*expected, f"`{methods.DEFAULT}` (default)"})


@pytest.mark.parametrize("method", methods.BUILT_IN)
def test_every_setting_of_a_method_is_explained_with_its_default(
    repository: Path, method: str
) -> None:
    table = rows(page(repository, "segmentation.md"), "setting")
    fields = dict(methods.BUILT_IN[method].model_fields)
    assert set(fields) > {"method"} and fields.pop("method").default == method
    if method == "given":
        fields.pop("path"), fields.pop("page")
    for name, field in fields.items():
        (row,) = [r for r in table if f"`{name}`" in r[0] and (r[1] == "all" or method in r[1])]
        values = field.default if isinstance(field.default, tuple) else (field.default,)
        for value in values:
            shown = "none" if value is None else str(value).lower()
            shown = shown.removesuffix(".0")
            assert re.search(rf"\b{re.escape(shown)}\b", row[-1]), (name, shown, row[-1])


def test_a_setting_that_no_method_has_is_not_explained(repository: Path) -> None:
    known = {name for model in methods.BUILT_IN.values() for name in model.model_fields}
    for row in rows(page(repository, "segmentation.md"), "setting"):
        assert set(re.findall(r"`(\w+)`", row[0])) <= known


@pytest.mark.parametrize("name", ["segmentation.md", "segmenters.md"])
def test_commands_and_options_are_those_of_the_program(repository: Path, name: str) -> None:
    from typer.main import get_command

    commands = get_command(app).commands  # type: ignore[attr-defined]
    text = page(repository, name)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    code = "\n".join([*blocks(text, ""), *re.findall(r"`([^`]+)`", prose)])
    named = set(re.findall(r"^imganalysis (\w+)", code, flags=re.MULTILINE))
    assert named and named <= set(commands)
    options = {option for c in commands.values() for p in c.params for option in p.opts}
    said = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", code))
    assert said and said <= options


def test_settings_and_recipes_of_the_docs_are_valid(repository: Path) -> None:
    kinds = []
    for block in blocks(page(repository, "segmentation.md"), "yaml"):
        values = yaml.safe_load(block)
        if "segmentation" in values:
            parse_settings(values)
        else:
            TrainingRecipe.model_validate(values)
        kinds.append("start" in values)
    assert kinds == [False, False, True]


def test_the_quality_page_shows_the_defaults_and_a_valid_channel(repository: Path) -> None:
    channel, settings = blocks(page(repository, "quality.md"), "yaml")
    assert Channel.model_validate(yaml.safe_load(channel)[0]).role == "transmitted"
    said = yaml.safe_load(settings)
    assert parse_settings(said) == Settings()
    assert set(said["artefacts"]) == set(Artefacts.model_fields)


def test_the_list_of_held_out_images(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"field {number}" for number in range(20)]
    for folder, suffix in (("images", ".png"), ("masks", ".tif")):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / (name + suffix)).touch()
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(page(repository, "segmentation.md"), "python")
    exec(compile(code, "segmentation.md", "exec", dont_inherit=True), {})  # noqa: S102
    with (tmp_path / "held_out.csv").open(newline="", encoding="utf-8") as file:
        listed = [(row["image"], row["mask"]) for row in csv.DictReader(file)]
    expected = sorted(name for name in names if held_out(name))
    assert 0 < len(expected) < 20
    assert listed == [(f"{name}.png", str(tmp_path.joinpath("masks", f"{name}.tif").relative_to(
        tmp_path))) for name in expected]  # fmt: skip


def test_statistics_that_a_panel_may_ask_for_and_the_others(repository: Path) -> None:
    text = page(repository, "panels.md")
    (row,) = (line for line in text.splitlines() if line.startswith("| `statistic` |"))
    assert tuple(re.findall(r"`(\w+)`", row.split("|")[2])) == (
        *(name for name in get_args(Statistic) if name != "compensated"), "cell", "compensated",
    )  # fmt: skip
    (code,) = blocks(text, "python")
    found: dict[str, Any] = {}
    exec(compile(code, "panels.md", "exec", dont_inherit=True), found)  # noqa: S102
    # Half of a ring about a square lies in the bright half.
    assert found["share"].tolist() == [pytest.approx(0.5)]


def test_the_recipes_for_other_networks_keep_the_contract(repository: Path) -> None:
    """As far as it can be seen without their libraries, which are not imported before use."""
    text = page(repository, "segmenters.md")
    names = []
    for code in blocks(text, "python"):
        found: dict[str, object] = {"__name__": "recipe"}
        exec(compile(code, "segmenters.md", "exec", dont_inherit=True), found)  # noqa: S102
        segmenter = found["SEGMENTER"]
        assert isinstance(segmenter, Segmenter)
        name = segmenter.settings.model_fields["method"].default
        assert f'{name} = "imganalysis_{name}:SEGMENTER"' in text
        assert segmenter.settings(model="a file").method == name  # type: ignore[call-arg]
        names.append(name)
    assert names == ["instanseg", "stardist"]
    assert "not tested here" in text


def test_the_entry_point_of_the_docs_is_that_of_the_example(repository: Path) -> None:
    (block,) = blocks(page(repository, "segmenters.md"), "toml")
    example = (repository / "examples" / "segmenter" / "pyproject.toml").read_text(encoding="utf-8")
    said = tomllib.loads(block)["project"]["entry-points"]
    assert said == tomllib.loads(example)["project"]["entry-points"]
    assert set(said) == {methods.ENTRY_POINTS}


def test_columns_of_ratios_are_explained_as_in_the_code(repository: Path) -> None:
    text = page(repository, "statistics.md")
    for name, meaning in RATIO_COLUMNS.items():
        assert f"| `{name}` | {meaning} |" in text
    channel, settings = blocks(text, "yaml")
    assert Channel.model_validate(yaml.safe_load(channel)[0]).sensitivity == 0.9
    assert parse_settings(yaml.safe_load(settings)) == Settings()


def test_what_a_fraction_derives_is_explained(text: str) -> None:
    for end in DERIVED:
        assert re.search(rf"`\w*_{end}(_|`)", text), end


def test_columns_stand_under_the_table_that_has_them(text: str) -> None:
    """`n_numerator_FRACTION` stood under biopsies.csv, where nobody finds it."""
    of_biopsies = text.partition("## biopsies.csv")[2].partition("\n### ")[0]
    of_fields = text.partition("## fields.csv")[2].partition("\n## ")[0]
    for name in ("n_numerator_FRACTION", "n_denominator_FRACTION"):
        assert f"`{name}`" in of_fields and f"`{name}`" not in of_biopsies
