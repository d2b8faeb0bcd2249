"""The table at the end of a run."""

from __future__ import annotations

import pandas as pd
import pytest

from imganalysis.classify.gates import Gate
from imganalysis.report.summary import gates_note, summary_table

NAN = float("nan")


def one(**more):
    row = {"biopsy": "B 1", "patient": "007", "week": 4.0, "n_fields": 5, "n_fields_failed": 0}
    row |= {"af": 0.384, "af_lo": 0.2368, "af_hi": 0.5633, "flags": "", "reason": ""}
    return pd.DataFrame([row | more])


def cells(table, *fractions):
    columns, rows = summary_table(table, fractions or [("af", False)])
    return dict(zip(columns, rows[0], strict=True))


def test_a_fraction_with_its_interval():
    assert cells(one()) == {
        "biopsy": "B 1",
        "patient": "007",
        "week": "4",
        "fields": "5",
        "af": "38 % (24–56)",
        "flags": "",
    }


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.0, 0.0, 0.0713), "0 % (0–7.1)"),
        ((1.0, 0.93, 1.0), "100 % (93–100)"),
        ((0.006, 0.002, 0.0175), "0.6 % (0.2–1.8)"),
        ((0.0997, 0.05, 0.2), "10 % (5.0–20)"),
        ((0.5, NAN, NAN), "50 %"),
    ],
)
def test_small_fractions_have_a_decimal(values, text):
    value, low, high = values
    assert cells(one(af=value, af_lo=low, af_hi=high))["af"] == text


def test_what_is_in_percent_already():
    table = one(pct=3.2, pct_lo=1.0, pct_hi=12.0)
    assert cells(table, ("pct", True))["pct"] == "3.2 % (1.0–12)"


def test_a_missing_fraction_says_why():
    table = one(af=NAN, af_lo=NAN, af_hi=NAN, pct=NAN, other=NAN)
    table["reason"] = "af: no_evaluable_tumour; pct: ungated; densities: ungated"
    found = cells(table, ("af", False), ("pct", True), ("other", True), ("absent", True))
    assert (found["af"], found["pct"]) == ("NA: no_evaluable_tumour", "NA: ungated")
    assert (found["other"], found["absent"]) == ("NA", "NA")


def test_failed_fields_flags_and_unknown_weeks():
    table = one(n_fields_failed=2, week=NAN, flags="low_count;below_LoD", reason=None)
    found = cells(table)
    assert found["fields"] == "5 (2 failed)"
    assert found["flags"] == "low_count, below_LoD"
    assert found["week"] == ""


def test_rows_keep_their_order():
    table = pd.concat([one(biopsy=name) for name in ("b", "a", "10", "9")])
    assert [row[0] for row in summary_table(table, [])[1]] == ["b", "a", "10", "9"]


def test_a_flag_of_several_fractions_is_said_once():
    flags = "pct_T:low_count;form_not_cleaved;af:below_LoD;pct_NK:low_count;low_count"
    assert cells(one(flags=flags))["flags"] == (
        "low_count (pct_T, pct_NK), form_not_cleaved, below_LoD (af), low_count"
    )


def test_markers_without_a_gate_are_named_with_what_to_do():
    place = {"panel": "infiltrate", "batch": "B1", "acquisition": "A1"}
    none = {"method": "none", "reason": "no_control"}
    gates = [
        Gate(marker="CD3", **place, **none),
        Gate(marker="CD56", **place, **none),
        Gate(marker="casp3", **place | {"panel": "apoptosis"}, value=2.0),
    ]
    assert gates_note(gates) == (
        "No gate, and no number that needs it, of CD3, CD56 (panel infiltrate, batch B1, "
        "acquisition A1): no secondary-only or isotype control of the panel; add one of the same "
        "batch and acquisition. imganalysis gate RESULTS shows what each way to set one says "
        "(docs/gates.md)."
    )
    assert gates_note(gates[2:]) == ""
