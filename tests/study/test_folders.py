"""Studies without a manifest."""

from __future__ import annotations

import os
import unicodedata

import pytest

from imganalysis.errors import OutputError, StudyError
from imganalysis.study import CONTROL_ROLES, write_manifest
from imganalysis.study._folders import week_in

ONE = ("apo",)


def names(fields):
    return [f.name for f in fields]


def test_a_folder_per_biopsy_at_any_depth_in_natural_order(study):
    study.add("B10/f.tif", "B2/f10.tif", "B2/f2.tif", "B2/deeper/still/ü 1.ome.tif")
    found = study.discover(panels=ONE)
    assert found.source == "folders"
    assert [b.name for b in found.biopsies] == ["B2", "B10"]
    assert names(found.fields) == ["B2_ü_1", "B2_f2", "B2_f10", "B10_f"]
    assert [b.patient for b in found.biopsies] == ["B2", "B10"]
    assert {f.panel for f in found.fields} == {"apo"} == set(found.panels)
    assert len(study.calls) == 4


def test_controls_are_no_biopsies(study):
    study.add("B1/f.tif", "controls/secondary_only/day 1/c.tif", "Controls/isotype/i.tif")
    study.add("controls/single_stain/apo Cy3/deeper/s.tif", "controls/Positive-Control/p.tif")
    found = study.discover(panels=ONE)
    assert names(found.samples) == ["B1_f"]
    roles = {f.name: (f.role, f.stain, f.biopsy, f.patient, f.week) for f in found.controls}
    assert roles == {
        "isotype_i": ("isotype", "", "", "", None),
        "positive_control_p": ("positive_control", "", "", "", None),
        "secondary_only_c": ("secondary_only", "", "", "", None),
        "single_stain_s": ("single_stain", "apo Cy3", "", "", None),
    }
    assert all(f.is_control for f in found.controls)
    assert [b.name for b in found.biopsies] == ["B1"]


def test_a_folder_of_controls_without_a_role_names_the_roles(study):
    study.add("B1/f.tif", "controls/tonsil/c.tif")
    with pytest.raises(StudyError, match="no role of controls is called 'tonsil'") as caught:
        study.discover(panels=ONE)
    assert all(role in str(caught.value) for role in CONTROL_ROLES)


def test_a_control_without_a_folder_of_its_role(study):
    study.add("B1/f.tif", "controls/c.tif")
    with pytest.raises(StudyError, match=r"c\.tif: controls lie in controls/ROLE/"):
        study.discover(panels=ONE)


def test_truth_annotations_results_and_hidden_files_are_left_out(study):
    study.add("B1/f.tif", "truth/B1/f.tif", "B1/Annotations/a.tif", ".trash/x.tif", "B1/._f.tif")
    study.add("out/labels/l.ome.tif", "out/run.json", "B1/notes.txt", "list.xlsx", "empty/x.doc")
    found = study.discover(panels=ONE)
    assert names(found.fields) == ["B1_f"]
    assert found.n_ignored == 3  # notes.txt, list.xlsx, x.doc
    assert found.notes == ("folder 'empty' holds no images",)


def test_a_zarr_is_one_image_and_a_folder_called_tif_is_none(study):
    study.add("B1/a.ome.zarr", "B1/b.zarr", "odd.tif/c.tif")
    found = study.discover(panels=ONE)
    assert names(found.fields) == ["B1_a", "B1_b", "odd.tif_c"]


def test_images_without_folders_are_biopsies_by_themselves(study):
    study.add("P01_week0.tif", "P01_wk4.tif", "controls/unstained/u.tif")
    found = study.discover(panels=ONE)
    assert [(b.name, b.patient, b.week) for b in found.biopsies] == [
        ("P01_week0", "P01", 0.0),
        ("P01_wk4", "P01", 4.0),
    ]
    assert names(found.samples) == ["P01_week0", "P01_wk4"]
    assert {f.flags for f in found.samples} == {()}


def test_images_beside_folders_are_flagged(study):
    study.add("B1/f.tif", "overview.tif")
    found = study.discover(panels=ONE)
    assert {f.name: f.flags for f in found.fields} == {
        "B1_f": (),
        "overview": ("loose_image",),
    }


@pytest.mark.parametrize(
    ("name", "week"),
    [
        ("P01_week4", 4), ("P01-W0", 0), ("P2 wk 12", 12), ("w04", 4), ("P1_4weeks", 4),
        ("P1_week1_w01", 1), ("P1_week1_week2", None), ("P1", None), ("new4", None),
        ("P1_week4to6", None), ("P1_week1.5", None), ("view3", None), ("P01w4", None),
        ("P1_4week_2", None), ("site_2_week4", 4),
    ],
)  # fmt: skip
def test_week_of_a_folder_name(name, week):
    assert week_in(name) == week


