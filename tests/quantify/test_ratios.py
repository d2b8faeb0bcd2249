"""Ratios by density, of sections of different panels too."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.errors import SettingsError
from imganalysis.panel import load_panel
from imganalysis.quantify.ratios import RATIO_COLUMNS, check_ratios, ratio_table
from imganalysis.quantify.summary import Counts
from imganalysis.settings import Summary

A, B, JOINT = (load_panel(name) for name in ("apoptosis", "infiltrate", "joint"))
PANELS = {A.name: A, B.name: B}


def fields(*panels: str, **extra: Any) -> pd.DataFrame:
    rows = [
        {
            t.FIELD: f"{panel}{i}", "biopsy": "P1", "patient": "P1", "lesion": "", "week": 1,
            "section": panel, "panel": panel, "status": "analysed", "tissue_mm2": 0.05, **extra,
        }
        for i, panel in enumerate(panels)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def counts(table: pd.DataFrame, per_class: dict[str, list[int]], **more: Any) -> Counts:
    classes = [*dict.fromkeys([*A.classes, *B.classes, *JOINT.classes, t.UNRESOLVED])]
    called = pd.DataFrame(0, index=list(table[t.FIELD]), columns=classes)
    for name, numbers in per_class.items():
        called[name] = numbers
    return Counts(called=called, uncapped=called, **more)


def rows(found: pd.DataFrame) -> pd.DataFrame:
    assert list(found.columns) == list(RATIO_COLUMNS)
    return found.set_index(["numerator", "denominator"])


def test_densities_of_other_sections_are_compared_and_counts_never_added() -> None:
    """Three small fields of the one panel, two large ones of the other."""
    table = fields(*["apoptosis"] * 3, *["infiltrate"] * 2)
    table["tissue_mm2"] = [0.05, 0.05, 0.05, 0.2, 0.2]
    seen = counts(table, {"tumour_vital": [100, 90, 110, 0, 0], "T": [0, 0, 0, 500, 300]})
    found = rows(ratio_table(table, seen, PANELS, Summary()))
    assert list(found.index) == [
        ("infiltrate", "tumour"), ("T", "tumour"), ("NK", "tumour"), ("CD3CD56", "tumour"),
    ]  # fmt: skip
    row = found.loc[("T", "tumour")]
    assert row["numerator_per_mm2"] == pytest.approx(2000)
    assert row["denominator_per_mm2"] == pytest.approx(2000)
    assert row["ratio"] == pytest.approx(1.0)  # 800 / 300 cells would be 2.7
    assert row["sections"] == "different"
    assert row["ratio_lo"] < 1 < row["ratio_hi"]
    assert "low_count" in row["flags"]
    # Drawn anew, the larger of two fields stands for both in a quarter of the sets.
    assert row["ratio_hi"] == pytest.approx(2500 / 2000, rel=0.1)
    none = found.loc[("NK", "tumour")]
    assert none["ratio"] == 0 and math.isnan(none["ratio_lo"]) and none["reason"] == "no_cells"


def test_of_one_section_the_fields_are_drawn_together() -> None:
    table = fields(*["joint"] * 6)
    n = np.array([10, 20, 30, 40, 50, 60])
    seen = counts(table, {"tumour_vital": list(2 * n), "T": list(n)})
    row = rows(ratio_table(table, seen, {JOINT.name: JOINT}, Summary())).loc[("T", "tumour")]
    assert row["sections"] == "same"
    assert [row[c] for c in ("ratio", "ratio_lo", "ratio_hi", "ratio_field_mean")] == [0.5] * 4
    uneven = counts(table, {"tumour_vital": [100] * 5 + [1], "T": [10] * 5 + [10]})
    row = rows(ratio_table(table, uneven, {JOINT.name: JOINT}, Summary())).loc[("T", "tumour")]
    assert row["ratio_field_mean"] == pytest.approx((5 * 0.1 + 10) / 6)
    assert "fields_uneven" in row["flags"].split(";")


def test_the_order_of_fields_and_biopsies_changes_nothing() -> None:
    one = fields(*["apoptosis"] * 3, *["infiltrate"] * 3)
    other = one.assign(biopsy="P2", field=one[t.FIELD] + "x")
    both = pd.concat([one, other], ignore_index=True)
    per_class = {"tumour_vital": [9, 8, 7, 0, 0, 0], "T": [0, 0, 0, 5, 9, 4]}
    twice = counts(both, {k: v * 2 for k, v in per_class.items()})
    found = ratio_table(both, twice, PANELS, Summary())
    alone = ratio_table(one, counts(one, per_class), PANELS, Summary())
    pd.testing.assert_frame_equal(found[found["biopsy"] == "P1"].reset_index(drop=True), alone)


def test_why_there_is_no_ratio() -> None:
    def reason(table: pd.DataFrame, per_class: dict[str, list[int]], **more: Any) -> str:
        found = ratio_table(table, counts(table, per_class, **more), PANELS, Summary())
        row = rows(found).loc[("T", "tumour")]
        assert math.isnan(row["ratio"])
        return str(row["reason"])

    two = fields("apoptosis", "infiltrate")
    cells = {"tumour_vital": [5, 0], "T": [0, 5]}
    assert reason(fields("infiltrate"), {"T": [5]}) == "not_stained"
    assert reason(two, cells, ungated=frozenset({("apoptosis0", "MelanA")})) == "ungated"
    assert reason(two.assign(tissue_mm2=[np.nan, 0.05]), cells) == "thick_stack"
    assert reason(two, {"T": [0, 5]}) == "no_cells"
    blank = pd.DataFrame({"numerator": 1.0, "denominator": [6.0, 0.0]}, index=two[t.FIELD])
    word = reason(two, cells, false_positives={"apoptotic_fraction": blank})
    assert word == "no_evaluable_tumour"
    failed = two.assign(status=["failed", "analysed"])
    assert reason(failed, cells) == "fields_failed"


def test_one_field_has_no_interval() -> None:
    table = fields("apoptosis", "infiltrate")
    seen = counts(table, {"tumour_vital": [50, 0], "T": [0, 25]})
    row = rows(ratio_table(table, seen, PANELS, Summary())).loc[("T", "tumour")]
    assert row["ratio"] == 0.5 and row["reason"] == "one_field" and math.isnan(row["ratio_hi"])


def test_unknown_classes_are_refused() -> None:
    chosen = Summary(ratios=(("T", "tumor"),))
    with pytest.raises(SettingsError, match=r"summary\.ratios: no panel has a class 'tumor'"):
        check_ratios(PANELS.values(), chosen)
    check_ratios(PANELS.values(), Summary())
