"""Biopsies and clinical rows find each other, or it is said which do not."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from imganalysis.cohort.clinical import read_clinical
from imganalysis.cohort.join import join, stack_biopsies
from imganalysis.errors import TableError


def biopsies(*rows: tuple[str, str, object], name: str = "a") -> tuple[Path, pd.DataFrame]:
    table = pd.DataFrame(
        [
            {"biopsy": f"{name}{i}", "patient": p, "lesion": lesion, "week": w}
            for i, (p, lesion, w) in enumerate(rows)
        ]
    )
    return Path(name) / "biopsies.csv", table


def test_sorted_and_with_their_place() -> None:
    found = stack_biopsies(
        [biopsies(("B", "L1", 1), ("A", "L1", "0")), biopsies(("A", "", 4), name="b")]
    )
    assert list(found["patient"]) == ["A", "A", "B"] and list(found["week"]) == [0.0, 4.0, 1.0]
    assert list(found["source_row"]) == [3, 2, 2]


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ([biopsies(("A", "L1", ""))], "row 2, column week: empty"),
        ([biopsies(("A", "L1", "W1"))], "row 2, column week: 'W1' is no number"),
        ([biopsies(("", "L1", 1))], "row 2, column patient: empty"),
        ([biopsies(("A", "L1", 1)), biopsies(("A", "L1", 1))], "biopsy a0 is in .* too and would"),
        ([biopsies(("P01", "L1", 1), ("p 1", "L1", 2))], "'p 1', but 'P01'"),
    ],
)
def test_biopsies_that_cannot_be_placed(tables, said: str) -> None:
    with pytest.raises(TableError, match=said):
        stack_biopsies(tables)


OURS = stack_biopsies([biopsies(("P01", "L1", 0), ("P01", "L1", 1), ("007", "L1", 0))])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("patient\np01\n007\n", "row 2, column patient: 'p01', but the biopsies have 'P01'"),
        ("patient\nP01\n7\n", "row 3, column patient: '7', but the biopsies have '007'"),
        ("patient\nP01\n7.0\n", "'7.0', but the biopsies have '007'"),
        ("patient,lesion\nP01,l1\n007,L1\n", "row 2, column lesion: 'l1', but .* have 'L1'"),
        ("patient\nP01\n", r"without a row in .*: 007 \(a/.*csv, row 4\).*--allow-unmatched"),
        ("patient\nP01\n007\nP09\n", r"without a biopsy: P09 \(row 4\)"),
        ("patient\nP01\n007\n02-Jan\n", r"02-Jan \(row 4; a spreadsheet has made a date"),
        ("patient,week\nP01,0\n007,0\n", r"biopsies without a row .*column week is taken for the .*"
         r"a1 \(patient P01, week 1;"),
        ("patient,lesion\nP01,X\n007,L1\n", r"a0 \(patient P01, lesion L1"),
    ],
)  # fmt: skip
def test_keys_that_find_nothing(clinical_file, text: str, said: str) -> None:
    with pytest.raises(TableError, match=said):
        join(OURS, read_clinical(clinical_file(text)))


def test_who_has_no_partner_may_stay(clinical_file) -> None:
    found = join(OURS, read_clinical(clinical_file("patient\nP01\nP09\n")), allow_unmatched=True)
    assert (found.without_biopsy, found.without_clinical) == (("P09",), ("007",))
    with pytest.raises(TableError, match="but the biopsies have"):  # spelling is never let pass
        join(OURS, read_clinical(clinical_file("patient\np01\n")), allow_unmatched=True)


def test_visits_and_lesions_without_a_biopsy_are_no_mistake(clinical_file) -> None:
    text = "patient,lesion,week\nP01,L1,0\nP01,L1,1\nP01,L1,9\nP01,L2,0\n007,L1,0\n"
    found = join(OURS, read_clinical(clinical_file(text)))
    assert found.without_biopsy == ()
    (said,) = found.notes
    assert said == "1 visit of 1 patient without a biopsy: in no comparison of biopsies"
    sized = "".join(f"{line},{','.join(('5', '5'))}\n" for line in text.splitlines()[1:])
    head = "patient,lesion,week,diameter_a_mm,diameter_b_mm\n"
    sized += "007,L1,8,0,0\n"
    (said,) = join(OURS, read_clinical(clinical_file(head + sized))).notes
    assert said.startswith("2 visits of 2 patients") and said.endswith("but in the responses")


def test_biopsies_that_name_no_lesion_are_told(clinical_file) -> None:
    table = stack_biopsies([biopsies(("P01", "", 0))])
    with pytest.raises(TableError, match=r"name no lesion: .* lesion \(none\)"):
        join(table, read_clinical(clinical_file("patient,lesion\nP01,L1\n")))
