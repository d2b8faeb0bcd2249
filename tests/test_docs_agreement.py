"""The pages on agreement and power say what the code does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from imganalysis import agreeing, powering
from imganalysis import tables as t
from imganalysis.cli import app
from imganalysis.cohort import acceptance, cell_agreement, click_cells
from imganalysis.powering import Question
from imganalysis.words import AGREEMENT

if TYPE_CHECKING:
    from pathlib import Path


def page(repository: Path, name: str) -> str:
    return (repository / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "words", [t.READER_CELL_COLUMNS, t.READER_BIOPSY_COLUMNS, AGREEMENT],
    ids=["cells", "biopsies", "reasons"],
)  # fmt: skip
def test_words_are_explained_as_in_the_code(words: dict[str, str], repository: Path) -> None:
    text = page(repository, "agreement.md")
    for word, meaning in words.items():
        assert f"| `{word}` | {meaning} |" in text, word


def test_every_file_status_and_score_is_named(repository: Path) -> None:
    text = page(repository, "agreement.md")
    names = [
        *agreeing.NAMES, *cell_agreement.SCORES, click_cells.MATCHED, click_cells.SECOND,
        click_cells.CLICK_ALONE, click_cells.CELL_ALONE, click_cells.ON_EXCLUDED,
        cell_agreement.NOT_FOUND, cell_agreement.EXCLUDED, cell_agreement.NOT_CLICKED,
    ]  # fmt: skip
    for name in names:
        assert f"`{name}`" in text, name
    lower = f"{acceptance.ICC_LOWER:g}".removeprefix("0")
    assert f"the lower end of the interval of ICC(2,1) is {lower} or more" in text
    assert f"bias is {acceptance.BIAS_POINTS:g} points or less" in text
    assert f"lie within {acceptance.LIMIT_POINTS:g} points" in text
    assert f"only from **{acceptance.VERDICT_BIOPSIES} biopsies** on" in text
    assert f"fewer than {acceptance.VERDICT_BIOPSIES} biopsies;" in AGREEMENT[acceptance.TOO_FEW]
    for name, least in acceptance.least_f1().items():
        assert f"| `{name}` | {least:.2f} |" in text, name
    power = page(repository, "power.md")
    for name in powering.NAMES:
        assert f"`{name}`" in power, name


@pytest.mark.parametrize("command", ["agree", "power"])
def test_options_are_those_of_the_program(command: str, repository: Path) -> None:
    from typer.main import get_command

    name = {"agree": "agreement.md"}.get(command, "power.md")
    mine = get_command(app).commands[command]  # type: ignore[attr-defined]
    options = {option for p in mine.params for option in p.opts}
    text = re.sub(rf"(?m)^imganalysis (?!{command}\b).*", "", page(repository, name))
    said = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text))
    assert said and said <= options, said - options


def test_defaults_of_power_are_those_of_the_code(repository: Path) -> None:
    text, asked = page(repository, "power.md"), Question()
    for row, values in {
        "`--p`, `--p2`": (asked.p, asked.p_second),
        "`--rho`": (asked.rho,),
        "`--patient-sd`, `--field-sd`": (asked.patient_sd, asked.field_sd),
        "`--correlation`": (asked.correlation,),
        "`--rare`, `--floor`": (asked.rare, asked.floor),
        "`--within`, `--power`": (asked.within, asked.power),
        "`--repeats`, `--seed`": (asked.repeats, asked.seed),
    }.items():
        assert f"| {row} | {', '.join(f'{v:g}' for v in values)} |" in text
    for name in ("fields", "cells", "patients"):
        assert f"| `--{name}` | {','.join(map(str, getattr(asked, name)))} |" in text