@pytest.mark.parametrize(
    ("folders", "patients"),
    [
        (["P01_week0", "P01_week4", "P02_week0"], ["P01", "P01", "P02"]),
        (["Patient 7-a", "Patient 7-b"], ["Patient 7", "Patient 7"]),
        (["P01_week0", "lesion2"], ["lesion2", "P01_week0"]),  # not every one has a prefix
        (["P01_a", "p01_b"], ["P01_a", "p01_b"]),  # one patient or two?
        (["lesion1_a", "lesion1_b"], ["lesion1_a", "lesion1_b"]),
    ],
)
def test_patient_of_folder_names(study, folders, patients):
    study.add(*(f"{folder}/f.tif" for folder in folders))
    assert [b.patient for b in study.discover(panels=ONE).biopsies] == patients


@pytest.mark.parametrize(
    ("one", "other"),
    [("Bx1", "bX1"), ("Bx 1", "Bx_1"), ("Bü", unicodedata.normalize("NFD", "Bü"))],
)
def test_two_biopsies_of_one_name(study, one, other):
    study.add(f"{one}/f.tif", f"{other}/g.tif")
    if len(os.listdir(study.root)) == 1:
        pytest.skip("this file system takes the two names for one")
    with pytest.raises(StudyError, match="two biopsies of one name") as caught:
        study.discover(panels=ONE)
    assert f"'{one}'" in str(caught.value)
    assert f"'{other}'" in str(caught.value)


def test_names_are_in_composed_letters(study):
    study.add(unicodedata.normalize("NFD", "Bü") + "/f.tif")
    (field,) = study.discover(panels=ONE).fields
    assert (field.biopsy, field.patient, field.name) == ("Bü", "Bü", "Bü_f")


def test_a_damaged_file_is_a_failure_and_stops_nothing(study):
    study.add("B1/a.tif").add("B1/bad.tif", series=study.damaged)
    good, bad = study.discover(panels=ONE).fields
    assert (good.problem, good.is_failure) == ("", False)
    assert (bad.name, bad.problem, bad.is_failure) == ("B1_bad", "unreadable", True)
    assert bad.problem_text.endswith("bad.tif: damaged")
    assert bad.role == "sample"


def test_a_file_without_any_image_is_a_failure(study):
    study.add("B1/void.lif", series=lambda path: [])
    (field,) = study.discover(panels=ONE).fields
    assert (field.problem, field.is_failure) == ("unreadable", True)
    assert field.problem_text.endswith("void.lif: holds no image")


def test_series_that_are_no_fields_are_listed_and_are_no_failures(study):
    def series(path):
        return [
            study.one(path, 0, "scan", flags=("z_descending",)),
            study.one(path, 1, "preview", not_a_field="thumbnail"),
        ]

    study.add("B1/a.lif", series=series)
    field, thumbnail = study.discover(panels=ONE).fields
    assert (field.name, field.problem, field.flags) == ("B1_a", "", ("z_descending",))
    assert (thumbnail.name, thumbnail.problem) == ("B1_a_preview", "thumbnail")
    assert thumbnail.problem_text == "no field of view: thumbnail"
    assert not thumbnail.is_failure


def test_series_and_tiles_enter_the_name(study):
    def series(path):
        yield study.one(path, 0, "Pos 1")
        yield study.one(path, 1, "Same")
        yield study.one(path, 2, "same")
        yield study.one(path, 3, "")
        for tile in (10, 2):
            yield study.one(path, 4, "a/b", tile=tile, counted=(0, 9, 0, 9))

    study.add("B1/a.lif", series=lambda path: list(series(path)))
    fields = study.discover(panels=ONE).fields
    assert [(f.name, f.series, f.scene, f.tile) for f in fields] == [
        ("B1_a_Pos_1", 0, "Pos 1", None),
        ("B1_a_Same_1", 1, "Same", None),
        ("B1_a_same_2", 2, "same", None),
        ("B1_a_series_3", 3, "", None),
        ("B1_a_a_b_tile2", 4, "a/b", 2),
        ("B1_a_a_b_tile10", 4, "a/b", 10),
    ]
    assert [f.counted for f in fields][-2:] == [(0, 9, 0, 9)] * 2


def test_files_of_one_name_are_told_apart_by_their_folders(study):
    study.add("B1/apo/f1.tif", "B1/inf/f1.tif", "B1/apo/f2.tif", "B1/x/apo/F2.lif")
    first = study.discover(panels=ONE).fields
    assert names(first) == ["B1_apo_f1", "B1_apo_f2", "B1_inf_f1", "B1_x_apo_F2"]
    assert names(study.discover(panels=ONE).fields) == names(first)


