"""OME-XML: units, made-up sizes, several images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from imganalysis.io import list_series, read_stack

if TYPE_CHECKING:
    from pathlib import Path

DATA = np.arange(2 * 3 * 20 * 30, dtype=np.uint16).reshape(2, 3, 20, 30)


def _ome(path: Path, attributes: str) -> Any:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0" Name="one"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
        f'Type="uint16" SizeX="30" SizeY="20" SizeZ="3" SizeC="2" SizeT="1" {attributes}>'
        '<Channel ID="Channel:0:0" Name="n" SamplesPerPixel="1"/>'
        '<Channel ID="Channel:0:1" Fluor="dye" SamplesPerPixel="1"/>'
        '<TiffData IFD="0" PlaneCount="6"/></Pixels></Image></OME>'
    )
    tifffile.imwrite(
        path, DATA, photometric="minisblack", metadata=None, description=text.encode("utf-8")
    )
    (series,) = list_series(path)
    assert series.axes == "CZYX"
    assert series.channels == ("n", "dye")
    np.testing.assert_array_equal(read_stack(path).numpy(), DATA)
    return series


def _size(z: str, y: str, x: str, unit: str | None = None) -> str:
    text = f'PhysicalSizeZ="{z}" PhysicalSizeY="{y}" PhysicalSizeX="{x}" '
    if unit is not None:
        text += " ".join(f'PhysicalSize{axis}Unit="{unit}"' for axis in "ZYX")
    return text


@pytest.mark.parametrize(
    ("unit", "z", "xy"),
    [(None, "1.5", "0.2"), ("µm", "1.5", "0.2"), ("nm", "1500", "200"), ("mm", "0.0015", "0.0002")],
)
def test_units(tmp_path: Path, unit: str | None, z: str, xy: str) -> None:
    series = _ome(tmp_path / "a.ome.tif", _size(z, xy, xy, unit))
    assert series.pixel_size.as_tuple() == pytest.approx((1.5, 0.2, 0.2))
    assert (series.pixel_size.origin, series.flags) == ("metadata", ())


@pytest.mark.parametrize("unit", ["pixel", "reference frame"])
def test_units_that_are_no_length(tmp_path: Path, unit: str) -> None:
    series = _ome(tmp_path / "a.ome.tif", _size("1.5", "0.2", "0.2", unit))
    assert series.pixel_size.as_tuple() == (None, None, None)
    assert f"physical size X 0.2 found in '{unit}'" in series.pixel_size.note


def test_a_made_up_one(tmp_path: Path) -> None:
    series = _ome(tmp_path / "a.ome.tif", _size("1.0", "1.0", "1.0"))
    assert series.pixel_size.as_tuple() == (None, None, None)
    assert series.pixel_size.note == "pixel size 1.0 x 1.0 found without a unit, not believed"
    series = _ome(tmp_path / "b.ome.tif", _size("1.0", "1.0", "1.0", "µm"))
    assert series.pixel_size.as_tuple() == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(("value", "shown"), [("0.001", "0.001 x 0.001"), ("4000", "4000 x 4000")])
def test_nonsense_is_shown(tmp_path: Path, value: str, shown: str) -> None:
    series = _ome(tmp_path / "a.ome.tif", _size("1", value, value, "µm"))
    assert series.pixel_size.as_tuple() == (None, None, None)
    assert f"{shown} um found in the file, not believed" in series.pixel_size.note


def test_no_number(tmp_path: Path) -> None:
    series = _ome(tmp_path / "a.ome.tif", _size("1", "wide", "0.2", "µm"))
    assert not series.pixel_size.known
    assert "physical size Y is no number: 'wide'" in series.pixel_size.note


def test_a_negative_step(tmp_path: Path) -> None:
    series = _ome(tmp_path / "a.ome.tif", _size("-1.5", "0.2", "0.2", "µm"))
    assert series.pixel_size.z == 1.5
    assert series.flags == ("z_descending",)


def test_several_images_keep_their_own_sizes(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        for i, shape in enumerate([(2, 20, 30), (3, 40, 50)]):
            metadata = {"axes": "CYX", "Name": f"field {i}", "PhysicalSizeX": 0.1 + i,
                        "PhysicalSizeY": 0.1 + i, "PhysicalSizeXUnit": "µm",
                        "PhysicalSizeYUnit": "µm"}  # fmt: skip
            data = np.full(shape, i, np.uint8)
            tif.write(data, photometric="minisblack", metadata=metadata)
    first, second = list_series(path)
    assert (first.name, second.name) == ("field 0", "field 1")
    assert (first.pixel_size.x, second.pixel_size.x) == (0.1, 1.1)
    stack = read_stack(path, 1)
    assert (stack.shape, stack.scene) == ((3, 1, 40, 50), "field 1")
    assert stack.numpy().min() == 1
