"""The pages on phenotypes and on the learned class say what the program does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.classify import classify_cells
from imganalysis.classify._learned_fit import MAX_FOLDS, MIN_CELLS, MIN_PATIENTS, STRENGTH
from imganalysis.classify._learned_model import MIN_PROBABILITY
from imganalysis.classify.learned import RANGE_MARGIN
from imganalysis.classify.workflow import CALL_WORDS
from imganalysis.cli import app
from imganalysis.panel import builtin_panels, load_panel

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pages(repository: Path) -> dict[str, str]:
    names = ("phenotypes", "classifier")
    return {n: (repository / "docs" / f"{n}.md").read_text(encoding="utf-8") for n in names}


@pytest.mark.parametrize("name", list(builtin_panels()))
def test_every_class_is_explained(pages: dict[str, str], name: str) -> None:
    part = pages["phenotypes"].split(f"### `{name}`")[1].split("\n## ")[0]
    if name == "joint":  # the rows of the other two hold there too
        part = pages["phenotypes"].split("## Why")[0]
    for label in load_panel(name).classes:
        assert f"`{label}`" in part, label


def test_the_reasons_that_are_shown_are_given(pages: dict[str, str]) -> None:
    panel = load_panel("apoptosis")
    cells = pd.DataFrame(
        {
            t.call_column("MelanA"): [t.NEGATIVE, t.POSITIVE],
            t.call_column("casp3"): [t.POSITIVE, t.INDETERMINATE],
            **{t.context_column(c): pd.array([c == "in_region"] * 2, dtype="boolean")
               for c in panel.contexts},
        }
    )  # fmt: skip
    for why in classify_cells(cells, panel).why:
        assert f"\n{why}\n" in pages["phenotypes"]


def test_commands_options_words_and_limits(pages: dict[str, str]) -> None:
    from typer.main import get_command

    groups = get_command(app).commands  # type: ignore[attr-defined]
    for group, name in (("panel", "from-scimap"), ("classifier", "train"), ("classifier", "check")):
        assert name in groups[group].commands
        assert f"imganalysis {group} {name}" in "".join(pages.values())
    commands = [groups["run"], *groups["panel"].commands.values()]
    commands += groups["classifier"].commands.values()
    options = {option for c in commands for p in c.params for option in p.opts}
    for text in pages.values():
        said = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
        assert said and said <= options
    assert all(f"`{word}`" in pages["phenotypes"] for word in CALL_WORDS)
    page = pages["classifier"]
    for column in (t.FIELD, t.LABEL, t.CELL_ID, t.CORRECT_CLASS, t.READER, t.TIME):
        assert f"`{column}`" in page
    assert (MIN_PATIENTS, RANGE_MARGIN, MAX_FOLDS) == (3, 0.1, 10)
    assert "three patients" in page and "a tenth" in page and "ten groups" in page
    assert f"{MIN_CELLS} cells" in page and f"C = {STRENGTH:g}" in page
    assert f"under {MIN_PROBABILITY:g} " in page
