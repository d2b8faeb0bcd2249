"""Pixel sizes: believed with evidence, else unknown with what was found in the note."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from imganalysis.errors import SettingsError
from imganalysis.io import list_series, read_stack
from imganalysis.io._pixelsize import believe, um_per
from imganalysis.stack import PixelSize

if TYPE_CHECKING:
    from pathlib import Path

PLANE = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)


def _size(path: Path, data: np.ndarray = PLANE, **options: Any) -> PixelSize:
    tifffile.imwrite(path, data, photometric="minisblack", **options)
    (series,) = list_series(path)
    assert read_stack(path).pixel_size == series.pixel_size
    return series.pixel_size


def test_centimetres_are_a_calibration(tmp_path: Path) -> None:
    size = _size(tmp_path / "a.tif", resolution=(20000, 40000), resolutionunit="CENTIMETER")
    assert size.as_tuple() == (None, pytest.approx(0.25), pytest.approx(0.5))
    assert (size.origin, size.note, size.known) == ("metadata", "", True)


@pytest.mark.parametrize("value", [1, 2, 0.5])
def test_resolution_without_a_unit_is_not(tmp_path: Path, value: float) -> None:
    size = _size(tmp_path / "a.tif", resolution=(value, value), resolutionunit="NONE")
    assert size.as_tuple() == (None, None, None)
    assert size.origin == "unknown"
    assert f"pixel size {1 / value:g} x {1 / value:g} found without a unit" in size.note


@pytest.mark.parametrize("dpi", [72, 96, 300, 2400])
def test_a_printers_resolution_is_not(tmp_path: Path, dpi: int) -> None:
    size = _size(tmp_path / "a.tif", resolution=(dpi, dpi), resolutionunit="INCH")
    assert size.as_tuple() == (None, None, None)
    assert f"{dpi} dots per inch found, a printer's resolution" in size.note


def test_inches_of_a_microscope_are(tmp_path: Path) -> None:
    size = _size(tmp_path / "a.tif", resolution=(50800, 50800), resolutionunit="INCH")
    assert size.as_tuple() == (None, pytest.approx(0.5), pytest.approx(0.5))


@pytest.mark.parametrize("per_cm", [10_000_000, 100])
def test_what_no_microscope_has_is_shown(tmp_path: Path, per_cm: int) -> None:
    size = _size(tmp_path / "a.tif", resolution=(per_cm, per_cm), resolutionunit="CENTIMETER")
    assert size.as_tuple() == (None, None, None)
    assert f"{10_000 / per_cm:g} x {10_000 / per_cm:g} um found in the file" in size.note
    assert "outside 0.01 to 20 um" in size.note


def test_no_tags_no_note(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PLANE, metadata=None, photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags["XResolution"].overwrite((0, 1))
    assert list_series(path)[0].pixel_size == PixelSize()


@pytest.mark.parametrize(
    ("unit", "um"),
    [("micron", 1), ("\\u00B5m", 1), ("um", 1), ("nm", 1e-3), ("mm", 1e3), ("cm", 1e4)],
)
def test_imagej_units(tmp_path: Path, unit: str, um: float) -> None:
    stack = np.zeros((3, 20, 30), dtype=np.uint16)
    size = _size(
        tmp_path / "a.tif",
        stack,
        imagej=True,
        resolution=(um / 0.25, um / 0.5),
        metadata={"unit": unit, "spacing": 2 / um, "axes": "ZYX"},
    )
    assert size.as_tuple() == pytest.approx((2.0, 0.5, 0.25))


def test_imagej_one_micron_is_believed_with_its_unit(tmp_path: Path) -> None:
    size = _size(tmp_path / "a.tif", imagej=True, resolution=(1, 1), metadata={"unit": "micron"})
    assert size.as_tuple() == (None, 1.0, 1.0)


@pytest.mark.parametrize("unit", ["pixel", "px", "furlong"])
def test_imagej_units_that_are_no_length(tmp_path: Path, unit: str) -> None:
    size = _size(tmp_path / "a.tif", imagej=True, resolution=(2, 2), metadata={"unit": unit})
    assert size.as_tuple() == (None, None, None)
    assert f"0.5 x 0.5 found in '{unit}', which is no length" in size.note


def test_imagej_negative_spacing_is_a_direction(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    stack = np.zeros((3, 20, 30), dtype=np.uint16)
    metadata = {"unit": "um", "spacing": -0.7, "axes": "ZYX"}
    size = _size(path, stack, imagej=True, resolution=(4, 4), metadata=metadata)
    assert size.as_tuple() == pytest.approx((0.7, 0.25, 0.25))
    assert "z_descending" in read_stack(path).flags


def test_imagej_without_spacing_has_no_step(tmp_path: Path) -> None:
    stack = np.zeros((3, 20, 30), dtype=np.uint16)
    metadata = {"unit": "um", "axes": "ZYX"}
    size = _size(tmp_path / "a.tif", stack, imagej=True, resolution=(4, 4), metadata=metadata)
    assert size.as_tuple() == (None, 0.25, 0.25)


# believe


def test_a_single_plane_has_no_step() -> None:
    assert believe(0.5, 0.2, 0.2, planes=1)[0].z is None
    assert believe(0.5, 0.2, 0.2, planes=2)[0].z == 0.5


def test_a_fault_in_the_plane_takes_the_step_along() -> None:
    size, _ = believe(0.5, 0.001, 0.001, planes=5)
    assert size.as_tuple() == (None, None, None)
    size, flags = believe(-900.0, 0.2, 0.2, planes=5)
    assert size.as_tuple() == (None, 0.2, 0.2)
    assert size.origin == "metadata"
    assert "step between planes 900 um found in the file, not believed" in size.note
    assert flags == ("z_descending",)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.2])
def test_impossible_numbers(value: float) -> None:
    size, _ = believe(None, value, 0.2, planes=1)
    assert (size.known, size.origin) == (False, "unknown")
    assert "not believed" in size.note


def test_units_that_are_not_known() -> None:
    assert um_per("µm") == um_per("μm") == 1
    assert um_per(None) is um_per("") is um_per("reference frame") is None


# given by the user


def test_the_users_size_wins_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PLANE, resolution=(20000, 20000), resolutionunit="CENTIMETER")
    given = PixelSize(1.5, 0.3, 0.3)
    found = read_stack(path, pixel_size=given).pixel_size
    assert found == PixelSize(1.5, 0.3, 0.3, origin="user", note=found.note)
    assert found.note == "the file says y 0.5, x 0.5 um"
    same = read_stack(path, pixel_size=PixelSize(None, 0.5, 0.5)).pixel_size
    assert (same.origin, same.note) == ("user", "")


def test_a_size_given_for_the_plane_leaves_the_files_step(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    metadata = {"unit": "um", "spacing": 0.7, "axes": "ZYX"}
    stack = np.zeros((3, 20, 30), dtype=np.uint16)
    tifffile.imwrite(path, stack, imagej=True, resolution=(4, 4), metadata=metadata)
    found = read_stack(path, pixel_size=PixelSize(None, 0.2, 0.2)).pixel_size
    assert found.as_tuple() == (pytest.approx(0.7), 0.2, 0.2)
    assert found.origin == "user"
    assert found.note == "the file says z 0.7, y 0.25, x 0.25 um; z is the file's"
    whole = read_stack(path, pixel_size=PixelSize(0.5, 0.2, 0.2)).pixel_size
    assert whole.as_tuple() == (0.5, 0.2, 0.2)
    assert whole.note == "the file says z 0.7, y 0.25, x 0.25 um"


@pytest.mark.parametrize("bad", [0.0, -0.5, 500.0, float("nan")])
def test_the_users_size_is_checked(tmp_path: Path, bad: float) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PLANE)
    with pytest.raises(
        SettingsError, match=r"expected each from 0\.01 to 20 um. Give Z,Y,X or Y,X"
    ):
        read_stack(path, pixel_size=PixelSize(None, 0.5, bad))
