"""Classes by hand on top of those of the rules."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imganalysis import __version__
from imganalysis import tables as t
from imganalysis.classify.phenotypes import Classified, classify_cells
from imganalysis.corrections import (
    CLASS,
    GIVEN,
    NOTE,
    Edit,
    give_classes,
    rules_column,
    seal,
    with_given,
)  # fmt: skip
from imganalysis.panel import Panel, load_panel


def by_hand(label: int, to: str, user: str = "anna", why: str = "") -> Edit:
    cell = {"label": label, "x": 1.0, "y": 1.0}
    return seal(Edit(CLASS, "F", {"cell": cell}, {}, {"class": to}, why, user, "2026",
                     "abc", __version__))  # fmt: skip


@pytest.fixture(scope="module")
def panel() -> Panel:
    return load_panel("infiltrate")


@pytest.fixture
def cells(panel: Panel) -> pd.DataFrame:
    """T, neither, and one that cannot be told."""
    calls = {"CD3": [t.POSITIVE, t.NEGATIVE, t.INDETERMINATE], "CD56": [t.NEGATIVE] * 3}
    table = pd.DataFrame({t.LABEL: [1, 2, 3], t.CELL_ID: [1, 2, 3]})
    return table.assign(**{t.call_column(m): values for m, values in calls.items()})


def test_only_the_cell_that_was_named_changes(panel: Panel, cells: pd.DataFrame) -> None:
    rules = classify_cells(cells, panel)
    assert rules.phenotype.tolist() == ["T", "other_nucleated", "unresolved"]
    _, given = give_classes(cells, cells, {3: by_hand(3, "T", why="membrane")})
    found = with_given(given, rules, panel)
    assert found.phenotype.tolist() == ["T", "other_nucleated", "T"]
    assert found.why[:2].tolist() == rules.why[:2].tolist()
    assert found.why[2] == f"{rules.why[2]}; corrected to T by anna: membrane"
    assert found.possible[2].tolist() == [name == "T" for name in panel.classes]
    assert (found.possible[:2] == rules.possible[:2]).all()
    assert rules_column(given, rules)[t.PHENOTYPE_RULES].equals(rules.phenotype)
    assert rules.phenotype.tolist()[2] == "unresolved", "what was given is not changed"


def test_without_a_log_nothing_is_touched(panel: Panel, cells: pd.DataFrame) -> None:
    rules = classify_cells(cells, panel)
    assert with_given(cells, rules, panel) is rules
    assert rules_column(cells, rules) == {}


def test_with_a_log_of_no_class_only_the_column_is_added(panel: Panel, cells: pd.DataFrame) -> None:
    rules = classify_cells(cells, panel)
    _, given = give_classes(cells, cells, {})
    assert with_given(given, rules, panel) is rules
    assert list(rules_column(given, rules)) == [t.PHENOTYPE_RULES]


def test_who_cannot_tell_leaves_every_class_open(panel: Panel, cells: pd.DataFrame) -> None:
    _, given = give_classes(cells, cells, {1: by_hand(1, t.UNRESOLVED)})
    found: Classified = with_given(given, classify_cells(cells, panel), panel)
    assert found.phenotype[0] == t.UNRESOLVED
    assert found.possible[0].all()


def test_of_fragments_of_one_cell_the_last_edit_tells(cells: pd.DataFrame) -> None:
    pieces = cells.assign(**{t.CELL_ID: [1, 1, 3]})
    merged = pieces.iloc[[0, 2]]
    edits = {2: by_hand(2, "NK"), 1: by_hand(1, "T", user="bert"), 9: by_hand(9, "NK")}
    objects, whole = give_classes(pieces, merged, edits)
    assert objects[GIVEN].tolist() == ["T", "T", ""]
    assert whole[GIVEN].tolist() == ["T", ""]
    assert whole[NOTE].tolist() == ["corrected to T by bert", ""]
    swapped = give_classes(pieces, merged, dict(reversed(list(edits.items()))))[1]
    assert swapped[GIVEN].tolist() == ["NK", ""]


def test_categories_of_the_rules_stay_first(panel: Panel, cells: pd.DataFrame) -> None:
    rules = classify_cells(cells, panel)
    _, given = give_classes(cells, cells, {2: by_hand(2, "T")})
    words = list(with_given(given, rules, panel).why.cat.categories)
    assert words[: len(rules.why.cat.categories)] == list(rules.why.cat.categories)
    assert len(words) == len(rules.why.cat.categories) + 1
    assert np.unique(words).size == len(words)
