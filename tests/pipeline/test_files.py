"""Settings files, label images and folders of results as users have them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from imganalysis.cli import _settings
from imganalysis.errors import LabelsError, SettingsError
from imganalysis.methods import GivenLabels
from imganalysis.opening import open_study
from imganalysis.reading import check_given, given_nuclei, inputs_of
from imganalysis.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from imganalysis.study import Study


def test_a_group_without_values_has_its_defaults(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("reading:\nsegmentation:\nsummary:\n")
    chosen = _settings({"axes": "CYX"}, file=file, segmentation={"sensitivity": 0.7})
    assert (chosen.reading.axes, chosen.segmentation.sensitivity) == ("CYX", 0.7)
    assert _settings({"axes": None}, file=file).segmentation.sensitivity == 0.5
    nuclei = tmp_path / "nuclei.tif"
    nuclei.touch()
    given = _settings({}, file=file, nuclei=str(nuclei))
    assert given.segmentation.path == str(nuclei)


def test_an_option_that_the_method_of_the_file_lacks_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("segmentation:\n  method: cellpose\n")
    chosen = _settings({}, file=file, segmentation={"device": "cuda"})
    assert chosen.segmentation.device == "cuda"
    with pytest.raises(SettingsError, match="method cellpose takes no --sensitivity"):
        _settings({}, file=file, segmentation={"sensitivity": 0.5})
    with pytest.raises(SettingsError, match="method network takes no --device"):
        _settings({}, segmentation={"device": "cuda"})


@pytest.mark.parametrize("group", ["reading", "segmentation", "summary"])
@pytest.mark.parametrize("value", ["CYX", "[1, 2]", "3"])
def test_a_group_that_holds_no_names_is_refused(tmp_path: Path, group: str, value: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(f"{group}: {value}\n")
    with pytest.raises(SettingsError, match=f"{group}: expected names and values"):
        _settings({"axes": "CYX"}, file=file, segmentation={"sensitivity": 0.7})


def test_an_unknown_group_is_refused_though_empty(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("raeding:\n")
    with pytest.raises(SettingsError, match="raeding"):
        _settings({}, file=file)


def study_of(root: Path, *names: str) -> Study:
    """Make a study of small images."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(root / name, np.zeros((4, 5), np.uint8), photometric="minisblack")
    return open_study(root, panels=["apoptosis"])


def labels_in(folder: Path, *names: str) -> Settings:
    """Write label images, each filled with its number from 1, and name them in settings."""
    folder.mkdir()
    for number, name in enumerate(names, start=1):
        pixels = np.full((4, 5), number, np.uint8)
        tifffile.imwrite(folder / name, pixels, photometric="minisblack")
    return Settings(segmentation=GivenLabels(path=str(folder)))


def used(study: Study, settings: Settings) -> dict[str, int]:
    """Which label image each field gets."""
    check_given(study, settings)
    found = {}
    for field in study.fields:
        nuclei = given_nuclei(field, settings)
        assert nuclei is not None
        found[field.name] = int(nuclei[0, 0])
    return found


def test_dots_in_names_part_no_names(tmp_path: Path) -> None:
    study = study_of(tmp_path / "s", "P01/scan.1.tif", "P01/scan.2.tif", "P01/a.b.OME.TIF")
    settings = labels_in(tmp_path / "n", "scan.1.tif", "scan.2.ome.tif", "P01_a.b.tiff")
    found = used(study, settings)
    assert found == {"P01_a.b": 3, "P01_scan.1": 1, "P01_scan.2": 2}


def test_a_longer_name_is_not_the_fields(tmp_path: Path) -> None:
    study = study_of(tmp_path / "s", "P01/a.tif", "P01/b.tif")
    settings = labels_in(tmp_path / "n", "P01_a.b.ome.tif", "P01_b.tif", "P01_a.png")
    check_given(study, settings)
    with pytest.raises(LabelsError, match="found none") as caught:
        given_nuclei(study.fields[0], settings)
    assert caught.value.reason == "no_labels"


def test_files_of_one_name_need_labels_named_like_fields(tmp_path: Path) -> None:
    study = study_of(tmp_path / "s", "P01/1.tif", "P02/1.tif")
    assert used(study, labels_in(tmp_path / "n", "P01_1.tif", "P02_1.tif")) == {
        "P01_1": 1,
        "P02_1": 2,
    }
    for number, names in enumerate((("1.tif",), ("P01_1.tif", "1.tif"))):
        with pytest.raises(LabelsError, match="2 fields are of files named '1'"):
            check_given(study, labels_in(tmp_path / f"n{number}", *names))


def test_labels_of_several_series_bear_their_numbers(tmp_path: Path) -> None:
    study = study_of(tmp_path / "s", "P01/1.tif", "P01/2.tif")
    one, other = (
        dataclasses.replace(study.fields[0], name=f"P01_1_s{series}", series=series, tile=tile)
        for series, tile in ((0, None), (3, 2))
    )
    study = dataclasses.replace(study, fields=(one, other))
    found = used(study, labels_in(tmp_path / "n", "1-series0.tif", "1-series3-tile2.tif"))
    assert found == {"P01_1_s0": 1, "P01_1_s3": 2}


def test_a_label_image_serves_one_field(tmp_path: Path) -> None:
    study = study_of(tmp_path / "s", "P01/1.tif", "P02/P01_1.tif")
    with pytest.raises(LabelsError, match="named like the field P01_1 and like the file"):
        check_given(study, labels_in(tmp_path / "n", "P01_1.tif"))


def test_two_label_images_of_one_field(tmp_path: Path) -> None:
    study = study_of(tmp_path / "s", "P01/1.tif")
    settings = labels_in(tmp_path / "n", "1.tif", "1.ome.tif")
    for check in (
        lambda: check_given(study, settings),
        lambda: given_nuclei(study.fields[0], settings),
    ):
        with pytest.raises(LabelsError, match=r"1.ome.tif and 1.tif are both .* keep one"):
            check()


def test_one_label_image_is_for_one_field(tmp_path: Path) -> None:
    labels_in(tmp_path / "n", "l.tif")
    settings = Settings(segmentation=GivenLabels(path=str(tmp_path / "n" / "l.tif")))
    assert used(study_of(tmp_path / "s", "P01/1.tif"), settings) == {"P01_1": 1}
    with pytest.raises(LabelsError, match="one label image, but the study has 2 fields"):
        check_given(study_of(tmp_path / "s", "P01/1.tif", "P01/2.tif"), settings)
    check_given(study_of(tmp_path / "s"), Settings())


def test_labels_that_are_not_there(tmp_path: Path) -> None:
    study = study_of(tmp_path / "s", "P01/1.tif")
    with pytest.raises(LabelsError, match="no label image of any field"):
        check_given(study, labels_in(tmp_path / "n", "other.tif"))
    with pytest.raises(LabelsError, match="no such"):
        check_given(study, Settings(segmentation=GivenLabels(path=str(tmp_path / "x"))))


def test_what_a_run_reads(tmp_path: Path) -> None:
    study = study_of(tmp_path / "s", "P01/1.tif")
    assert inputs_of(study, Settings()) == [tmp_path / "s" / "P01" / "1.tif"]
    settings = labels_in(tmp_path / "n", "1.tif")
    assert inputs_of(study, settings)[-1] == tmp_path / "n"
