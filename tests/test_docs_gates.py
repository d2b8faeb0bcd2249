"""The page on gates says what the program does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml
from typer.main import get_command

from imganalysis import tables as t
from imganalysis.classify import Gate
from imganalysis.cli import app
from imganalysis.settings import Gating, parse_settings
from imganalysis.settings_gating import Guards, Ladder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def page(request: pytest.FixtureRequest) -> str:
    root: Path = request.getfixturevalue("repository")
    return (root / "docs" / "gates.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("words", [t.GATE_REASONS, t.GATE_FLAGS], ids=["reasons", "flags"])
def test_words_are_explained_as_in_the_code(words: dict[str, str], page: str) -> None:
    for word, meaning in words.items():
        assert f"| `{word}` | {meaning} |" in page


def test_the_settings_shown_are_all_and_the_defaults(page: str) -> None:
    _, settings = re.findall(r"^```yaml\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    said = yaml.safe_load(settings)
    assert parse_settings(said).gating == Gating()
    gating = said["gating"]
    assert set(gating) == set(Gating.model_fields) - {"sensitivity_factors"}
    assert set(gating["ladder"]) == set(Ladder.model_fields)
    assert set(gating["ladder"]["guards"]) == set(Guards.model_fields)


def test_every_key_of_a_gate_is_explained(page: str) -> None:
    for key in Gate.model_fields:
        assert f"`{key}`" in page, key


def test_options_are_those_of_the_command(page: str) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    options = {o for name in ("gate", "run") for p in commands[name].params for o in p.opts}
    said = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page))
    assert said and said <= options
