"""Tables of readings per biopsy: read with suspicion, compared, judged."""

from __future__ import annotations

import pandas as pd
import pytest

from imganalysis.agreeing import agree_on_biopsies, is_of_cells
from imganalysis.cohort.acceptance import AGREEMENT_COLUMNS, VERDICT_BIOPSIES
from imganalysis.errors import SettingsError, TableError

A = [12, 25, 31, 40, 48, 55, 62, 70]
B = [15, 24, 36, 41, 55, 58, 70, 73]
NAMES = [f"B{i}" for i in range(8)]


def write(path, **columns):
    table = pd.DataFrame(columns)
    if path.stem in ("o", "biopsies") and "apoptotic_fraction" in table:
        table["apoptotic_fraction_bound_lo"] = 0.0  # as the endpoint of biopsies.csv has it
    table.to_csv(path, index=False)
    return path


@pytest.fixture
def ours(tmp_path):
    return write(tmp_path / "biopsies.csv", biopsy=NAMES, apoptotic_fraction=[v / 100 for v in B])


@pytest.fixture
def theirs(tmp_path):
    return write(tmp_path / "ann.csv", biopsy=NAMES, percent=A)


def value(found, statistic, comparison="imganalysis - ann", column="value"):
    table = found.agreement
    row = table[(table["statistic"] == statistic) & (table["comparison"] == comparison)]
    assert len(row) == 1
    return row.iloc[0][column]


def test_the_known_pairs_from_files(ours, theirs):
    found = agree_on_biopsies(ours, [theirs])
    assert tuple(found.agreement.columns) == AGREEMENT_COLUMNS
    assert value(found, "bias_points") == pytest.approx(3.625)
    assert value(found, "limit_lower_points") == pytest.approx(-2.20226, abs=5e-6)
    assert value(found, "limit_upper_points") == pytest.approx(9.45226, abs=5e-6)
    assert value(found, "ccc") == pytest.approx(0.971695, abs=5e-7)
    assert value(found, "icc_2_1") == pytest.approx(6552 / 6719)
    assert value(found, "pearson_hides_bias") == pytest.approx(0.9917, abs=5e-5)
    assert any("one reader only" in note for note in found.notes)


def enough(tmp_path, a, b):
    """Write readings of as many biopsies as a verdict needs, theirs and ours."""
    n = VERDICT_BIOPSIES
    names = [f"B{i}" for i in range(n)]
    a, b = ((v * 3)[:n] for v in (a, b))
    ours = write(tmp_path / "o.csv", biopsy=names, apoptotic_fraction=[v / 100 for v in b])
    return ours, write(tmp_path / "ann.csv", biopsy=names, percent=a)


def test_an_icc_is_judged_by_its_lower_end(tmp_path):
    flat = [30, 36, 31, 35, 32, 38, 33, 37]
    ours, theirs = enough(tmp_path, flat, [33, 36, 34, 33, 35, 41, 33, 39])
    found = agree_on_biopsies(ours, [theirs])
    assert value(found, "icc_2_1") > 0.6 > value(found, "icc_2_1", column="lo")
    assert value(found, "accept_icc", column="verdict") == "not met"
    assert value(found, "accept_bias", column="verdict") == "met"
    assert value(found, "accept_limits", column="verdict") == "met"
    assert value(found, "accept_all", column="verdict") == "not met"


def test_no_verdict_below_twenty_biopsies(tmp_path, ours, theirs):
    more = enough(tmp_path, A, [v + d for v, d in zip(A, (2, -1) * 4, strict=True)])
    found = agree_on_biopsies(more[0], [more[1]])
    assert value(found, "accept_all", column="n") == 20
    assert value(found, "accept_all", column="verdict") == "met"
    few = agree_on_biopsies(ours, [theirs])
    for name in ("accept_icc", "accept_bias", "accept_limits"):
        assert value(few, name, column="verdict") == "not judged"
        assert value(few, name, column="reason") == "too_few_for_verdict"
        assert pd.notna(value(few, name))
    said = value(few, "accept_all", column="verdict")
    assert said == "too few biopsies for a verdict (8 of 20)"
    nineteen = pd.read_csv(tmp_path / "o.csv")[:19]
    nineteen.to_csv(tmp_path / "o.csv", index=False)
    one_less = agree_on_biopsies(tmp_path / "o.csv", [tmp_path / "ann.csv"])
    assert "(19 of 20)" in value(one_less, "accept_all", column="verdict")


def test_counts_fractions_and_percents_are_one_thing(tmp_path, ours):
    tables = [
        write(tmp_path / "p.csv", biopsy=NAMES, percent=A),
        write(tmp_path / "f.csv", biopsy=NAMES, fraction=[v / 100 for v in A]),
        write(tmp_path / "c.csv", biopsy=NAMES, positive=[2 * v for v in A], total=[200] * 8),
        write(tmp_path / "t.csv", biopsy=NAMES, apoptotic_fraction=[v / 100 for v in A]),
    ]
    for path in tables:
        found = agree_on_biopsies(ours, [path])
        assert value(found, "bias_points", f"imganalysis - {path.stem}") == pytest.approx(3.625)