def test_files_of_one_name_in_one_folder_are_told_apart(study):
    study.add("B1/f.tif", "B1/f.lif")
    found = names(study.discover(panels=ONE).fields)
    assert len({name.casefold() for name in found}) == 2
    assert all(name.startswith("B1_f_") for name in found)
    assert found == names(study.discover(panels=ONE).fields)


def test_panels_are_chosen_by_path_series_and_channels(study):
    seen = []

    def choose(panels, file_name, series_name, channels):
        seen.append((file_name, series_name, channels))
        return study.by_file_name(panels, file_name, series_name, channels)

    study.add("B1/apo/f.tif", "B1/inf/g.tif", "B1/k.tif")
    study.add("B1/no.tif", series=lambda p: [study.one(p, not_a_field="scan_xzt")])
    fields = study.discover(choose=choose).fields
    assert [(f.name, f.panel, f.problem, f.is_failure) for f in fields] == [
        ("B1_f", "apo", "", False),
        ("B1_g", "inf", "", False),
        ("B1_k", "", "panel", True),
        ("B1_no_series_0", "", "scan_xzt", False),
    ]
    assert fields[2].problem_text == "B1/k.tif: 0 panels fit"
    assert seen[0] == ("B1/apo/f.tif", "", ("a", "b"))
    assert len(seen) == 3


def test_an_rgb_image_without_a_panel_is_called_what_it_is(study):
    study.add("B1/x.tif", "B1/apo.tif", series=lambda p: [study.one(p, flags=("rgb",))])
    with_panel, without = study.discover(choose=study.by_file_name).fields
    assert (with_panel.panel, with_panel.problem) == ("apo", "")
    assert (without.problem, without.is_failure) == ("qualitative_rgb", True)
    assert "RGB shows colours, not intensities; and no panel is chosen" in without.problem_text


def test_several_panels_and_nothing_to_choose_by(study):
    study.add("B1/f.tif")
    (field,) = study.discover().fields
    assert (field.problem, field.is_failure) == ("panel", True)
    assert field.problem_text.endswith("f.tif: no panel; name it in the manifest")


def test_a_link_that_leads_back_up_is_followed_once(study):
    study.add("B1/f.tif")
    (study.root / "B1" / "again").symlink_to(study.root / "B1", target_is_directory=True)
    assert names(study.discover(panels=ONE).fields) == ["B1_f"]


def test_no_images(study):
    study.add("B1/list.xlsx")
    with pytest.raises(StudyError, match=r"no images; expected one folder per biopsy.*1 other"):
        study.discover()


@pytest.mark.parametrize("name", ["f.ome.tif", "f.zarr"])
def test_one_image_is_a_study_of_one_biopsy(study, name):
    study.add(f"B1/{name}", "B1/other.tif").manifest("biopsy\n", name="B1/manifest.csv")
    found = study.discover(study.root / "B1" / name, panels=ONE)
    assert [(f.name, f.biopsy, f.path.name) for f in found.fields] == [("f", "f", name)]
    assert (found.root, found.source) == (study.root / "B1", "folders")


@pytest.mark.parametrize(
    ("made", "asked", "message"),
    [
        ("B1/f.tif", "elsewhere", "elsewhere: not found; expected a folder"),
        ("B1/f.tif", "B1/g.tif", r"g\.tif: not found; expected a folder"),
        ("B1/f.txt", "B1/f.txt", r"f\.txt: is no image; expected a folder"),
    ],
)
def test_not_a_study_folder(study, made, asked, message):
    study.add(made)
    with pytest.raises(StudyError, match=message):
        study.discover(study.root / asked)


def test_names_that_are_not_utf8_are_shown_escaped(study):
    try:
        study.add("P\udcfc 1/M\udcfcller.tif", "P\udcfc 1/bad \udce9.tif", "empty\udcfc/a.txt")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    study.series["bad \udce9.tif"] = study.damaged
    found = study.discover(panels=ONE)
    assert [f.path.name for f in found.fields] == ["bad \udce9.tif", "M\udcfcller.tif"]
    assert [f.biopsy for f in found.fields] == ["P\\xfc 1"] * 2
    for field in found.fields:
        for value in vars(field).values():
            if isinstance(value, str):
                value.encode("utf-8")
    assert "bad \\xe9.tif: damaged" in found.fields[0].problem_text
    assert found.notes == ("folder 'empty\\xfc' holds no images",)
    with pytest.raises(OutputError, match="not UTF-8"):
        write_manifest(found, study.root / "manifest.csv")


def test_names_with_a_hash_may_be_no_utf8(study):
    try:
        study.add("P/a\udcfc.tif", "P/a\udce9.tif")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    names = [f.name for f in study.discover(panels=ONE).fields]
    assert len(set(names)) == 2 and all(name.isascii() for name in names)


def test_results_are_no_study(study):
    study.add("labels/f.tif")
    (study.root / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(StudyError, match="results of a run"):
        study.discover(panels=ONE)
