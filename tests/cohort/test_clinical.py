"""Clinical tables as people save them: what is wrong is said with its row and a way out."""

from __future__ import annotations

import pytest

from imganalysis.cohort.clinical import follow_up, read_clinical, visits
from imganalysis.errors import TableError


def test_levels_and_values(clinical_file) -> None:
    found = read_clinical(clinical_file('patient,dose,note\nP01,3,\nP02,6,"a, b"\n,,\n'))
    assert (found.keys, found.patients) == (("patient",), ("P01", "P02"))
    assert found.of_patient("note")[0] == {"P01": "", "P02": "a, b"}
    lesions = read_clinical(
        clinical_file("patient,lesion,dose,site\nP01,L1,3,arm\nP01,L2,,leg\nP02,L1,6,arm\n")
    )
    assert lesions.keys == ("patient", "lesion")
    assert lesions.of_patient("dose") == ({"P01": "3", "P02": "6"}, {})
    values, differing = lesions.of_patient("site")
    assert (values, differing) == ({"P01": "", "P02": "arm"}, {"P01": (2, 3)})


def test_what_is_not_known_at_one_visit_differs_from_nothing(clinical_file) -> None:
    found = read_clinical(
        clinical_file("patient,week,dose\nP01,0,NA\nP01,1,3\nP01,2,3.0\nP01,3,n/a\nP02,0,6\n")
    )
    assert found.of_patient("dose") == ({"P01": "3", "P02": "6"}, {})


