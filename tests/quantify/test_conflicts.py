"""Cells positive for two markers that exclude each other: counted, and too many fail a field."""

from __future__ import annotations

import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.errors import PanelError
from imganalysis.panel import check_panel, load_panel
from imganalysis.quantify.conflicts import biopsy_conflicts, conflict_counts, fail_conflicts

JOINT, A = load_panel("joint"), load_panel("apoptosis")
PANELS = {p.name: p for p in (JOINT, A)}


def cells(field: str, n: int, both: int, panel: str = "joint") -> pd.DataFrame:
    """Some evaluable cells, of which some are positive for both; one more is not evaluable."""
    words = [t.POSITIVE] * both + [t.NEGATIVE] * (n - both) + [t.POSITIVE]
    table = pd.DataFrame({"MelanA_call": words, "CD3_call": words, "CD56_call": words})
    table[t.EVALUABLE] = [True] * n + [False]
    return table.assign(**{t.FIELD: field, t.PANEL: panel})


def fields(*names: str, status: str = "analysed", panel: str = "joint") -> pd.DataFrame:
    return pd.DataFrame(
        {
            t.FIELD: names, t.PANEL: panel, "biopsy": "P1", "status": status, "reason": "",
            "message": "", "n_evaluable": 100, "flags": "",
        }
    )  # fmt: skip


def test_pairs_come_from_the_rows_of_conflicts_or_are_given() -> None:
    assert JOINT.conflict_pairs == (("MelanA", "CD3"),)
    assert A.conflict_pairs == ()
    both = (("MelanA", "CD3"), ("CD3", "CD56"))
    given = JOINT.model_copy(update={"conflicts": both})
    check_panel(given)
    assert given.conflict_pairs == both
    for pair, said in (
        (("CD3", "CD3"), "CD3 is put beside itself"),
        (("CD3", "casp3"), "casp3 has not the role lineage"),
        (("CD3", "CD8"), "CD8"),
    ):
        with pytest.raises(PanelError, match=said):
            check_panel(JOINT.model_copy(update={"conflicts": (pair,)}))


def test_counts_and_rates_of_the_evaluable_cells() -> None:
    every = pd.concat([cells("f1", 100, 3), cells("f2", 50, 0), cells("f3", 40, 9, "apoptosis")])
    found = conflict_counts(every, PANELS)
    assert found["n_conflict_MelanA_CD3"].to_dict() == {"f1": 3, "f2": 0}
    assert found["conflict_rate_MelanA_CD3"].to_dict() == {"f1": 0.03, "f2": 0.0}
    assert conflict_counts(every[every[t.PANEL] == "apoptosis"], PANELS).empty


def test_a_field_without_evaluable_cells_has_no_rate() -> None:
    none = cells("f1", 0, 0)
    found = conflict_counts(none, PANELS)
    assert found["n_conflict_MelanA_CD3"].tolist() == [0]
    assert found["conflict_rate_MelanA_CD3"].isna().all()
    assert fail_conflicts(fields("f1"), found, PANELS, 0.05)["status"].tolist() == ["analysed"]


def test_too_many_fail_the_field_with_the_reason() -> None:
    counts = conflict_counts(pd.concat([cells("f1", 100, 6), cells("f2", 100, 5)]), PANELS)
    table = fail_conflicts(fields("f1", "f2"), counts, PANELS, 0.05)
    assert table["status"].tolist() == ["failed", "analysed"]
    assert table["reason"].tolist() == ["conflict_rate", ""]
    assert "6.0% of the cells are positive for MelanA and CD3" in table["message"][0]
    assert table.columns[-1] == "flags"
    biopsies = pd.DataFrame({"biopsy": ["P0", "P1"], "flags": "", "reason": ""})
    row = biopsy_conflicts(biopsies, table).iloc[1]
    assert row["n_conflict_MelanA_CD3"] == 11
    assert row["conflict_rate_MelanA_CD3"] == pytest.approx(0.055)
    assert biopsy_conflicts(biopsies, table).iloc[0, 1:3].isna().all()


def test_tables_of_studies_without_pairs_stay_as_they_are() -> None:
    counts = conflict_counts(cells("f1", 10, 1, "apoptosis"), PANELS)
    before = fields("f1", panel="apoptosis")
    assert fail_conflicts(before, counts, PANELS, 0.05) is before
    biopsies = pd.DataFrame({"biopsy": ["P1"], "flags": "", "reason": ""})
    assert list(biopsy_conflicts(biopsies, before)) == ["biopsy", "flags", "reason"]