def test_any_column_of_ours_can_be_named(tmp_path, theirs):
    ours = write(tmp_path / "x.csv", biopsy=NAMES, pct_NK=B, other=[v / 100 for v in B])
    for column in ("pct_NK", "other"):
        found = agree_on_biopsies(ours, [theirs], column=column)
        assert value(found, "bias_points") == pytest.approx(3.625)
    # Theirs may have the name of ours.
    same = write(tmp_path / "ann.csv", biopsy=NAMES, pct_NK=A)
    found = agree_on_biopsies(ours, [same], column="pct_NK")
    assert value(found, "bias_points") == pytest.approx(3.625)
    assert "no column of readings" in refused(ours, theirs)


def test_readers_come_first_and_widen_the_limits_that_are_asked(tmp_path):
    a = (A * 3)[:20]
    wide = [v + d for v, d in zip(A, (18, -16, 14, -18, 17, -15, 16, -14), strict=True)]
    ours, one = enough(tmp_path, A, wide)
    both = write(
        tmp_path / "r.csv",
        biopsy=[f"B{i}" for i in range(20)] * 2,
        reader=["ann"] * 20 + ["bob"] * 20,
        percent=a + [v + d for v, d in zip(a, (25, -25) * 10, strict=True)],
    )
    found = agree_on_biopsies(ours, [both])
    names = list(dict.fromkeys(found.agreement["comparison"]))
    assert names == [
        "bob - ann", "imganalysis - ann", "imganalysis - bob", "imganalysis - mean of readers",
    ]  # fmt: skip
    reach = value(found, "accept_limits")
    assert reach > 15
    assert value(found, "accept_limits", column="verdict") == "met"
    # Against one reader alone nothing allows it.
    alone = agree_on_biopsies(ours, [one])
    assert value(alone, "accept_limits") == reach
    assert value(alone, "accept_limits", column="verdict") == "not met"


def test_three_readers_have_one_icc_together(tmp_path, ours):
    paths = [
        write(tmp_path / f"{name}.csv", biopsy=NAMES, percent=[v + d for v in A])
        for name, d in (("ann", 0), ("bob", 2), ("cyd", -3))
    ]
    found = agree_on_biopsies(ours, paths)
    assert value(found, "icc_2_1", "3 readers") > 0.9
    assert (found.agreement["kind"] == "reader-reader").sum() == 3 * 8


def test_what_is_left_out_is_counted_and_named(tmp_path):
    ours = write(
        tmp_path / "o.csv",
        biopsy=[*NAMES, "extra"],
        patient=["P1"] * 4 + ["P2"] * 5,
        apoptotic_fraction=["", *[v / 100 for v in B[1:]], 0.5],
        reason=["apoptotic_fraction: no_evaluable_tumour; pct_NK: ungated", *[""] * 8],
    )
    theirs = write(tmp_path / "ann.csv", biopsy=[*NAMES, "other"], percent=[*A[:7], "NA", 20])
    found = agree_on_biopsies(ours, [theirs])
    status = dict(zip(found.pairs["biopsy"], found.pairs["status"], strict=True))
    assert [status[b] for b in ("B0", "B1", "B7", "other", "extra")] == [
        "na_second", "paired", "na_first", "only_first", "only_second",
    ]  # fmt: skip
    said = "\n".join(found.notes)
    for name in ("B0 (no_evaluable_tumour)", "B7", "other", "extra"):
        assert name in said
    assert "8 biopsies of 2 patients" in said
    assert (found.pairs["status"] == "paired").sum() == value(found, "bias_points", column="n") == 6


def test_two_pairs_give_na_with_its_reason(tmp_path, ours):
    theirs = write(tmp_path / "ann.csv", biopsy=NAMES[:2], percent=A[:2])
    found = agree_on_biopsies(ours, [theirs])
    assert pd.isna(value(found, "icc_2_1"))
    assert value(found, "icc_2_1", column="reason") == "too_few_biopsies"
    assert value(found, "accept_icc", column="reason") == "too_few_biopsies"
    assert "(2 of 20)" in value(found, "accept_all", column="verdict")


def refused(ours, *theirs, **options):
    with pytest.raises(TableError) as caught:
        agree_on_biopsies(ours, list(theirs), **options)
    return str(caught.value)


def test_percents_called_fractions_are_refused(tmp_path, ours):
    said = refused(ours, write(tmp_path / "r.csv", biopsy=NAMES, fraction=A))
    assert "lies between 0 and 1" in said and "row 2: 12" in said and "percent" in said
    said = refused(ours, write(tmp_path / "r.csv", biopsy=NAMES, percent=[v / 100 for v in A]))
    assert "about 100 times apart" in said and "--unit" in said


def test_one_fraction_among_percents_is_refused_unless_it_is_meant(tmp_path, ours):
    path = write(tmp_path / "r.csv", biopsy=NAMES, percent=[*A[:4], 0.48, *A[5:]])
    said = refused(ours, path)
    assert "B4: 0.48 %, ours 55 %" in said
    assert agree_on_biopsies(ours, [path], unit="percent").comparisons[0].bland_altman.n == 8


