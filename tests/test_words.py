"""A count and the noun after it agree, because one function writes both."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from imganalysis.words import plural

ROOT = Path(__file__).resolve().parents[1]
CODE = (ROOT / "imganalysis", ROOT / "plugins" / "napari" / "napari_imganalysis")

# What is counted in messages: a count is written before one of these by `plural`.
NOUNS = (
    "axes biopsies bytes cells channels classes clicks columns corrections days edits entries "
    "fields figures files fractions fragments gates images markers nuclei objects panels patients "
    "phenotypes pixels planes points readers rows runs series spacings steps tests tiles times "
    "values weeks"
).split()
NO_ADJECTIVE = "and are as asks has in is lies names need of off to with".split()
COUNTED = re.compile(
    rf" (?:(?!(?:{'|'.join(NO_ADJECTIVE)}) )[a-z]+ )?(?:(?:{'|'.join(NOUNS)})\b|[a-z]+\((?:s|es)\))"
)

# The count is never 1, or it is no count: (module, what is filled in).
NEVER_ONE = {
    ("_reasons", "context.positive"),  # a marker
    ("_reasons", "pieces"),  # of several only
    ("endpoints", "of"),  # what the fraction is of
    ("loss", "state"),  # living or dying
    ("reading", "same_stem[stem]"),  # of several only
    ("panel_match", "len(places)"),  # of several only
    ("checks", "width"),  # Y x X
    ("_edit_study", "labels.shape"),
    ("_fields", "' x '.join(map(str, labels.shape))"),
    ("_reading", "expected"),  # a shape
    ("_describe", "row.fraction"),  # a share
    ("volume", "anisotropy"),  # a ratio
    ("rung_mixture", "ratio"),
}


def counts(source: str) -> list[tuple[int, str]]:
    """(line, what is filled in) of each noun after a value that `plural` did not write."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, text in zip(node.values, node.values[1:], strict=False):
            if not isinstance(value, ast.FormattedValue) or not isinstance(text, ast.Constant):
                continue
            shown = ast.unparse(value.value)
            constant = re.fullmatch(r"(?:c\.)?[A-Z_]+", shown)  # known not to be 1
            if constant or "plural(" in shown or isinstance(value.value, ast.JoinedStr):
                continue
            if COUNTED.match(str(text.value)):
                found.append((node.lineno, shown))
    return found


def modules() -> list[Path]:
    return [path for folder in CODE for path in sorted(folder.rglob("*.py"))]


@pytest.mark.parametrize(
    ("n", "noun", "said"),
    [
        (1, "field", "1 field"), (0, "field", "0 fields"), (2, "biopsy", "2 biopsies"),
        (1, "biopsy", "1 biopsy"), (3, "class", "3 classes"), (2, "day", "2 days"),
        (2, "box", "2 boxes"), (21, "batch", "21 batches"),
    ],
)  # fmt: skip
def test_a_count_and_its_noun_agree(n: int, noun: str, said: str) -> None:
    assert plural(n, noun) == said


def test_other_plurals_and_forms_of_the_number() -> None:
    assert plural(1, "nucleus", "nuclei") == "1 nucleus"
    assert plural(0, "nucleus", "nuclei") == "0 nuclei"
    assert plural(12345, "cell", form=",") == "12,345 cells"
    assert plural(5.0, "point", form="g") == "5 points"
    assert plural(1.0, "point", form="g") == "1 point"


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_no_message_writes_a_count_before_its_noun_by_itself(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    found = [one for one in counts(source) if (path.stem, one[1]) not in NEVER_ONE]
    assert not found, f"{path}: use imganalysis.words.plural: {found}"


def test_what_is_allowed_is_still_there() -> None:
    every = {(p.stem, shown) for p in modules() for _, shown in counts(p.read_text("utf-8"))}
    assert every >= NEVER_ONE, f"not found any more: {sorted(NEVER_ONE - every)}"


@pytest.mark.parametrize(
    ("source", "n"),
    [
        ('f"{n} cells"', 1), ('f"{len(x)} of {n} control cells here"', 1), ('f"{n:,} fields"', 1),
        ("f\"{plural(n, 'cell')} of {m} fields\"", 1), ('f"{n} field(s)"', 1),
        ("f\"{plural(n, 'cell')} of it\"", 0), ('f"{name} has cells"', 0), ('f"{x} of cells"', 0),
        ('f"under {FEW} fields"', 0),
    ],
)  # fmt: skip
def test_what_is_looked_for_is_found(source: str, n: int) -> None:
    assert len(counts(source)) == n
