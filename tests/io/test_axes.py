"""Axes of a TIFF: named by the file, or settled by the user, or guessed and flagged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from imganalysis.errors import NotAFieldError, QualitativeImageError, SettingsError
from imganalysis.io import list_series, read_stack

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(2)


def _write(path: Path, shape: tuple[int, ...], **options: Any) -> np.ndarray:
    data = RNG.integers(0, 4000, shape, dtype=np.uint16)
    tifffile.imwrite(path, data, **{"photometric": "minisblack", **options})
    return data


@pytest.mark.parametrize(
    ("shape", "guess", "read"),
    [
        ((5, 20, 30), "ZYX", (1, 5, 20, 30)),
        ((2, 5, 20, 30), "CZYX", (2, 5, 20, 30)),
        ((6, 2, 5, 20, 30), "TCZYX", (2, 5, 20, 30)),
    ],
)
def test_unnamed_axes(
    tmp_path: Path, shape: tuple[int, ...], guess: str, read: tuple[int, ...]
) -> None:
    data = _write(tmp_path / "a.tif", shape)
    (series,) = list_series(tmp_path / "a.tif")
    assert (series.axes, series.flags) == (guess, ("axes_guessed",))
    stack = read_stack(tmp_path / "a.tif")
    assert stack.shape == read
    np.testing.assert_array_equal(
        stack.numpy(), (data[0] if guess[0] == "T" else data).reshape(read)
    )


@pytest.mark.parametrize("axes", ["ZCYX", "CZYX", "TCYX", "CTYX"])
def test_axes_that_are_given(tmp_path: Path, axes: str) -> None:
    data = _write(tmp_path / "a.tif", (2, 5, 20, 30))
    stack = read_stack(tmp_path / "a.tif", axes=axes)
    if "T" in axes:
        data = np.take(data, 0, axis=axes.index("T"))[:, np.newaxis]
        assert stack.flags == ("time_series",)
    elif axes == "ZCYX":
        data = data.swapaxes(0, 1)
    np.testing.assert_array_equal(stack.numpy(), data)


@pytest.mark.parametrize("axes", ["CXY", "CCYX", "QYX", "YXC", "5YX", "CSYX"])
def test_axes_that_are_none(tmp_path: Path, axes: str) -> None:
    _write(tmp_path / "a.tif", (5, 20, 30))
    with pytest.raises(SettingsError, match="expected letters of TCZYX, each once, with YX last"):
        read_stack(tmp_path / "a.tif", axes=axes)


def test_imagej_slices_that_are_channels(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    data = _write(path, (5, 20, 30), imagej=True, metadata={"axes": "ZYX"})
    assert list_series(path)[0].axes == "ZYX"
    np.testing.assert_array_equal(read_stack(path, axes="CYX").numpy()[:, 0], data)


def test_channels_that_the_file_names_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    data = _write(path, (4, 2, 20, 30), ome=True, metadata={"axes": "ZCYX"})
    stack = read_stack(path, axes="CZYX")
    assert stack.flags == ("axes_ignored",)
    np.testing.assert_array_equal(stack.numpy(), data.swapaxes(0, 1))


def test_axes_do_not_touch_a_single_plane(tmp_path: Path) -> None:
    _write(tmp_path / "a.tif", (20, 30))
    assert read_stack(tmp_path / "a.tif", axes="CYX").shape == (1, 1, 20, 30)


def test_axes_that_no_stack_has(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    _write(path, (3, 2, 20, 30), ome=True, metadata={"axes": "ACYX"})
    series = list_series(path)[0]
    assert series.not_a_field == "axis_A"
    with pytest.raises(NotAFieldError, match="no field of view in X and Y"):
        read_stack(path)


# Colour


def test_planes_of_colour_are_rgb_until_axes_are_given(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    data = _write(path, (3, 20, 30), photometric="rgb", planarconfig="separate")
    (series,) = list_series(path)
    assert (series.axes, series.flags) == ("SYX", ("rgb",))
    with pytest.raises(QualitativeImageError):
        read_stack(path)
    stack = read_stack(path, axes="CYX")
    assert stack.flags == ()
    assert stack.channels == ("channel 0", "channel 1", "channel 2")
    np.testing.assert_array_equal(stack.numpy()[:, 0], data)


def test_samples_of_colour_stay_colour(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    data = _write(path, (20, 30, 4), photometric="rgb", extrasamples=["unassalpha"])
    with pytest.raises(QualitativeImageError, match="shows colours"):
        read_stack(path, axes="CYX")
    stack = read_stack(path, allow_rgb=True)
    assert stack.channels == ("red", "green", "blue", "alpha")
    np.testing.assert_array_equal(stack.numpy()[:, 0], np.moveaxis(data, -1, 0))


@pytest.mark.parametrize("n", [3, 5])
def test_samples_of_a_grey_image_are_channels(tmp_path: Path, n: int) -> None:
    path = tmp_path / "a.tif"
    data = _write(path, (20, 30, n), planarconfig="contig")
    (series,) = list_series(path)
    assert (series.axes, series.flags, len(series.channels)) == ("YXS", (), n)
    np.testing.assert_array_equal(read_stack(path).numpy()[:, 0], np.moveaxis(data, -1, 0))


def test_a_colour_picture_after_a_grey_image_is_a_thumbnail(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(np.zeros((4, 60, 80), np.uint16), photometric="minisblack", metadata=None)
        tif.write(np.zeros((15, 20, 3), np.uint8), photometric="rgb", metadata=None)
        tif.write(np.zeros((30, 40), np.uint16), subfiletype=1, metadata=None)
        tif.write(np.zeros((33, 44), np.uint16), metadata=None)
    assert [s.not_a_field for s in list_series(path)] == ["", "thumbnail", "thumbnail", ""]


# Names of channels


def test_page_names_name_channels(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        for name in ("nuclei", "membrane"):
            tag = (285, "s", 0, name, True)
            tif.write(np.zeros((20, 30), np.uint16), metadata=None, extratags=[tag])
    assert list_series(path, axes="CYX")[0].channels == ("nuclei", "membrane")


def test_labels_of_imagej_slices_name_channels(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    metadata = {"axes": "CYX", "Labels": ["nuclei", "membrane"]}
    _write(path, (2, 20, 30), imagej=True, metadata=metadata)
    assert list_series(path)[0].channels == ("nuclei", "membrane")


def test_big_endian_pixels_come_in_native_order(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    data = _write(path, (2, 20, 30), imagej=True, byteorder=">", metadata={"axes": "CYX"})
    stack = read_stack(path)
    assert stack.dtype.isnative
    assert stack.numpy().dtype.isnative
    np.testing.assert_array_equal(stack.numpy()[:, 0], data)


def test_no_such_series(tmp_path: Path) -> None:
    _write(tmp_path / "a.tif", (20, 30))
    with pytest.raises(SettingsError, match=r"series 1 asked for, it has 1 \(from 0\)"):
        read_stack(tmp_path / "a.tif", 1)
    with pytest.raises(SettingsError, match="tile 0 asked for, but the series is no tile scan"):
        read_stack(tmp_path / "a.tif", tile=0)
    with pytest.raises(SettingsError, match="series -1 asked for"):
        read_stack(tmp_path / "a.tif", -1)