@pytest.mark.parametrize("bad", ["40%", "0,4", "forty", "inf"])
def test_text_in_numbers_names_its_row(tmp_path, ours, bad):
    said = refused(ours, write(tmp_path / "r.csv", biopsy=NAMES, percent=[*A[:3], bad, *A[4:]]))
    assert "row 5" in said and bad in said and "r.csv" in said


def test_a_table_of_a_german_spreadsheet_reads_alike(tmp_path, ours, theirs):
    rows = [f"{name};{value:g}".replace(".", ",") for name, value in zip(NAMES, A, strict=True)]
    path = tmp_path / "r.csv"
    path.write_text("\ufeffbiopsy;percent;\n" + ";\n".join(rows) + ";\n;;\n", encoding="utf-8")
    plain = write(tmp_path / "p.csv", biopsy=NAMES, percent=A)
    both = [agree_on_biopsies(ours, [one]).comparisons[0] for one in (path, plain)]
    assert list(both[0].pairs["first_percent"]) == list(both[1].pairs["first_percent"])


def test_a_column_that_is_not_there_names_those_that_can_serve(tmp_path, theirs):
    half = [0.5] * 8
    ours = write(
        tmp_path / "biopsies.csv", biopsy=NAMES, patient=NAMES, week=[1] * 8,
        apoptotic_fraction=half, apoptotic_fraction_lo=half, apoptotic_fraction_hi=half,
        pct_NK=[3] * 8, pct_NK_lo=[1] * 8, pct_NK_hi=[9] * 8, NK_per_mm2=[30] * 8,
        NK_per_mm2_lo=[20] * 8, deff=[1] * 8, flags=["low_count"] * 8,
    )  # fmt: skip
    said = refused(ours, theirs, column="pct_nk")
    assert said.endswith(
        "no column pct_nk; is pct_NK meant? Columns of fractions or percents: apoptotic_fraction, "
        "pct_NK"
    )
    said = refused(ours, theirs, column="x")
    assert said.endswith(
        "no column x. Columns of fractions or percents: apoptotic_fraction, pct_NK"
    )
    said = refused(ours, theirs, their_column="perc")
    assert "no column perc; is percent meant?" in said


def test_bad_keys_and_columns(tmp_path, ours, theirs):
    twice = write(tmp_path / "r.csv", biopsy=["B0", *NAMES[1:7], "B0"], percent=A)
    assert "B0 by r" in refused(ours, twice)
    assert "read twice" in refused(ours, theirs, theirs)
    empty = write(tmp_path / "r.csv", biopsy=["", *NAMES[1:]], percent=A)
    assert "empty in row 2" in refused(ours, empty)
    assert "no biopsy of ours" in refused(
        ours, write(tmp_path / "r.csv", biopsy=[f"x{n}" for n in NAMES], percent=A)
    )
    assert "missing column(s) biopsy" in refused(ours, write(tmp_path / "r.csv", a=A, percent=A))
    assert "no column of readings" in refused(ours, write(tmp_path / "r.csv", biopsy=NAMES, x=A))
    two = write(tmp_path / "r.csv", biopsy=NAMES, percent=A, fraction=[0.5] * 8)
    assert "more than one column" in refused(ours, two)
    assert "counts from 0" in refused(
        ours, write(tmp_path / "r.csv", biopsy=NAMES, positive=[9] * 8, total=[8] * 8)
    )
    assert "Ours comes first" in refused(
        write(tmp_path / "o.csv", biopsy=NAMES[:2] * 2, reader=list("aabb"), percent=[1, 2, 3, 4]),
        theirs,
    )
    (tmp_path / "s.csv").write_text("biopsy,percent\nB0,12,5\nB1,25,0\n")
    assert "row 2: 3 cells, but the first row names 2" in refused(ours, tmp_path / "s.csv")
    (tmp_path / "h.csv").write_text("biopsy,percent\n")
    assert "no row" in refused(ours, tmp_path / "h.csv")
    (tmp_path / "b.csv").write_text("biopsy,percent\nB0,12\n,\nB1,x\n")
    assert "row 4: 'x'" in refused(ours, tmp_path / "b.csv")
    assert "no such file" in refused(ours, tmp_path / "none.csv")
    with pytest.raises(SettingsError, match="--unit"):
        agree_on_biopsies(ours, [theirs], unit="permille")


def test_the_kind_of_table_is_told_by_its_columns(tmp_path, theirs):
    cells = write(tmp_path / "c.csv", **{"field": ["f"], "x_um": [1], "y_um": [1], "class": ["T"]})
    assert is_of_cells([cells]) and not is_of_cells([theirs])
    with pytest.raises(TableError, match="apart"):
        is_of_cells([cells, theirs])
    with pytest.raises(TableError, match="expected a table of biopsies"):
        is_of_cells([write(tmp_path / "n.csv", a=[1])])
    with pytest.raises(TableError, match="write 'Biopsy' as biopsy"):
        is_of_cells([write(tmp_path / "n.csv", Biopsy=["B1"], percent=[1])])
