"""Columns of a clinical table as groups: what is a group, a number, not known, or a mistake."""

from __future__ import annotations

import pytest

from imganalysis.cohort.clinical import read_clinical
from imganalysis.cohort.groups import as_groups, grouping
from imganalysis.errors import TableError


def of(clinical_file, head: str, *texts: str, separator: str = ","):
    rows = [f"P{i}{separator}{text}" for i, text in enumerate(texts)]
    path = clinical_file("\n".join([f"patient{separator}{head}", *rows, ""]))
    return grouping(read_clinical(path), head)


def test_decimal_commas_are_numbers(clinical_file) -> None:
    found = of(clinical_file, "dose", "1,5", "3", "4,5", "6", "7,5", separator=";")
    assert list(found.numbers.values()) == [1.5, 3, 4.5, 6, 7.5]


def test_one_number_is_one_group_however_written(clinical_file) -> None:
    found = of(clinical_file, "dose", "3", "3.0", "6", "6.00", "NA", "")
    assert found.groups == ("3", "6") and not found.numbers
    assert list(found.of.values()) == ["3", "3", "6", "6", "", ""]
    assert as_groups("dose", {"A": "03", "B": "3"}).groups == ("03",)


def test_what_is_not_known_is_no_group_and_no_number(clinical_file) -> None:
    assert of(clinical_file, "sex", "f", "m", "NA", "n/a").groups == ("f", "m")
    found = of(clinical_file, "age", "41", "52", "63", "NA", "74", "35")
    assert sorted(found.numbers) == ["P0", "P1", "P2", "P4", "P5"]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (['"1,5"', "3"], "row 2, column x: expected a number or a group, found '1,5'; write a dot"),
        (["f", "m", "F"], "row 4, column x: 'F', but 'f' in row 2: one group, or two"),
        (["41", "52", "63", "74", "35", "over 60"], "row 7, column x: 'over 60', but the column"),
    ],
)
def test_what_is_wrong_is_said(clinical_file, texts: list[str], said: str) -> None:
    with pytest.raises(TableError) as caught:
        of(clinical_file, "x", *texts)
    assert said in str(caught.value)


def test_text_with_commas_and_few_numbers_make_groups(clinical_file) -> None:
    assert of(clinical_file, "x", '"arm, left"', "leg", '"1,5"').groups == (
        "1,5",
        "arm, left",
        "leg",
    )
    assert of(clinical_file, "stage", "3", "4", "4a").groups == ("3", "4", "4a")
