"""Counts to fractions and densities per biopsy, on tables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.panel import load_panel
from imganalysis.quantify.biopsies import biopsy_table
from imganalysis.quantify.summary import Counts, tally
from imganalysis.settings import Summary

A, B = load_panel("apoptosis"), load_panel("infiltrate")
PANELS = {A.name: A, B.name: B}
ENDPOINT, FEW = "apoptotic_fraction", ("below_minimum", "low_count")
CLASSES = [*dict.fromkeys([*A.classes, *B.classes, t.UNRESOLVED])]


def fields_of(n: int, panel: str = "apoptosis", **extra: Any) -> pd.DataFrame:
    row = {
        "biopsy": "P01", "patient": "P01", "lesion": "1", "week": "1", "section": "1",
        "panel": panel, "status": "analysed", "tissue_mm2": 0.05, "region_mm2": 0.02,
        "n_objects": 100, "n_cells": 100, "n_apoptotic": 10, "fragments_per_apoptotic": 1.0,
        "ghost_n": 0, "ghost_area_mm2": 0.0, "seen_um": 3.0, "volume_mm3": np.nan,
        "margin_mm2": 0.01, "stroma_mm2": 0.02,
        "flags": "", **{f"n_{word}": 0 for word in t.EXCLUSIONS}, **extra,
    }  # fmt: skip
    return pd.DataFrame([{t.FIELD: f"{panel}{i}", **row} for i in range(n)])


def counts_of(fields: pd.DataFrame, per_field: dict[str, list[int]], **more: Any) -> Counts:
    table = pd.DataFrame(0, index=list(fields[t.FIELD]), columns=CLASSES)
    for name, numbers in per_field.items():
        table[name] = numbers
    if "false_positives" not in more:
        more["false_positives"] = {
            f.name: blank_of(fields, 0.0, 0.0) for p in PANELS.values() for f in p.fractions
        }
    return Counts(called=table, uncapped=table, **more)


def blank_of(fields: pd.DataFrame, numerator: float, denominator: float) -> pd.DataFrame:
    sides = {"numerator": numerator, "denominator": denominator}
    return pd.DataFrame(sides, index=list(fields[t.FIELD]))


def only(table: pd.DataFrame) -> pd.Series:
    assert len(table) == 1
    return table.iloc[0]


def test_three_fractions_of_one_table() -> None:
    """M+C- 420, M+C+ 150, M-C+ 130 of which 110 attributed, M-C- 300."""
    fields = fields_of(1)
    counts = counts_of(
        fields,
        {
            "tumour_vital": [420],
            "tumour_apoptotic": [150],
            "tumour_apoptotic_melanA_lost": [110],
            "apoptotic_unassigned": [20],
            "non_tumour": [300],
        },
    )
    row = only(biopsy_table(fields, counts, PANELS, Summary()))
    assert row["apoptotic_fraction_strict"] == pytest.approx(0.2632, abs=5e-5)
    assert row["apoptotic_fraction"] == pytest.approx(0.3824, abs=5e-5)
    assert row["apoptotic_fraction_inclusive"] == pytest.approx(0.4, abs=5e-5)
    assert row["n_tumour"] == 680


def test_no_tumour_is_not_zero() -> None:
    fields = fields_of(3)
    counts = counts_of(fields, {"non_tumour": [50, 60, 40]})
    row = only(biopsy_table(fields, counts, PANELS, Summary()))
    assert math.isnan(row["apoptotic_fraction"]) and math.isnan(row["apoptotic_fraction_lo"])
    assert "apoptotic_fraction: no_evaluable_tumour" in row["reason"]
    assert "pct_T: not_stained" in row["reason"]
    assert row["n_tumour"] == 0


def test_interval_knows_that_fields_are_clusters() -> None:
    fields = fields_of(5)
    x, n = np.array([30, 50, 10, 45, 20]), np.array([80, 90, 60, 100, 70])
    counts = counts_of(fields, {"tumour_apoptotic": list(x), "tumour_vital": list(n - x)})
    row = only(biopsy_table(fields, counts, PANELS, Summary()))
    assert row["apoptotic_fraction"] == pytest.approx(0.3875)
    assert row["apoptotic_fraction_lo"] == pytest.approx(0.2368, abs=5e-5)
    assert row["apoptotic_fraction_hi"] == pytest.approx(0.5633, abs=5e-5)
    assert row[f"{ENDPOINT}_deff"] == pytest.approx(6.5195, abs=5e-5)
    assert row[f"{ENDPOINT}_ci_method"] == "wilson_deff_t"


INTERVALS = ("", "_lo", "_hi", "_naive_lo", "_naive_hi", "_deff", "_icc", "_ci_method")


def test_every_fraction_and_variant_has_its_interval_by_the_same_rule() -> None:
    fields = pd.concat([fields_of(5), fields_of(5, "infiltrate")], ignore_index=True)
    x, rest = np.array([30, 50, 10, 45, 20]), np.array([50, 40, 50, 55, 50])
    none = [0] * 5
    counts = counts_of(
        fields,
        {
            "tumour_apoptotic": [*x, *none],
            "tumour_vital": [*rest, *none],
            "T": [*none, *x],
            "NK": [*none, *rest],
        },
    )
    row = only(biopsy_table(fields, counts, PANELS, Summary()))
    for name, scale in ((ENDPOINT, 1), (f"{ENDPOINT}_strict", 1), ("pct_T", 100)):
        found = [row[f"{name}{end}"] for end in INTERVALS]
        assert [v / scale for v in found[:5]] == pytest.approx(
            [0.3875, 0.2368, 0.5633, 0.3410, 0.4361], abs=5e-5
        )
        assert found[5:7] == pytest.approx([6.51950, 0.0743271], abs=5e-6)
        assert found[7] == "wilson_deff_t"
    names = [f.name for panel in (A, B) for f in panel.fractions]
    names += [f"{f.name}_{v}" for panel in (A, B) for f in panel.fractions for v in f.variants]
    assert len(names) == 8 and {f"{n}{end}" for n in names for end in INTERVALS} <= set(row.index)


def test_a_variant_without_a_cell_below_the_line_says_so() -> None:
    """Every dying cell has lost its marker, and no cell lives."""
    fields = fields_of(3)
    lost = counts_of(fields, {"tumour_apoptotic_melanA_lost": [20, 30, 25]})
    row = only(biopsy_table(fields, lost, PANELS, Summary()))
    assert row[ENDPOINT] == 1 and math.isnan(row[f"{ENDPOINT}_strict"])
    assert f"{ENDPOINT}_strict: empty_denominator" in row["reason"].split("; ")
    assert row[f"{ENDPOINT}_strict_ci_method"] == ""
    none = only(biopsy_table(fields, counts_of(fields, {}), PANELS, Summary()))
    assert math.isnan(none[f"{ENDPOINT}_strict"]) and f"{ENDPOINT}_strict" not in none["reason"]


def test_intervals_of_variants_cover_where_cells_of_a_field_are_alike() -> None:
    """Cells of 300 biopsies, five fields each; the naive intervals do not cover."""
    rng = np.random.default_rng(5)
    n, m, rho = 300, 5, 0.05
    parts = [fields_of(m).assign(biopsy=f"P{i}") for i in range(n)]
    fields = pd.concat(parts, ignore_index=True)
    fields[t.FIELD] = [f"f{i}" for i in range(len(fields))]

    def drawn(p: float, cells: int) -> np.ndarray:
        return rng.binomial(cells, rng.beta(p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho, n * m))

    dying, lost, strange = drawn(0.4, 80), drawn(0.15, 60), drawn(0.5, 20)
    counts = counts_of(
        fields,
        {
            "tumour_apoptotic": dying, "tumour_vital": 80 - dying,
            "tumour_apoptotic_melanA_lost": lost, "tumour_candidate": 60 - lost,
            "apoptotic_unassigned": strange,
        },
    )  # fmt: skip
    table = biopsy_table(fields, counts, PANELS, Summary())
    expected = {
        "strict": 0.4,
        "sens": (0.4 * 80 + 0.15 * 60) / 140,
        "inclusive": (0.4 * 80 + 0.15 * 60 + 0.5 * 20) / (80 + 0.15 * 60 + 0.5 * 20),
    }
    for name, p in expected.items():
        ends = [table[f"{ENDPOINT}_{name}_{end}"] for end in ("lo", "hi", "naive_lo", "naive_hi")]
        covered, naive = ((lo <= p) & (p <= hi) for lo, hi in (ends[:2], ends[2:]))
        assert 0.91 <= covered.mean() <= 0.98, name
        assert naive.mean() < 0.75, name


def test_minimum_counts_are_flagged() -> None:
    few = fields_of(2)
    row = only(biopsy_table(few, counts_of(few, {"tumour_vital": [50, 50]}), PANELS, Summary()))
    assert {f"{ENDPOINT}:{w}" for w in FEW} <= set(row["flags"].split(";"))
    many = fields_of(6)
    enough = counts_of(many, {"tumour_vital": [100] * 6, "tumour_apoptotic": [9] * 6})
    flags = only(biopsy_table(many, enough, PANELS, Summary()))["flags"]
    assert not any(word in flags for word in FEW)


def test_few_cells_are_flagged_of_the_fraction_that_they_are_few_for() -> None:
    fields = pd.concat([fields_of(6), fields_of(6, "infiltrate")], ignore_index=True)
    enough, few = [100] * 6 + [0] * 6, [0] * 6 + [10] * 6
    counts = counts_of(fields, {"tumour_vital": enough, "T": few, "NK": few})
    flags = only(biopsy_table(fields, counts, PANELS, Summary()))["flags"].split(";")
    assert [flag for flag in flags if "low_count" in flag] == [
        "pct_T:low_count", "pct_NK:low_count", "pct_CD3CD56:low_count",
    ]  # fmt: skip


def test_composition_counts_double_positives_once_in_the_denominator() -> None:
    fields = fields_of(2, "infiltrate")
    double = next(f.numerator[0] for f in B.fractions if f.name == "pct_CD3CD56")
    counts = counts_of(fields, {"T": [80, 90], "NK": [5, 5], double: [15, 5]})
    row = only(biopsy_table(fields, counts, PANELS, Summary()))
    assert row["pct_T"] == pytest.approx(85.0)
    assert row["pct_NK"] == pytest.approx(5.0)
    assert row["pct_CD3CD56"] == pytest.approx(10.0)
    assert row["pct_T_lo"] < 85 < row["pct_T_hi"]
    assert row["T_per_mm2"] == pytest.approx(170 / 0.1)
    assert "apoptotic_fraction: not_stained" in row["reason"]


def test_ungated_markers_make_what_needs_them_unknown() -> None:
    fields = fields_of(1)
    counts = counts_of(
        fields, {t.UNRESOLVED: [300]}, ungated=frozenset({("apoptosis0", A.death_marker)})
    )
    row = only(biopsy_table(fields, counts, PANELS, Summary()))
    assert math.isnan(row["apoptotic_fraction"]) and math.isnan(row["n_tumour"])
    assert "apoptotic_fraction: ungated" in row["reason"]
    assert "densities: ungated" in row["reason"]
    assert math.isnan(row["tumour_vital_per_mm2"])


def test_bounds_take_unresolved_cells_both_ways() -> None:
    fields = fields_of(1)
    bounds = pd.DataFrame({"open": [20]}, index=["apoptosis0"])
    counts = counts_of(
        fields,
        {"tumour_vital": [60], "tumour_apoptotic": [40], t.UNRESOLVED: [20]},
        bounds={"apoptotic_fraction": bounds},
    )
    row = only(biopsy_table(fields, counts, PANELS, Summary()))
    assert row["apoptotic_fraction_bound_lo"] == pytest.approx(40 / 120)
    assert row["apoptotic_fraction_bound_hi"] == pytest.approx(60 / 120)


def test_cells_whose_open_class_does_not_matter_are_counted() -> None:
    """Of a dying cell whose lineage is open, where either class is in the numerator."""
    fields = fields_of(1)
    counts = counts_of(
        fields,
        {"tumour_vital": [60], "tumour_apoptotic": [40], t.UNRESOLVED: [20]},
        certain={"called": {"apoptotic_fraction/": np.array([[5, 15]])}},
    )
    row = only(biopsy_table(fields, counts, PANELS, Summary()))
    assert row["n_tumour"] == 115
    assert row["apoptotic_fraction"] == pytest.approx(45 / 115)
    assert row["apoptotic_fraction_strict"] == pytest.approx(40 / 100)


def test_value_no_better_than_blank_is_flagged() -> None:
    fields = fields_of(5)
    cells = {"tumour_vital": [198] * 5, "tumour_apoptotic": [2] * 5}
    blank = {"apoptotic_fraction": blank_of(fields, 3.0, 5.0)}
    flagged = only(
        biopsy_table(fields, counts_of(fields, cells, false_positives=blank), PANELS, Summary())
    )
    assert f"{ENDPOINT}:below_LoD" in flagged["flags"].split(";")
    plain = only(biopsy_table(fields, counts_of(fields, cells), PANELS, Summary()))
    assert "below_LoD" not in plain["flags"]


def test_the_flag_compares_the_lower_end_with_the_limit_of_blank() -> None:
    """Neither the value nor the limit of detection decides."""
    fields = fields_of(5)
    cells = {"tumour_vital": [80] * 5, "tumour_apoptotic": [20] * 5}
    flagged = []
    for share in np.linspace(0.05, 0.25, 21):
        blank = blank_of(fields, 100 * float(share), 0.0).assign(detectable=60.0)
        counts = counts_of(fields, cells, false_positives={"apoptotic_fraction": blank})
        row = only(biopsy_table(fields, counts, PANELS, Summary()))
        assert row["apoptotic_fraction_lob"] == pytest.approx(share)
        below = row["apoptotic_fraction_lo"] <= row["apoptotic_fraction_lob"]
        assert (f"{ENDPOINT}:below_LoD" in row["flags"].split(";")) == below
        assert row["apoptotic_fraction_lod"] > row["apoptotic_fraction"]
        flagged.append(below)
    assert 0 < sum(flagged) < len(flagged)


def test_failed_fields_never_vanish() -> None:
    good, bad = fields_of(1), fields_of(2, status="failed")
    bad[t.FIELD] = ["x", "y"]
    counts = counts_of(good, {"tumour_vital": [10]})
    row = only(biopsy_table(pd.concat([good, bad]), counts, PANELS, Summary()))
    assert row["n_fields"] == 1 and row["n_fields_failed"] == 2
    assert "fields_failed" in row["flags"].split(";")
    lost = only(biopsy_table(bad, counts_of(bad, {}), PANELS, Summary()))
    assert lost["n_fields"] == 0
    assert "apoptotic_fraction: fields_failed" in lost["reason"]
    assert "pct_T: not_stained" in lost["reason"]


def test_each_panel_says_on_how_many_fields_its_numbers_rest() -> None:
    good = pd.concat([fields_of(3), fields_of(2, "infiltrate")], ignore_index=True)
    bad = fields_of(1, status="failed").assign(**{t.FIELD: "x"})
    row = only(biopsy_table(pd.concat([good, bad]), counts_of(good, {}), PANELS, Summary()))
    assert (row["n_fields_apoptosis"], row["n_fields_infiltrate"]) == (3, 2)
    assert row["n_fields"] == 5
    row = only(biopsy_table(bad, counts_of(bad, {}), PANELS, Summary()))
    assert (row["n_fields_apoptosis"], row["n_fields_infiltrate"]) == (0, 0)


def test_a_biopsy_among_others_is_as_it_is_alone() -> None:
    rng = np.random.default_rng(0)
    fields = pd.concat([fields_of(12), fields_of(9, "infiltrate")], ignore_index=True)
    fields["biopsy"] = rng.permutation([f"P{i % 4}" for i in range(len(fields))])
    fields.loc[[1, 5, 14], "status"] = "failed"
    done = fields[fields["status"] == "analysed"]
    cells = {name: rng.integers(0, 90, len(done)).tolist() for name in CLASSES}
    open_ = {
        A.fractions[0].name: pd.DataFrame({"open": range(len(done))}, index=list(done[t.FIELD]))
    }
    ungated = frozenset({("infiltrate3", "CD3")})
    counts = counts_of(done, cells, bounds=open_, ungated=ungated)
    together = biopsy_table(fields, counts, PANELS, Summary())
    assert together["reason"].str.contains("ungated").sum() == 1
    for name, row in together.groupby("biopsy"):
        alone = biopsy_table(fields[fields["biopsy"] == name], counts, PANELS, Summary())
        pd.testing.assert_frame_equal(row.reset_index(drop=True), alone, check_dtype=False)


def test_a_field_that_was_not_counted_is_an_error() -> None:
    counts = counts_of(fields_of(1), {"tumour_vital": [10]})
    with pytest.raises(KeyError, match="apoptosis1"):
        biopsy_table(fields_of(2), counts, PANELS, Summary())


def test_tally_counts_and_refuses_strangers() -> None:
    cells = pd.DataFrame({t.FIELD: ["a", "a", "b"], t.PHENOTYPE: ["T", "T", "NK"]})
    table = tally(["a", "b", "c"], ["T", "NK"], cells)
    assert table.loc["a", "T"] == 2 and table.loc["b", "NK"] == 1 and table.loc["c"].sum() == 0
    with pytest.raises(ValueError, match="unknown field or class"):
        tally(["a"], ["T"], cells)


def test_sections_are_the_clusters_where_there_are_three() -> None:
    fields = fields_of(6)
    fields["section"] = ["1", "1", "2", "2", "3", "3"]
    x = [10, 30, 10, 30, 10, 30]
    counts = counts_of(fields, {"tumour_apoptotic": x, "tumour_vital": [50 - v for v in x]})
    row = only(biopsy_table(fields, counts, PANELS, Summary()))
    assert row[f"{ENDPOINT}_deff"] == 1.0
    assert "adjacent_sections" in row["flags"].split(";")


def test_no_more_tumour_than_false_calls_give_is_no_tumour() -> None:
    fields = fields_of(3)
    blank = {"apoptotic_fraction": blank_of(fields, 0.5, 2.0)}
    cells = {"tumour_apoptotic": [1, 2, 1], "non_tumour": [200, 200, 200]}
    few = counts_of(fields, cells, false_positives=blank)
    row = only(biopsy_table(fields, few, PANELS, Summary()))
    assert math.isnan(row["apoptotic_fraction"]) and math.isnan(row["apoptotic_fraction_strict"])
    assert row["n_tumour"] == 4
    assert "apoptotic_fraction: no_evaluable_tumour" in row["reason"]
    more = counts_of(fields, {**cells, "tumour_vital": [1, 2, 1]}, false_positives=blank)
    assert only(biopsy_table(fields, more, PANELS, Summary()))["apoptotic_fraction"] == 0.5


def test_where_the_limit_of_blank_is_unknown_it_is_said() -> None:
    fields = fields_of(5)
    cells = {"tumour_vital": [198] * 5, "tumour_apoptotic": [2] * 5}
    unknown = {"apoptotic_fraction": blank_of(fields, math.nan, math.nan)}
    row = only(
        biopsy_table(fields, counts_of(fields, cells, false_positives=unknown), PANELS, Summary())
    )
    assert f"{ENDPOINT}:lod_unknown" in row["flags"].split(";")


def test_fields_without_tumour_are_not_fields_enough() -> None:
    fields = fields_of(5)
    cells = {"tumour_vital": [500, 0, 0, 0, 0], "tumour_apoptotic": [300, 0, 0, 0, 0]}
    flags = only(biopsy_table(fields, counts_of(fields, cells), PANELS, Summary()))["flags"]
    assert {f"{ENDPOINT}:{w}" for w in FEW} <= set(flags.split(";"))


def test_sections_of_two_panels_are_no_sections_of_one() -> None:
    fields = pd.concat([fields_of(2), fields_of(2, "infiltrate", section="2")], ignore_index=True)
    counts = counts_of(fields, {"tumour_vital": [300, 300, 0, 0], "T": [0, 0, 300, 300]})
    row = only(biopsy_table(fields, counts, PANELS, Summary()))
    assert "adjacent_sections" not in row["flags"].split(";")


def test_thick_stacks_have_no_density_and_say_so() -> None:
    fields = fields_of(2)
    fields["tissue_mm2"] = [0.05, math.nan]
    counts = counts_of(fields, {"tumour_vital": [300, 300], "tumour_apoptotic": [30, 30]})
    row = only(biopsy_table(fields, counts, PANELS, Summary()))
    assert row["apoptotic_fraction"] == pytest.approx(30 / 330)
    assert math.isnan(row["tumour_vital_per_mm2"]) and math.isnan(row["tissue_mm2"])
    assert row["region_mm2"] == pytest.approx(0.02)
    assert "densities: thick_stack" in row["reason"]


def test_a_biopsy_without_a_field_of_view_has_its_row() -> None:
    fields = fields_of(1, status="not_a_field")
    row = only(biopsy_table(fields, counts_of(fields_of(1), {}), PANELS, Summary()))
    assert row["n_fields"] == 0 and row["n_fields_failed"] == 0
    assert "apoptotic_fraction: no_field" in row["reason"]
