"""The documentation names every column and every word of the results."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from imganalysis import field_table
from imganalysis import tables as t

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def text(repository: Path) -> str:
    return (repository / "docs" / "results.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "words", [t.FLAGS, t.REASONS, t.EXCLUSIONS, t.CELL_COLUMNS], ids=["flags", "reasons",
    "exclusions", "cells"]
)  # fmt: skip
def test_words_are_explained_as_in_the_code(words: dict[str, str], text: str) -> None:
    for word, meaning in words.items():
        assert f"| `{word}` | {meaning} |" in text


def test_facts_of_fields_and_status_are_explained(text: str) -> None:
    for word in (*field_table.FACTS, *field_table.STATUS):
        assert f"`{word}`" in text, word


def test_links_lead_somewhere(repository: Path) -> None:
    pages = [*repository.glob("*.md"), *repository.glob("docs/*.md")]
    assert len(pages) >= 6
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
