"""Studies with a manifest: what it may say, what is wrong with it, and writing one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from imganalysis.errors import OutputError, StudyError
from imganalysis.panel import load_panel
from imganalysis.study import MANIFEST_COLUMNS, ROLES, discover, write_manifest

FULL = (
    "biopsy,patient,lesion,week,section,panel,batch,acquisition,role,stain,section_um,annotations,"
    "path,scene,Operator\n"
    "007,01,L1,4,2,apo,B1,A1,sample,,3.5,a b.json,B1/fä 1.tif,,-Ümit\n"
    ",,,,,inf,B1,A1,single stain,Cy3,,,c/c.tif,,\n"
)


def test_every_column(study):
    study.add("B1/fä 1.tif", "c/c.tif", "a b.json")
    study.manifest(FULL)
    found = study.discover()
    assert (found.source, found.columns, found.notes) == ("manifest", ("Operator",), ())
    sample, control = found.fields
    assert dataclasses.asdict(sample) == {
        "name": "007_fä_1", "biopsy": "007", "patient": "01", "lesion": "L1", "week": 4.0,
        "section": "2", "panel": "apo", "batch": "B1", "acquisition": "A1", "role": "sample",
        "stain": "", "section_um": 3.5, "annotations": study.root / "a b.json",
        "path": study.root / "B1/fä 1.tif", "series": 0, "scene": "", "tile": None,
        "counted": None, "extra": {"Operator": "-Ümit"}, "flags": (), "problem": "",
        "problem_text": "", "harmless": False,
    }  # fmt: skip
    assert (control.name, control.role, control.stain) == ("single_stain_c", "single_stain", "Cy3")
    assert (control.patient, control.week, control.extra) == ("", None, {"Operator": ""})
    assert list(found.panels) == ["apo", "inf"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_as_spreadsheets_save_it(study, separator, encoding, end):
    study.add("B1/f.tif")
    rows = [["Biopsy", "PATH", "week", "section_um", "Notiz", ""]]
    rows += [["NA", "B1/f.tif", "4", '"3,5"', "ü", ""], ["", "", "", "", "", ""]]
    text = end.join(separator.join(row) for row in rows) + end
    study.manifest(text, encoding=encoding)
    (field,) = study.discover(panels=("apo",)).fields
    assert (field.biopsy, field.week, field.section_um) == ("NA", 4.0, 3.5)
    assert field.extra == {"Notiz": "ü"}


def test_paths_of_another_system_or_composed_otherwise(study):
    study.add("B1/fu\u0308.tif", "B1/g.tif")
    study.manifest("biopsy,path\nB1,B1\\f\u00fc.tif\nB1,./B1/g.tif\n")
    assert [f.path.name for f in study.discover().fields] == ["fu\u0308.tif", "g.tif"]


def test_a_path_may_be_absolute_or_lead_out_of_the_study(study, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "f.tif").touch()
    (tmp_path / "other" / "g.tif").touch()
    study.manifest(f"biopsy,path\nB1,../other/f.tif\nB1,{tmp_path / 'other' / 'g.tif'}\n")
    fields = study.discover(panels=("apo",)).fields
    assert {f.name for f in fields} == {"B1_f", "B1_g"}


def test_a_manifest_of_another_name(study):
    study.add("B1/f.tif", "B1/g.tif").manifest("biopsy,path\nB1,B1/f.tif\n", name="some.csv")
    assert len(study.discover().fields) == 2
    found = study.discover(study.root / "some.csv")
    assert [f.name for f in found.fields] == ["B1_f"]
    assert found.root == study.root
    assert found.notes == ("1 image not in some.csv: B1/g.tif",)


def test_the_manifest_can_be_left_aside(study):
    study.add("B1/f.tif", "B1/g.tif").manifest("biopsy\n")
    assert study.discover(use_manifest=False).source == "folders"


def test_blanks_mean_what_the_biopsy_s_other_rows_say(study):
    study.add("f.tif", "g.tif", "h.tif")
    study.manifest("biopsy,path,patient,week\nB1,f.tif,,\nB1,g.tif,P1,4\nB2,h.tif,,\n")
    found = [(f.biopsy, f.patient, f.week) for f in study.discover().fields]
    assert found == [("B1", "P1", 4.0), ("B1", "P1", 4.0), ("B2", "B2", None)]


def test_ignored_files_are_not_even_opened(study):
    study.add("f.tif").add("bad.tif", series=study.damaged)
    study.manifest("biopsy,path,role\nB1,f.tif,\nB1,bad.tif,ignore\n")
    good, bad = study.discover(panels=("apo",)).fields
    assert (bad.problem, bad.problem_text, bad.is_failure) == ("ignored", "role ignore", False)
    assert [path.name for path in study.calls] == ["f.tif"]
    assert good.problem == ""
    assert [b.name for b in study.discover().biopsies] == ["B1"]


def test_a_damaged_file_fails_in_each_of_its_rows(study):
    study.add("x.lif", series=study.damaged)
    study.manifest("biopsy,path,scene,role\nB1,x.lif,a,\nB2,x.lif,b,\nB2,x.lif,c,ignore\n")
    fields = study.discover().fields
    assert [(f.biopsy, f.name, f.problem) for f in fields] == [
        ("B1", "B1_x_a", "unreadable"),
        ("B2", "B2_x_b", "unreadable"),
        ("B2", "B2_x_c", "ignored"),
    ]
    assert len(study.calls) == 1


def four_series(study):
    def series(path):
        return [
            study.one(path, 0, "Pos1"),
            study.one(path, 1, "0"),
            study.one(path, 2, "scan", tile=0),
            study.one(path, 2, "scan", tile=1),
            study.one(path, 3, "low", not_a_field="thumbnail"),
        ]

    return study.add("x.lif", series=series)


def test_scenes_by_name_and_by_number(study):
    four_series(study).manifest("biopsy,path,scene\nB1,x.lif,Pos1\nB2,x.lif,#1\nB3,x.lif,2\n")
    fields = study.discover(panels=("apo",)).fields
    assert [(f.biopsy, f.series, f.tile, f.problem) for f in fields] == [
        ("B1", 0, None, ""),
        ("B2", 1, None, ""),
        ("B3", 2, 0, ""),
        ("B3", 2, 1, ""),
        ("", 3, None, "thumbnail"),
    ]
    assert len(study.calls) == 1


def test_series_that_no_row_names_are_listed_as_ignored(study):
    four_series(study).manifest("biopsy,path,scene,x\nB1,x.lif,Pos1,1\n")
    fields = study.discover(panels=("apo",)).fields
    assert [(f.name, f.role, f.problem) for f in fields] == [
        ("B1_x_Pos1", "sample", ""),
        ("x_0", "ignore", "ignored"),
        ("x_scan_tile0", "ignore", "ignored"),
        ("x_scan_tile1", "ignore", "ignored"),
        ("x_low", "ignore", "thumbnail"),
    ]
    assert fields[1].problem_text == "the manifest names other series of this file"
    assert fields[1].extra == {"x": ""}
    assert not any(f.is_failure for f in fields)


HEAD = "biopsy,path,role,week,section_um,panel,scene,patient\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a table"),
        (",,\n,,\n", "empty; expected biopsy, patient"),
        (
            "path,week\nf.tif,1\n",
            r"missing column\(s\) biopsy; expected biopsy, .*found: path, week",
        ),
        (
            "Name\nx\n",
            r"missing column\(s\) biopsy, path; .* biopsy and path are needed; found: Na",
        ),
        ("biopsy,path,week,Week\nB1,f.tif,1,2\n", r"column\(s\) named twice: week"),
        ("biopsy,path,\nB1,f.tif,stray\n", "line 2: 'stray' stands in a column without a name"),
        ("biopsy,path\nB1,f.tif,3,4\n", "not a table with commas"),
        ("biopsy,path\n", "no rows; expected one per image file"),
        (HEAD + "B1,f.tif,control,,,,,\n", "line 2: unknown role 'control'; expected one of samp"),
        (HEAD + "B1,f.tif,,four,,,,\n", "line 2: week is a number, .*found 'four'"),
        (HEAD + "B1,f.tif,,nan,,,,\n", "line 2: week is a number, .*found 'nan'"),
        (HEAD + "B1,f.tif,,,thin,,,\n", "line 2: section_um is a number, .*found 'thin'"),
        (HEAD + "B1,f.tif,,,0,,,\n", "line 2: section_um is a thickness in um, found '0'"),
        (HEAD + "B1,f.tif,,,,X,,\n", "line 2: unknown panel 'X'; known: apo, inf"),
        (HEAD + "B1,,,,,,,\n", "line 2: no path; expected an image file relative to"),
        (HEAD + ",f.tif,,,,,,\n", "line 2: a sample without a biopsy"),
        (HEAD + "\nB1,f.tif,,,,,,\nB1,f.tif,,,,,,\n", r"lines 3 and 4: f\.tif stands twice"),
        (
            HEAD + "B1,f.tif,,,,,0,\nB1,f.tif,,,,,,\n",
            "line 3: f.tif: series 0 stands in line 2",
        ),
        (HEAD + "B1,f.tif,,,,,Pos9,\n", r"line 2: f\.tif: no series 'Pos9' .*expected one of 0 ''"),
        (HEAD + "B1,f.tif,,,,,#7,\n", r"line 2: f\.tif: no series '#7' in the file"),
        (HEAD + "B1,x.lif,,,,,0,\n", "line 2: x.lif: '0' means several series; give #NUMBER"),
        (
            HEAD + "B1,f.tif,,,,,,P1\nB1,g.tif,,,,,,P2\n",
            "lines 2 and 3: two biopsies are called 'B1', one of patient 'P1' and one of ",
        ),
        (
            HEAD + "B1,f.tif,,1,,,,\nB1,g.tif,,4,,,,\n",
            "lines 2 and 3: two biopsies are called 'B1', one of week '1' and one of week '4'",
        ),
        (
            HEAD + "Bx,f.tif,,,,,,\nbX,g.tif,,,,,,\n",
            r"two biopsies of one name: 'Bx' and 'bX' \(lines 2 and 3\)",
        ),
    ],
)
def test_bad_manifests(study, text, message):
    four_series(study).add("f.tif", "g.tif")
    path = study.manifest(text)
    with pytest.raises(StudyError, match=message) as caught:
        study.discover()
    assert str(path) in str(caught.value)


def test_roles_are_told(study):
    study.add("f.tif").manifest(HEAD + "B1,f.tif,x,,,,,\n")
    with pytest.raises(StudyError) as caught:
        study.discover()
    assert ", ".join(ROLES) in str(caught.value)


def test_all_missing_files_are_named_at_once(study):
    study.add("f.tif")
    study.manifest("biopsy,path,annotations\nB1,g.tif,\nB1,f.tif,h.json\nB2,ü/k.tif,\n")
    with pytest.raises(StudyError, match=r"3 files not found") as caught:
        study.discover()
    for path, line in (("g.tif", 2), ("h.json", 3), ("ü/k.tif", 4)):
        assert f"{study.root / path} (line {line})" in str(caught.value)
    assert "relative to" in str(caught.value)


def test_many_missing_files_are_counted(study):
    study.manifest("biopsy,path\n" + "".join(f"B1,{i}.tif\n" for i in range(50)))
    with pytest.raises(StudyError, match=r"50 files not found: .*; and 30 more"):
        study.discover()


def test_not_utf8(study):
    study.add("B1/f.tif").manifest("biopsy,path\nBü,B1/f.tif\n", encoding="latin-1")
    with pytest.raises(StudyError, match="not UTF-8 text; save it as 'CSV UTF-8'"):
        study.discover()


def test_a_workbook_is_not_taken_silently(study):
    study.add("B1/f.tif", "manifest.xlsx")
    with pytest.raises(StudyError, match=r"manifest\.xlsx: a manifest is read as CSV"):
        study.discover()
    study.manifest("biopsy,path\nB1,B1/f.tif\n")
    assert len(study.discover().fields) == 1


def rich_study(study):
    def series(path):
        names = ["Pos1", "Pos1", "1", "-x", "", " y", "tab\there", "scan", "scan"]
        made = [study.one(path, i, name) for i, name in enumerate(names[:7])]
        made += [study.one(path, 7, "scan", tile=t, counted=(t, 9, 0, 9)) for t in (0, 1)]
        return [*made, study.one(path, 9, "low", not_a_field="thumbnail")]

    study.add("P1_week0/apo/f.tif", "P1_week0/inf/f.tif", "P1_week4/=x ü.tif", "P1_week4/no.tif")
    study.add("P1_week4/apo.lif", series=series).add("P1_week0/apo_bad.tif", series=study.damaged)
    study.add("controls/single_stain/Cy3/apo.tif", "controls/isotype/inf.tif", "notes.txt")
    return study


def test_round_trip(study):
    before = rich_study(study).discover(choose=study.by_file_name)
    problems = [f.problem for f in before.fields if f.problem]
    assert problems == ["unreadable", "panel", "thumbnail", "panel"]
    write_manifest(before, study.root / "manifest.csv")
    after = study.discover(choose=study.by_file_name)
    assert after.fields == before.fields
    assert after.panels == before.panels
    assert (after.source, after.notes, after.n_ignored) == ("manifest", (), before.n_ignored)
    write_manifest(after, study.root / "manifest.csv", overwrite=True)
    assert study.discover(choose=study.by_file_name) == after


def test_round_trip_of_further_columns(study):
    study.add("B1/fä 1.tif", "c/c.tif", "a b.json")
    study.manifest(FULL)
    before = study.discover()
    write_manifest(before, study.root / "manifest.csv", overwrite=True)
    assert study.discover() == before


def test_the_written_manifest_has_a_row_per_file_or_series(study):
    rich_study(study)
    write_manifest(study.discover(choose=study.by_file_name), study.root / "manifest.csv")
    lines = (study.root / "manifest.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines[0] == ",".join(MANIFEST_COLUMNS)
    assert "P1_week0,P1,,0,,apo,,,sample,,,,P1_week0/apo/f.tif," in lines
    scenes = [line.rsplit(",", 1)[1] for line in lines if "apo.lif" in line]
    assert scenes == ["#0", "#1", "#2", "#3", "#4", "#5", "#6", "scan", "low"]
    assert len(lines) == 1 + 4 + 9 + 1 + 2


def test_a_manifest_is_not_replaced_unasked(study):
    study.add("B1/f.tif")
    path = study.manifest("mine")
    found = study.discover(use_manifest=False)
    with pytest.raises(OutputError, match="there already; give --overwrite"):
        write_manifest(found, path)
    assert path.read_text() == "mine"
    write_manifest(found, path, overwrite=True)
    assert path.read_text().startswith("biopsy,")


def test_a_manifest_beside_the_study(study, tmp_path):
    study.add("B1/f.tif")
    path = tmp_path / "lists" / "m.csv"
    write_manifest(study.discover(), path)
    (field,) = study.discover(path).fields
    assert field.path.resolve() == (study.root / "B1/f.tif").resolve()
    assert isinstance(field.path, Path)


def test_the_documentation_names_every_column_and_role():
    text = (Path(__file__).parents[2] / "docs" / "study.md").read_text(encoding="utf-8")
    for name in (*MANIFEST_COLUMNS, *ROLES):
        assert f"| `{name}` |" in text


def test_a_file_is_listed_with_the_panel_of_the_manifest(study):
    study.add("a.tif", "b.tif", series=lambda p: [study.one(p, 0, "s0"), study.one(p, 1, "s1")])
    study.add("c.tif")
    study.manifest(
        "biopsy,path,panel,scene,role\nP,a.tif,apo,s0,\nP,a.tif,,s1,ignore\nP,b.tif,apo,s0,\n"
        "P,b.tif,inf,s1,\nP,c.tif,,,\n"
    )
    study.discover(choose=lambda panels, *_: panels[0])
    assert study.panels == ["apo", "", ""]


def test_control_characters_of_a_spreadsheet_are_left_out(study):
    study.add("a.tif", "b.tif", series=lambda p: [study.one(p, 0, "s\x030"), study.one(p, 1, "t")])
    text = "biopsy,path,panel,batch,op\x07erator\nP\x01 1,a.tif,apo,B\x1f1,U\x08 M\n"
    study.manifest(text + "P 1,b.tif,apo,,\n")
    found = study.discover()
    first = found.fields[0]
    assert found.columns == ("operator",)
    assert (first.biopsy, first.patient, first.batch) == ("P 1", "P 1", "B1")
    assert (first.extra, first.scene) == ({"operator": "U M"}, "s0")
    assert len(found.biopsies) == 1
    write_manifest(found, study.root / "again.csv")
    again = study.discover(study.root / "again.csv")
    assert [f.scene for f in again.fields] == [f.scene for f in found.fields]


@pytest.mark.parametrize(
    "name",
    ["field", "File", "status", "reason", "message", "flags", "tile", "n_planes", "n_T",
     "projection", "focus", "pixel_size_y_um",
     "death_marker_form", "tissue_mm2", "density_per_mm2"],
)  # fmt: skip
def test_columns_of_the_results_are_taken(study, name):
    study.add("a.tif")
    study.manifest(f"biopsy,path,panel,{name},Operator\nP,a.tif,apo,1,x\n")
    with pytest.raises(StudyError, match=rf"column\(s\) {name}: the results have .* rename"):
        study.discover()


@pytest.mark.parametrize("name", ["apoptotic_fraction", "apoptotic_fraction_lo"])
def test_columns_of_fractions_are_taken(tmp_path, name):
    (tmp_path / "P").mkdir()
    (tmp_path / "P" / "a.tif").write_bytes(b"x")
    (tmp_path / "manifest.csv").write_text(f"biopsy,path,{name}\nP,P/a.tif,1\n")
    with pytest.raises(StudyError, match=rf"column\(s\) {name}: the results have"):
        discover(tmp_path, list_series=lambda path, panel: [], panels=[load_panel("apoptosis")])


@pytest.mark.parametrize("name", ["filename", "responder", "nuclei", "my_field", "pct", "N"])
def test_other_columns_are_free(study, name):
    study.add("a.tif")
    study.manifest(f"biopsy,path,panel,{name}\nP,a.tif,apo,1\n")
    assert study.discover().columns == (name,)
