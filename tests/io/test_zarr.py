"""OME-Zarr folders, written by hand: versions 0.4 and 0.5."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from imganalysis.errors import UnreadableImageError
from imganalysis.io import file_hash, list_series, read_stack
from imganalysis.io._backend import choose_backend

if TYPE_CHECKING:
    from pathlib import Path

DATA = np.arange(2 * 2 * 3 * 6 * 8, dtype="<u2").reshape(2, 2, 3, 6, 8)
AXES = "tczyx"
TYPES = {"t": "time", "c": "channel"}


def _attributes(unit: str | None, scale: tuple[float, ...], axes: str = AXES) -> dict[str, Any]:
    named = [{"name": a, "type": TYPES.get(a, "space")} for a in axes]
    for axis in named:
        if unit and axis["type"] == "space":
            axis["unit"] = unit
    dataset = {
        "path": "0",
        "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0, *scale]}],
    }
    return {
        "multiscales": [{"version": "0.4", "name": "fld", "axes": named, "datasets": [dataset]}],
        "omero": {"channels": [{"label": "nuclei"}, {"label": "membrane"}]},
    }


def _version_2(path: Path, attributes: dict[str, Any], separator: str = "/") -> Path:
    (path / "0").mkdir(parents=True)
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text(json.dumps(attributes))
    array = {
        "zarr_format": 2, "shape": DATA.shape, "chunks": (1, 1, 3, 6, 8), "dtype": "<u2",
        "compressor": None, "fill_value": 0, "order": "C", "filters": None,
        "dimension_separator": separator,
    }  # fmt: skip
    (path / "0/.zarray").write_text(json.dumps(array))
    for t in range(2):
        for c in range(2):
            chunk = path / "0" / separator.join(map(str, (t, c, 0, 0, 0)))
            chunk.parent.mkdir(parents=True, exist_ok=True)
            chunk.write_bytes(DATA[t, c].tobytes())
    return path


def _version_3(path: Path, attributes: dict[str, Any]) -> Path:
    (path / "0").mkdir(parents=True)
    group = {"zarr_format": 3, "node_type": "group",
             "attributes": {"ome": {"version": "0.5", **attributes}}}  # fmt: skip
    (path / "zarr.json").write_text(json.dumps(group))
    array = {
        "zarr_format": 3, "node_type": "array", "shape": DATA.shape, "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": (1, 1, 3, 6, 8)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0, "attributes": {},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    }  # fmt: skip
    (path / "0/zarr.json").write_text(json.dumps(array))
    for t in range(2):
        for c in range(2):
            chunk = path / f"0/c/{t}/{c}/0/0/0"
            chunk.parent.mkdir(parents=True)
            chunk.write_bytes(DATA[t, c].tobytes())
    return path


@pytest.fixture(params=[_version_2, _version_3], ids=["0.4", "0.5"])
def make(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    if request.param is _version_3 and choose_backend() == "aicsimageio":
        pytest.skip("aicsimageio is held to zarr 2, which knows no OME-Zarr 0.5")
    return request.param


def test_pixels_names_and_sizes(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = make(tmp_path / "Bïopsie 1.ome.zarr", _attributes("micrometer", (1.5, 0.25, 0.2)))
    (series,) = list_series(path)
    assert (series.axes, series.shape, series.name) == ("TCZYX", DATA.shape, "fld")
    assert series.channels == ("nuclei", "membrane")
    assert series.pixel_size.as_tuple() == (1.5, 0.25, 0.2)
    stack = read_stack(path, time=1)
    assert (stack.time, stack.flags) == (1, ("time_series",))
    np.testing.assert_array_equal(stack.numpy(), DATA[1])
    assert len(file_hash(path)) == 64


def test_other_units_and_both_scales(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    attributes = _attributes("nanometer", (1500.0, 125.0, 100.0))
    attributes["multiscales"][0]["coordinateTransformations"] = [
        {"type": "scale", "scale": [1.0, 1.0, 1.0, 2.0, 2.0]}
    ]
    (series,) = list_series(make(tmp_path / "a.zarr", attributes))
    assert series.pixel_size.as_tuple() == pytest.approx((1.5, 0.25, 0.2))


@pytest.mark.parametrize("value", [1.0, 0.3])
def test_a_scale_without_a_unit(tmp_path: Path, value: float) -> None:
    path = _version_2(tmp_path / "a.zarr", _attributes(None, (value, value, value)))
    size = read_stack(path).pixel_size
    assert size.as_tuple() == (None, None, None)
    assert size.note == f"pixel size {value:g} x {value:g} found without a unit, not believed"


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        ({}, "found no image"),
        ({"plate": {}}, "found a plate or several images"),
        ({"bioformats2raw.layout": 3}, "found a plate or several images"),
        ({"multiscales": []}, "found no image"),
    ],
)
def test_folders_that_hold_no_one_image(
    tmp_path: Path, attributes: dict[str, Any], found: str
) -> None:
    path = _version_2(tmp_path / "a.zarr", attributes)
    with pytest.raises(UnreadableImageError, match=f"{found}.*Name the folder of one image"):
        list_series(path)


@pytest.mark.parametrize("part", ["../../secret", "/etc", "a\\b"])
def test_pixels_outside_the_folder_are_refused(tmp_path: Path, part: str) -> None:
    attributes = _attributes("micrometer", (1, 1, 1))
    attributes["multiscales"][0]["datasets"][0]["path"] = part
    path = _version_2(tmp_path / "a.zarr", attributes)
    with pytest.raises(UnreadableImageError, match="name pixels outside the folder"):
        list_series(path)


@pytest.mark.parametrize("text", ["{", '{"multiscales": [{}]}', '{"multiscales": [3]}'])
def test_damaged_attributes(tmp_path: Path, text: str) -> None:
    path = _version_2(tmp_path / "a.zarr", {})
    (path / ".zattrs").write_text(text)
    with pytest.raises(UnreadableImageError, match="expected a OME-Zarr image, but it cannot be"):
        list_series(path)


def test_a_missing_array(tmp_path: Path) -> None:
    path = _version_2(tmp_path / "a.zarr", _attributes("micrometer", (1, 1, 1)))
    (path / "0/.zarray").unlink()
    with pytest.raises(UnreadableImageError, match="cannot be read"):
        list_series(path)


def test_chunks_named_with_dots(tmp_path: Path) -> None:
    path = _version_2(tmp_path / "a.zarr", _attributes("micrometer", (1, 1, 1)), separator=".")
    if choose_backend() == "aicsimageio":
        with pytest.raises(UnreadableImageError, match="read them as black"):
            read_stack(path)
    else:
        np.testing.assert_array_equal(read_stack(path).numpy(), DATA[0])
