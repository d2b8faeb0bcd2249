"""Outlines of a person, as QuPath and others write them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from imganalysis.annotations import (
    Outline,
    drawn_masks,
    read_annotations,
    write_annotations,
)
from imganalysis.errors import AnnotationsError, StudyError
from imganalysis.opening import open_study
from imganalysis.outline_files import attach_annotations, classes_left_out
from imganalysis.stack import PixelSize, Stack
from imganalysis.study import write_manifest
from imganalysis.tables import read_csv

if TYPE_CHECKING:
    from pathlib import Path

SHAPE, SPACING = (200, 400), (0.5, 0.25)  # 100 um high and wide
SQUARE = [[10, 20], [30, 20], [30, 60], [10, 60], [10, 20]]  # x, y


def feature(name: Any = "Tumor", coordinates: Any = None, form: str = "Polygon") -> dict[str, Any]:
    geometry = {"type": form, "coordinates": [SQUARE] if coordinates is None else coordinates}
    properties = {
        "objectType": "annotation",
        "classification": {"name": name, "color": [200, 0, 0]},
    }
    return {"type": "Feature", "id": "7", "geometry": geometry, "properties": properties}


def saved(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "field.geojson"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def collection(*features: Any, unit: Any = "um") -> dict[str, Any]:
    said = {} if unit is None else {"unit": unit}
    return {"type": "FeatureCollection", **said, "features": list(features)}


def read(tmp_path: Path, content: Any, unit: str | None = None) -> tuple[Outline, ...]:
    return read_annotations(saved(tmp_path, content), SHAPE, SPACING, unit)


def test_coordinates_are_x_and_y_in_um(tmp_path: Path) -> None:
    (outline,) = read(tmp_path, collection(feature()))
    assert outline.kind == "tumour"
    assert outline.polygons[0][0][0].tolist() == [20, 10]
    assert outline.polygons[0][0].max(axis=0).tolist() == [60, 30]


@pytest.mark.parametrize("unit", ["pixel", "px", "Pixels"])
def test_pixels_become_um(tmp_path: Path, unit: str) -> None:
    (outline,) = read(tmp_path, collection(feature(), unit=unit))
    assert outline.polygons[0][0][0].tolist() == [20 * 0.5, 10 * 0.25]


def test_the_unit_of_the_file_goes_before_that_of_the_settings(tmp_path: Path) -> None:
    said = read(tmp_path, collection(feature(), unit="µm"), "pixel")
    assert said[0].polygons[0][0][0].tolist() == [20, 10]
    unsaid = read(tmp_path, collection(feature(), unit=None), "pixel")
    assert unsaid[0].polygons[0][0][0].tolist() == [10, 2.5]


def test_without_a_unit_nothing_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(AnnotationsError, match=r"field.geojson: does not say the unit.*\"pixel\""):
        read(tmp_path, collection(feature(), unit=None))
    with pytest.raises(AnnotationsError, match="found 'inch'"):
        read(tmp_path, collection(feature(), unit="inch"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Tumor", "tumour"), ("tumour", "tumour"), (" TUMOR ", "tumour"),
        ("Tumor: Positive", "tumour"), ("Vessel", "vessel"), ("blood_vessels", "vessel"),
        ("Pigment", "pigment"), ("Ignore*", "exclude"), ("Exclude", "exclude"),
        ("excluded", "exclude"),
    ],
)  # fmt: skip
def test_names_of_classes(tmp_path: Path, name: str, kind: str) -> None:
    assert [o.kind for o in read(tmp_path, collection(feature(name)))] == [kind]
    plain = feature()
    plain["properties"]["classification"] = name
    assert [o.kind for o in read(tmp_path, collection(plain))] == [kind]


def test_a_list_of_features_or_one_alone(tmp_path: Path) -> None:
    assert len(read(tmp_path, [feature(), feature("Vessel")], "um")) == 2
    assert len(read(tmp_path, {**feature(), "unit": "um"})) == 1


def test_other_classes_are_left_out_but_not_all(tmp_path: Path) -> None:
    """A file of which nothing is used is a mistake, and not the same as nothing outlined."""
    line = feature("Stroma", [[0, 0], [5, 5]], "LineString")
    unclassified = feature()
    unclassified["properties"] = {}
    found = read(tmp_path, collection(line, unclassified, feature("Vessel")))
    assert [o.kind for o in found] == ["vessel"]
    said = r"of the classes Tumor, Vessel, Pigment, Ignore\*, found Stroma"
    with pytest.raises(AnnotationsError, match=said):
        read(tmp_path, collection(line))
    assert read(tmp_path, collection()) == ()


def test_multipolygons_and_holes(tmp_path: Path) -> None:
    hole = [[15, 30], [25, 30], [25, 50], [15, 50], [15, 30]]
    other = [[[60, 60], [80, 60], [80, 80]]]  # left open
    path = saved(tmp_path, collection(feature("Tumor", [[SQUARE, hole], other], "MultiPolygon")))
    masks = drawn_masks(path, stack())
    assert list(masks) == ["tumour"]
    area = masks["tumour"].sum() * SPACING[0] * SPACING[1]
    assert area == pytest.approx(20 * 40 - 10 * 20 + 200, rel=0.02)
    assert masks["tumour"][int(25 / 0.5), int(12 / 0.25)]
    assert not masks["tumour"][int(40 / 0.5), int(20 / 0.25)]


def stack(size: PixelSize | None = None) -> Stack:
    pixels = np.zeros((1, 1, *SHAPE), np.uint8)
    return Stack(pixels, ("a",), size or PixelSize(None, *SPACING, origin="metadata"))


def test_no_file_and_no_pixel_size_give_no_masks(tmp_path: Path) -> None:
    assert drawn_masks(None, stack()) == {}
    assert drawn_masks(saved(tmp_path, collection(feature())), stack(PixelSize())) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not GeoJSON"),
        ("{", "not GeoJSON"),
        ("[1, NaN]", "NaN is no number of JSON"),
        ('{"type": "FeatureCollection", "unit": "um", "features": [Infinity]}', "Infinity is no"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5000, "not GeoJSON"),
        ("3", "expected GeoJSON"),
        ({"type": "FeatureCollection", "unit": "um", "features": {}}, "expected GeoJSON"),
        (collection(3), "feature 1: expected an object of the type Feature"),
        (collection(feature(), {"type": "Polygon"}), "feature 2: expected an object"),
        (collection(feature("Vessel", SQUARE, "LineString")), r"feature 1 \(Vessel\).*LineString"),
        (collection(feature(form="GeometryCollection")), "found GeometryCollection"),
        (collection({**feature(), "geometry": None}), "found None"),
        (collection(feature(coordinates=[])), "without coordinates"),
        (collection(feature(coordinates={"a": 1})), "without coordinates"),
        (collection(feature(coordinates=SQUARE)), r"expected a point \[x, y\], found 10"),
        (collection(feature(coordinates=[[[1, 2], [3, "4"], [5, 6]]])), r"found \[3, '4'\]"),
        (collection(feature(coordinates=[[[1, 2], [3, True], [5, 6]]])), r"found \[3, True\]"),
        (collection(feature(coordinates=[[[1, 2], [3, None], [5, 6]]])), r"found \[3, None\]"),
        (collection(feature(coordinates=[[[1, 2], [3], [5, 6]]])), r"found \[3\]"),
        (collection(feature(coordinates=[[[1, 2], [3, 4], [1, 2]]])), "3 different corners, found"),
        (collection(feature(form="MultiPolygon", coordinates=[3])), "expected a list of rings"),
    ],
)
def test_a_broken_file_names_itself_and_the_place(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(AnnotationsError, match=said) as error:
        read(tmp_path, content)
    assert "field.geojson" in str(error.value)
    assert error.value.reason == "annotations"


def test_numbers_too_large_to_be_places(tmp_path: Path) -> None:
    for number in ("1e999", "1" * 400):
        text = json.dumps(collection(feature())).replace("[10, 20]", f"[10, {number}]", 1)
        with pytest.raises(AnnotationsError, match="expected a point"):
            read(tmp_path, text)


def test_outlines_beside_the_field_are_refused(tmp_path: Path) -> None:
    """Pixels taken for um lie outside, and the message says so."""
    far = [[[10, 20], [390, 20], [390, 60]]]
    with pytest.raises(AnnotationsError, match=r"x reaches from 10 to 390 um.*taken for um"):
        read(tmp_path, collection(feature(coordinates=far)))
    assert read(tmp_path, collection(feature(coordinates=far), unit="pixel"))
    over = [[[-3, 20], [104, 20], [50, 60]]]  # a brush that went over the border
    assert read(tmp_path, collection(feature(coordinates=over)))


def test_a_file_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imganalysis.annotations.MAX_BYTES", 100)
    with pytest.raises(AnnotationsError, match="Export the annotations alone"):
        read(tmp_path, collection(feature()))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AnnotationsError, match=r"none.geojson: cannot be read"):
        read_annotations(tmp_path / "none.geojson", SHAPE, SPACING)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    ring = np.array([[1.25, 2.5], [1.25, 50.125], [40.0, 50.125], [40.0, 2.5]])
    hole = np.array([[10.0, 10], [10, 20], [20, 20], [10, 10]])
    outlines = [Outline("tumour", ((ring, hole), (ring + 50,))), Outline("exclude", ((ring,),)),
                Outline("vessel", ((hole,),))]  # fmt: skip
    path = tmp_path / "annotations" / "field.geojson"
    write_annotations(path, outlines)
    again = read_annotations(path, SHAPE, SPACING)
    assert [o.kind for o in again] == ["tumour", "exclude", "vessel"]
    assert [len(o.polygons) for o in again] == [2, 1, 1]
    assert (again[0].polygons[0][0] == np.concatenate([ring, ring[:1]])).all()
    assert (again[0].polygons[0][1] == hole).all()
    content = json.loads(path.read_text(encoding="utf-8"))
    names = [f["properties"]["classification"]["name"] for f in content["features"]]
    assert names == ["Tumor", "Ignore*", "Vessel"] and content["unit"] == "um"


def test_written_in_pixels_it_is_the_same(tmp_path: Path) -> None:
    ring = np.array([[1.25, 2.5], [1.25, 50.125], [40.0, 50.125]])
    path = tmp_path / "a.geojson"
    write_annotations(path, [Outline("vessel", ((ring,),))], SPACING)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["unit"] == "pixel"
    assert content["features"][0]["geometry"]["coordinates"][0][0][0] == [10.0, 2.5]
    assert (read_annotations(path, SHAPE, SPACING)[0].polygons[0][0][:3] == ring).all()


def test_what_is_no_number_is_not_written(tmp_path: Path) -> None:
    ring = np.array([[1.0, math.nan], [2, 2], [3, 1]])
    with pytest.raises(ValueError, match="JSON"):
        write_annotations(tmp_path / "a.geojson", [Outline("vessel", ((ring,),))])
    assert not (tmp_path / "a.geojson").exists()


def make_study(root: Path) -> None:
    for name in ("P1/a.tif", "P1/b.tif"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(root / name, np.zeros((3, 20, 20), np.uint8), photometric="minisblack")


def test_files_are_found_beside_the_study(tmp_path: Path) -> None:
    make_study(tmp_path)
    path = tmp_path / "annotations" / "P1_b.geojson"
    write_annotations(path, [])
    fields = {f.name: f for f in open_study(tmp_path, panels=["apoptosis"]).fields}
    assert fields["P1_a"].annotations is None and fields["P1_b"].annotations == path


def test_a_file_of_no_field_is_named(tmp_path: Path) -> None:
    make_study(tmp_path)
    folder = tmp_path / "annotations"
    for name in ("P1_b.geojson", "wrongname.geojson", "P1_a.GeoJSON.txt"):
        write_annotations(folder / name, [])
    (note,) = open_study(tmp_path, panels=["apoptosis"]).notes
    assert note.startswith(f"{folder / 'wrongname.geojson'}: no field has this name")
    assert "e.g. P1_a.geojson" in note
    # Named in the manifest it is of a field, and that of the field's own name is none too many.
    (tmp_path / "manifest.csv").write_text(
        "biopsy,path,annotations\nP1,P1/a.tif,\nP1,P1/b.tif,annotations/wrongname.geojson\n"
    )
    assert open_study(tmp_path, panels=["apoptosis"]).notes == ()


def test_classes_that_are_not_used_are_listed(tmp_path: Path) -> None:
    names = ("Tumor", "Vesel", "Stroma; a", "Vesel", "Ignore*")
    path = saved(tmp_path, collection(*[feature(name) for name in names], feature(None)))
    assert classes_left_out(path) == ("Vesel", "Stroma, a", "no class")
    assert classes_left_out(None) == ()


def test_the_manifest_goes_first_and_one_file_is_of_one_field(tmp_path: Path) -> None:
    make_study(tmp_path)
    for name in ("annotations/P1_a.geojson", "mine.geojson"):
        write_annotations(tmp_path / name, [])
    rows = "biopsy,path,annotations\nP1,P1/a.tif,mine.geojson\nP1,P1/b.tif,{}\n"
    (tmp_path / "manifest.csv").write_text(rows.format(""))
    study = open_study(tmp_path, panels=["apoptosis"])
    assert [f.annotations for f in study.fields] == [tmp_path / "mine.geojson", None]
    (tmp_path / "manifest.csv").write_text(rows.format("mine.geojson"))
    with pytest.raises(StudyError, match=r"mine.geojson: given for the fields P1_a and P1_b"):
        open_study(tmp_path, panels=["apoptosis"])
    shared = replace(study, fields=tuple(
        replace(f, annotations=tmp_path / "mine.geojson", problem="ignored") for f in study.fields
    ))  # fmt: skip
    assert attach_annotations(shared) == shared


def test_a_manifest_gives_no_outlines_of_one_tile_to_all(tmp_path: Path) -> None:
    make_study(tmp_path)
    write_annotations(tmp_path / "annotations" / "P1_a.geojson", [])
    study = open_study(tmp_path, panels=["apoptosis"])
    first, second = study.fields
    tiles = (replace(first, tile=0), second)
    for fields, said in ((study.fields, "annotations/P1_a.geojson"), (tiles, "")):
        write_manifest(replace(study, fields=fields), tmp_path / "m.csv", overwrite=True)
        table = read_csv(tmp_path / "m.csv", keep_default_na=False)
        assert table["annotations"].tolist() == [said, ""]
