"""The phenotype table of the measurement specification, row by row, against the built-in panels.

Each row says which calls and contexts a cell has, which class it gets, and which side of which
fraction counts it.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.classify import classify_cells
from imganalysis.errors import PanelError
from imganalysis.panel import Panel, check_panel, load_panel

WORDS = {"+": t.POSITIVE, "-": t.NEGATIVE}
LARGE, SMALL = {"large_nucleus": True}, {"large_nucleus": False}


class Row(NamedTuple):
    """A row of the table: calls of Melan A, caspase-3, CD3, CD56; ``*`` any, a blank no channel."""

    panel: str
    calls: str
    context: dict[str, bool]
    name: str
    role: str


TABLE = [
    # Panel A. `den` is the primary denominator, `num` its numerator.
    Row("apoptosis", "+-", {"melanophage_like": False}, "tumour_vital", "den"),
    Row("apoptosis", "++", {"melanophage_like": False}, "tumour_apoptotic", "num+den"),
    Row("apoptosis", "-+", {"in_region": True, "lymphoid": False},
        "tumour_apoptotic_melanA_lost", "num+den (primary)"),
    Row("apoptosis", "-+", {"in_region": False}, "apoptotic_unassigned", "inclusive only"),
    Row("apoptosis", "-+", {"lymphoid": True}, "apoptotic_unassigned", "inclusive only"),
    Row("apoptosis", "--", {"in_region": True} | LARGE, "tumour_candidate", "AF_sens"),
    Row("apoptosis", "--", {"in_region": False}, "non_tumour", "-"),
    Row("apoptosis", "--", SMALL, "non_tumour", "-"),
    Row("apoptosis", "+*", {"melanophage_like": True}, "melanophage_suspect", "excluded"),
    # Panel B
    Row("infiltrate", "  +-", {}, "T", "infiltrate"),
    Row("infiltrate", "  -+", {"lymphoid_nucleus": True, "CD56_sheet": False}, "NK", "infiltrate"),
    Row("infiltrate", "  ++", {}, "CD3CD56", "infiltrate"),
    Row("infiltrate", "  -+", {"lymphoid_nucleus": False}, "CD56_nonlymphoid", "excluded"),
    Row("infiltrate", "  -+", {"CD56_sheet": True}, "CD56_nonlymphoid", "excluded"),
    Row("infiltrate", "  --", {}, "other_nucleated", "-"),
    # Joint: the tumour's rows need CD3- and CD56-
    Row("joint", "+---", {"melanophage_like": False}, "tumour_vital", "den"),
    Row("joint", "++--", {"melanophage_like": False}, "tumour_apoptotic", "num+den"),
    Row("joint", "-+--", {"in_region": True, "lymphoid": False},
        "tumour_apoptotic_melanA_lost", "num+den (primary)"),
    Row("joint", "-+--", {"in_region": False}, "apoptotic_unassigned", "inclusive only"),
    Row("joint", "-+--", {"lymphoid": True}, "apoptotic_unassigned", "inclusive only"),
    Row("joint", "----", {"in_region": True} | LARGE, "tumour_candidate", "AF_sens"),
    Row("joint", "----", {"in_region": False}, "other_nucleated", "-"),
    Row("joint", "----", SMALL, "other_nucleated", "-"),
    Row("joint", "+*--", {"melanophage_like": True}, "melanophage_suspect", "excluded"),
    # the infiltrate's rows need Melan A-
    Row("joint", "--+-", {}, "T", "infiltrate"),
    Row("joint", "---+", {"lymphoid_nucleus": True, "CD56_sheet": False}, "NK", "infiltrate"),
    Row("joint", "--++", {}, "CD3CD56", "infiltrate"),
    Row("joint", "---+", {"lymphoid_nucleus": False}, "CD56_nonlymphoid", "excluded"),
    Row("joint", "---+", {"CD56_sheet": True}, "CD56_nonlymphoid", "excluded"),
    # and what only all four together show
    Row("joint", "-++-", {}, "T_apoptotic", "infiltrate"),
    Row("joint", "-+-+", {"lymphoid_nucleus": True, "lymphoid": True}, "NK_apoptotic",
        "infiltrate"),
    Row("joint", "-+++", {}, "CD3CD56_double_apoptotic", "infiltrate"),
    Row("joint", "-+-+", {"lymphoid_nucleus": False}, "CD56_nonlymphoid_apoptotic", "excluded"),
    Row("joint", "+*+*", {}, "conflict", "QC"),
    Row("joint", "+--+", {}, "tumour_vital_CD56", "den"),
    Row("joint", "++-+", {}, "tumour_apoptotic_CD56", "num+den"),
    # Of a lymphocyte's size but not among lymphocytes: not in the specification; not guessed.
    Row("joint", "-+-+", {"lymphoid_nucleus": True, "lymphoid": False},
        "apoptotic_unassigned", "inclusive only"),
]  # fmt: skip

MARKERS = ("MelanA", "casp3", "CD3", "CD56")


def states(panel: Panel, row: Row) -> pd.DataFrame:
    """Every cell that a row speaks of: all calls that it leaves open, all contexts likewise."""
    calls = {m: c for m, c in zip(MARKERS, row.calls, strict=False) if c != " "}
    assert list(calls) == [c.marker for c in panel.gated]
    ways = [("+", "-") if call == "*" else (call,) for call in calls.values()]
    open_ = [(row.context[c],) if c in row.context else (True, False) for c in panel.contexts]
    rows = list(product(*ways, *open_))
    table = pd.DataFrame(rows, columns=[*calls, *panel.contexts])
    # Calls and contexts that exclude each other do not occur; the class may be either then.
    named = {
        **{t.call_column(m): table[m].map(WORDS) for m in calls},
        **{t.context_column(c): table[c].astype("boolean") for c in panel.contexts},
    }
    return pd.DataFrame(named)


def sides(panel: Panel, name: str) -> set[str]:
    """Which side of which definition of the endpoint, or of the composition, counts a class."""
    found = set()
    for fraction in panel.fractions:
        parts = {"": fraction, **fraction.variants}
        for variant, part in parts.items():
            found |= {
                f"{fraction.name}{'_' * bool(variant)}{variant}:{side[:3]}"
                for side in ("numerator", "denominator")
                if name in getattr(part, side)
            }
    return found


AF = "apoptotic_fraction"
EVERY = ("", "_strict", "_inclusive", "_sens")
IN_FRACTIONS = {
    "den": {f"{AF}{v}:den" for v in EVERY},
    "num+den": {f"{AF}{v}:{s}" for v in EVERY for s in ("num", "den")},
    "num+den (primary)": {f"{AF}{v}:{s}" for v in EVERY if v != "_strict" for s in ("num", "den")},
    "inclusive only": {f"{AF}_inclusive:num", f"{AF}_inclusive:den"},
    "AF_sens": {f"{AF}_sens:den"},
    "-": set(),
    "excluded": set(),
    "QC": set(),
}
ROLES = {"excluded": "excluded", "infiltrate": "infiltrate", "QC": "conflict", "den": "tumour"}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.panel} {row.calls} {row.name}")
def test_each_row_gives_its_class_and_counts_where_it_should(row):
    panel = load_panel(row.panel)
    cells = states(panel, row)
    found = classify_cells(cells, panel)
    assert set(found.phenotype) == {row.name}
    assert found.why.astype(str).str.endswith(f"-> {row.name}").all()
    (role,) = {p.role for p in panel.phenotypes if p.name == row.name}
    if row.role in IN_FRACTIONS:
        assert sides(panel, row.name) == IN_FRACTIONS[row.role]
    else:
        # Each infiltrating class is over all of them, and only the double positives are in NK_max.
        counted = sides(panel, row.name)
        assert {"pct_T:den", "pct_NK:den", "pct_NK_max:den", "pct_CD3CD56:den"} < counted
        assert len([c for c in counted if c in ("pct_T:num", "pct_NK:num", "pct_CD3CD56:num")]) == 1
        assert not any(c.startswith(AF) for c in counted)
        double = row.calls[-2:] == "++"
        assert ("pct_NK_max:num" in counted) == (double or row.calls[-2:] == "-+")
        assert ("pct_CD3CD56:num" in counted) == double
    expected = "tumour" if row.role.startswith("num+den") else ROLES.get(row.role, "other")
    assert role == expected


@pytest.mark.parametrize("name", ["apoptosis", "infiltrate", "joint"])
def test_the_rows_above_are_all_rows_there_are(name):
    """Every state of a panel is one of a row's, and of rows of one class only."""
    panel = load_panel(name)
    names = {f"{r.panel}:{r.name}" for r in TABLE if r.panel == name}
    assert names == {f"{name}:{c}" for c in panel.classes}
    owners: dict[tuple[object, ...], set[str]] = {}
    for row in TABLE:
        if row.panel == name:
            for state in states(panel, row).itertuples(index=False, name=None):
                owners.setdefault(state, set()).add(row.name)
    total = 2 ** (len(panel.gated) + len(panel.contexts))
    assert len(owners) == total
    assert {len(found) for found in owners.values()} == {1}


@pytest.mark.parametrize("name", ["apoptosis", "infiltrate", "joint"])
def test_taking_out_or_doubling_any_row_is_refused(name):
    """The check of a table sees each gap and each overlap."""
    panel = load_panel(name)
    for i, row in enumerate(panel.phenotypes):
        others = panel.phenotypes[:i] + panel.phenotypes[i + 1 :]
        with pytest.raises(PanelError, match="no row applies to"):
            check_panel(panel.model_copy(update={"phenotypes": others}))
        twice = (*panel.phenotypes, row)
        with pytest.raises(PanelError, match=rf"rows .*\({row.name}\).* both apply to"):
            check_panel(panel.model_copy(update={"phenotypes": twice}))
