"""The page on where cells lie: its tables, settings and examples."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from imganalysis.annotations import read_annotations
from imganalysis.quantify.spatial import COLUMNS, MEASURES
from imganalysis.settings import parse_settings
from imganalysis.settings_space import Space

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def text(repository: Path) -> str:
    return (repository / "docs" / "space.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    assert found
    return found


@pytest.mark.parametrize("words", [COLUMNS, MEASURES], ids=["columns", "measures"])
def test_words_are_explained_as_in_the_code(words: dict[str, str], text: str) -> None:
    for word, meaning in words.items():
        assert f"| `{word}` | {meaning} |" in text


def test_every_setting_is_named_with_its_default(text: str) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", text, flags=re.MULTILINE))
    for name, field in Space.model_fields.items():
        shown = "none" if field.default is None else str(field.default).lower().removesuffix(".0")
        assert rows.pop(name) == ("see above" if name == "pairs" else shown), name
    assert not rows


def test_settings_of_the_page_are_valid_and_the_defaults(text: str) -> None:
    said = [parse_settings(yaml.safe_load(block)).space for block in blocks(text, "yaml")]
    assert [one.annotation_unit for one in said] == ["pixel", None]
    assert said[1] == Space()


def test_the_example_writes_what_is_read(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(text, "python")
    exec(compile(code, "space.md", "exec", dont_inherit=True), {})  # noqa: S102
    (path,) = (tmp_path / "annotations").iterdir()
    (outline,) = read_annotations(path, (1024, 1024), (0.232, 0.232))
    assert outline.kind == "tumour"
    assert outline.polygons[0][0][0] == pytest.approx([20.116, 10.116])


def test_the_file_of_the_page_says_its_unit(text: str, tmp_path: Path) -> None:
    (block,) = blocks(text, "json")
    assert json.loads(block)["unit"] == "pixel"
    (tmp_path / "a.geojson").write_text(block)
    assert read_annotations(tmp_path / "a.geojson", (10, 10), (1.0, 1.0)) == ()