def test_a_byte_order_mark_formula_mark_and_empty_columns_are_no_trouble(clinical_file) -> None:
    found = read_clinical(clinical_file("\ufeffpatient,dose,,\n'-1,3,,\n"))
    assert found.patients == ("-1",) and found.columns == ("dose",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "first row is empty"),
        ("patient,dose\n", "no row under"),
        ("patient;dose\nP01;1,5\nP02;1.5\n", "column dose: decimal comma in row 2 (1,5), "
         "decimal point in row 3"),
        ("patient;dose\nP01;1.500\nP02;1,5\n", "row 2, column dose: does the point in '1.500' "
         "part thousands"),
        ("patient;dose\nP01;1.500\nP02;3\n", "does the point in '1.500' part thousands"),
        ("patient;dose\nP01;1.500\nP02;3\n", "Write 1500, or the decimals with a comma"),
        ("patient;dose\nP01;3;x\n", "row 2: 3 cells, but the first row names 2 columns; is there "
         "a semicolon"),
        ("Patient,dose\nP01,3\n", "no column patient; write 'Patient' as patient"),
        ("patient,Week\nP01,3\n", "no column week; write 'Week' as week"),
        ("subject,dose\nP01,3\n", "no column patient; found: subject, dose"),
        ("patient,dose,dose\nP01,3,4\n", "column dose stands 2 times"),
        ("patient,,dose\nP01,x,4\n", "column 2 has no name"),
        ("patient,note\nP01,a,b\n", "row 2: 3 cells, but the first row names 2 columns"),
        ("patient\nP01\n\nP01\n", "row 4: patient P01 stands in row 2 already"),
        ("patient,week\nP01,1\nP01,1.0\n", "row 3: patient P01, week 1 stands in row 2"),
        ("patient,dose\n,3\n", "row 2, column patient: empty"),
        ("patient,lesion\nP01,\n", "row 2, column lesion: empty"),
        ("patient\nP01 \n", "row 2, column patient: 'P01 ' has a blank"),
        ("patient\nP 01\nP\u00a001\n", "has a blank at its end or start, or a double or special"),
        ("patient\nP01\np01\n", "row 3, column patient: 'p01', but 'P01' in row 2: one patient"),
        ("patient,week\nP01,\n", "row 2, column week: empty; a row of a table with weeks"),
        ("patient,week\nP01,week 4\n", "found 'week 4'; write the number alone: 4"),
        ("patient,week\nP01,W4\n", "write the number alone: 4"),
        ("patient,week\nP01,4 weeks\n", "write the number alone: 4"),
        ('patient,week\nP01,"1,5"\n', "write a dot: 1.5"),
        ('patient,week\nP01,"1,500"\n', "write a dot: 1.500, or 1500 if the comma parts"),
        ("patient,week\nP01,04.01.1900\n", "a spreadsheet has made a date of it"),
        ("patient,week\nP01,1900-01-04 00:00:00\n", "a spreadsheet has made a date"),
        ("patient,week\nP01,4-Jan\n", "a spreadsheet has made a date"),
        ("patient,week\nP01,37650\n", "week: 37650, which would be 722 years; is it a date"),
        ("patient,week\nP01,baseline\n", "expected a number, found 'baseline'"),
        ("patient,week\nP01,inf\n", "expected a number, found 'inf'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(clinical_file, text: str, said: str) -> None:
    path = clinical_file(text)
    with pytest.raises(TableError) as caught:
        read_clinical(path)
    assert said in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_what_a_german_spreadsheet_writes_is_read(clinical_file, separator: str) -> None:
    text = (
        "\ufeffpatient;lesion;week;dose;age;note\n"
        "M\u00fc 1;1,2;0,5;1,5;61;1,5\nP2;L 1;4;-12,25;58;\n"
    )
    found = read_clinical(clinical_file(text.replace(";", separator)))
    assert [row.week for row in found.rows] == [0.5, 4.0]
    assert found.of_patient("dose")[0] == {"M\u00fc 1": "1.5", "P2": "-12.25"}
    assert found.rows[0].lesion == "1,2"  # a name is no number


def test_decimal_points_of_other_programs_are_read(clinical_file) -> None:
    found = read_clinical(clinical_file("patient;dose;frac\nP01;0.25;0.374\nP02;1.5;1.374\n"))
    assert found.of_patient("frac")[0] == {"P01": "0.374", "P02": "1.374"}


def test_files_that_are_no_text(tmp_path) -> None:
    with pytest.raises(TableError, match="no such file"):
        read_clinical(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("patient\nMüller\n".encode("latin-1"))
    with pytest.raises(TableError, match="not UTF-8"):
        read_clinical(tmp_path / "latin.csv")
    with pytest.raises(TableError, match="save the sheet as 'CSV UTF-8'"):
        read_clinical(tmp_path / "table.xlsx")


def test_weeks_that_are_numbers_with_blanks_are_taken(clinical_file) -> None:
    found = read_clinical(clinical_file("patient,week\nP01, 4\nP01,1.0\n"))
    assert [row.week for row in found.rows] == [4.0, 1.0]


@pytest.mark.parametrize(
    ("head", "row", "said"),
    [
        ("time_months", "P01,3", "survival needs one of"),
        ("event", "P01,1", "survival needs one of"),
        ("time_months,time_weeks,event", "P01,3,12,1", "survival needs one of"),
        ("time_days,event", "P01,37650,1", "would be 103 years; is it a date as a number"),
        ("time_months,event", "P01,-3,1", "cannot be negative"),
        ("time_months,event", "P01,3,2", "write 1 = happened"),
        ("time_months,event", "P01,3,dead", "expected a number, found 'dead'"),
        ("time_months,event", "P01,3,", "row 2, column event: empty, but time_months is given"),
    ],
)
def test_follow_up_that_is_wrong(clinical_file, head: str, row: str, said: str) -> None:
    with pytest.raises(TableError, match=said):
        follow_up(read_clinical(clinical_file(f"patient,{head}\n{row}\n")))


def test_follow_up(clinical_file) -> None:
    found = read_clinical(clinical_file("patient,time_days,event\nA,30,1\nB,60,0\nC,,\n"))
    column, followed = follow_up(found) or ("", {})
    assert column == "time_days" and set(followed) == {"A", "B"}
    assert (followed["A"].time, followed["A"].event, followed["B"].event) == (30, True, False)
    rows = "patient,lesion,time_days,event\nA,1,30,1\nA,2,31,1\n"
    with pytest.raises(TableError, match="rows 2 and 3, column time_days: different values"):
        follow_up(read_clinical(clinical_file(rows)))


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ("10,", "the other diameter is given"),
        ("10,0", "of a lesion that is gone both diameters are 0"),
        ("-1,2", "cannot be negative"),
        ("10,05.Mrz", "a spreadsheet has made a date"),
        ("10,10 mm", "write the number alone: 10"),
    ],
)
def test_diameters_that_are_wrong(clinical_file, sizes: str, said: str) -> None:
    head = "patient,lesion,week,diameter_a_mm,diameter_b_mm\n"
    with pytest.raises(TableError, match=said):
        visits(read_clinical(clinical_file(f"{head}P01,L1,0,{sizes}\n")))
    with pytest.raises(TableError, match="no column lesion"):
        visits(read_clinical(clinical_file("patient,diameter_a_mm,diameter_b_mm\nP01,1,1\n")))
