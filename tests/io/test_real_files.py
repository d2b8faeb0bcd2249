"""The real files: each oddity of a reader or a microscope is met by its own test."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from imganalysis.errors import NotAFieldError, QualitativeImageError, SettingsError
from imganalysis.io import describe, list_series, read_stack
from imganalysis.io._backend import choose_backend
from imganalysis.stack import PixelSize

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.realdata

needs_bioio = pytest.mark.skipif(
    choose_backend() == "aicsimageio",
    reason="readlif takes tiles and time points in the wrong order: refused, see test_backend.py",
)


# Leica


def test_negative_z_step_counts_and_its_direction_is_kept(testdata: Path) -> None:
    path = testdata / "formats/lif/PR2729_frameOrderCombinedScanTypes.lif"
    for series in list_series(path):
        # Length of the file's DimensionDescriptions over N - 1 steps
        assert series.pixel_size.as_tuple() == pytest.approx((12.45523 / 2, 250 / 63, 250 / 63))
        assert "z_descending" in series.flags


@needs_bioio
def test_lif_tiles_hold_the_bytes_of_the_file(testdata: Path, tmp_path: Path) -> None:
    original = testdata / "formats/lif/PR2729_frameOrderCombinedScanTypes.lif"
    # The file's BytesInc: X 1, Y 64, C 4096, Z 8192, M 24576, T 98304; the last block is the
    # image. Its planes repeat, so the copy gets a number of its own in each.
    content = np.fromfile(original, dtype=np.uint8)
    raw = content[-2 * 98304 :].reshape(2, 4, 3, 2, 64, 64)
    raw[...] = (raw // 64) + 2 * np.arange(48, dtype=np.uint8).reshape(2, 4, 3, 2, 1, 1)
    path = tmp_path / "numbered.lif"
    content.tofile(path)
    for time in range(2):
        for tile in range(4):
            stack = read_stack(path, tile=tile, time=time)
            assert stack.shape == (2, 3, 64, 64)
            np.testing.assert_array_equal(stack.numpy(), raw[time, tile].swapaxes(0, 1))
            assert stack.pixel_size.z == pytest.approx(6.227615)
            assert stack.flags == ("z_descending", "time_series")
            assert stack.scene == f"TileScan_001 tile {tile}"


def test_lif_overlap_is_counted_once(testdata: Path) -> None:
    path = testdata / "formats/lif/PR2729_frameOrderCombinedScanTypes.lif"
    tiles = list_series(path)
    assert [s.tile for s in tiles] == [0, 1, 2, 3]
    assert all(s.index == 0 and s.axes == "TZCYX" for s in tiles)
    assert not any("overlap_unknown" in s.flags for s in tiles)
    # Stage positions of the file, in um; tiles 1 and 3 lie below, 2 and 3 to the right.
    corners = [(153.59375, 53.59375), (286.40625, 53.59375), (153.59375, 186.40625),
               (286.40625, 186.40625)]  # fmt: skip
    seen: dict[tuple[int, int], int] = {}
    for series, (y, x) in zip(tiles, corners, strict=True):
        assert series.counted is not None
        y0, y1, x0, x1 = series.counted
        top, left = round(y / (250 / 63)), round(x / (250 / 63))
        for row in range(top + y0, top + y1):
            for column in range(left + x0, left + x1):
                seen[row, column] = seen.get((row, column), 0) + 1
    assert set(seen.values()) == {1}
    side = 64 + round(286.40625 / (250 / 63)) - round(153.59375 / (250 / 63))
    assert len(seen) == side * (64 + round(186.40625 / (250 / 63)) - round(53.59375 / (250 / 63)))
    if choose_backend() == "bioio":
        assert read_stack(path, tile=3).counted == tiles[3].counted


def test_lif_tile_must_be_named(testdata: Path) -> None:
    path = testdata / "formats/lif/PR2729_frameOrderCombinedScanTypes.lif"
    with pytest.raises(
        SettingsError, match=r"no tile asked for of a tile scan; its tiles are 0, 1"
    ):
        read_stack(path)
    with pytest.raises(SettingsError, match="tile 4 asked for of a tile scan"):
        read_stack(path, tile=4)
    with pytest.raises(SettingsError, match=r"time point 2 asked for, it has 2 \(from 0\)"):
        read_stack(path, tile=0, time=2)


@pytest.mark.parametrize(
    ("index", "word", "axes", "times"),
    [(0, "scan_xzt", "TCZX", 20), (1, "scan_xzy", "YCZX", 1), (2, "scan_xz", "CZX", 1)],
)
def test_scans_that_are_no_field(
    testdata: Path, index: int, word: str, axes: str, times: int
) -> None:
    path = testdata / "formats/lif/xz-example.lif"
    series = list_series(path)[index]
    assert (series.not_a_field, series.is_field, series.axes) == (word, False, axes)
    assert series.n_times == times
    assert series.name == word.removeprefix("scan_")
    with pytest.raises(NotAFieldError, match="is no field of view in X and Y") as caught:
        read_stack(path, index)
    assert caught.value.reason == word


@pytest.mark.parametrize(("c", "t"), [(0, 0), (1, 8)])
def test_axes_listed_for_an_xz_scan_are_those_of_its_pixels(testdata: Path, c: int, t: int) -> None:
    import liffile

    folder = testdata / "formats/lif"
    series = list_series(folder / "xz-example.lif")[0]
    with liffile.LifFile(folder / "xz-example.lif") as lif:
        pixels = lif.images[0].asarray()
    assert pixels.shape == series.shape
    place = {"T": t, "C": c}
    plane = pixels[tuple(place.get(axis, slice(None)) for axis in series.axes)]
    np.testing.assert_array_equal(plane, tifffile.imread(folder / f"expected/xz_c{c}t{t}.tif"))


# Zeiss


def test_czi_without_distance_scale_opens(testdata: Path) -> None:
    path = testdata / "formats/czi/DAPI_GFP.czi"
    (series,) = list_series(path)
    assert series.pixel_size == PixelSize(note="no distance scale in the file")
    stack = read_stack(path)
    assert stack.shape == (2, 1, 640, 640)
    assert not stack.pixel_size.known
    np.testing.assert_array_equal(stack.numpy()[:, 0], _czi(path))


def _czi(path: Path, **where: int) -> np.ndarray:
    """Pixels straight from libCZI."""
    from aicspylibczi import CziFile

    with path.open("rb") as file:
        data, _ = CziFile(file).read_image(**where)
    return data.squeeze()


def test_czi_tiles_and_their_overlap(testdata: Path) -> None:
    path = testdata / "formats/czi/tiles_z.czi"
    tiles = list_series(path)
    # Tiles at x = -127 and 127, 256 wide: 2 pixels shared; at y = -128 and 128: none
    assert [s.counted for s in tiles] == [(0, 256, 0, 255), (0, 256, 1, 256)] * 2
    assert tiles[0].pixel_size.as_tuple() == pytest.approx((4.0, 0.83026582, 0.83026582))
    for m in range(4):
        stack = read_stack(path, tile=m)
        assert stack.shape == (2, 2, 256, 256)
        np.testing.assert_array_equal(stack.numpy(), _czi(path, M=m))


def test_czi_scene_whose_tiles_start_above_zero(testdata: Path) -> None:
    path = testdata / "formats/czi/testCziFileTwoScenesTiny.czi"
    first, second = list_series(path)
    # The reader would see two tiles in the first scene, of which one is not in the file.
    assert (first.name, first.tile, second.name, second.tile) == ("TR1", None, "P1", None)
    np.testing.assert_array_equal(read_stack(path, 0).numpy()[:, 0], _czi(path, S=0, M=1))
    np.testing.assert_array_equal(read_stack(path, 1).numpy()[:, 0], _czi(path, S=1, M=0))
    assert first.pixel_size.as_tuple() == (None, pytest.approx(0.908), pytest.approx(0.908))


def test_czi_time_series(testdata: Path) -> None:
    path = testdata / "formats/czi/CellDivision_T3_Z5_CH2_X240_Y170.czi"
    (series,) = list_series(path)
    assert series.n_times == 3
    assert series.channels == ("LED555", "LED470")
    assert series.pixel_size.as_tuple() == pytest.approx((0.32, 0.0905766742, 0.0905766742))
    first, last = read_stack(path), read_stack(path, time=2)
    assert (first.time, first.flags) == (0, ("time_series",))
    assert (last.time, last.flags) == (2, ("time_series",))
    np.testing.assert_array_equal(first.numpy(), _czi(path, T=0))
    np.testing.assert_array_equal(last.numpy(), _czi(path, T=2))


# Nikon


def test_nd2(testdata: Path) -> None:
    import nd2

    path = testdata / "formats/nd2/cluster.nd2"
    (series,) = list_series(path)
    assert (series.axes, series.shape) == ("TZCYX", (3, 10, 2, 31, 38))
    assert series.pixel_size.as_tuple() == pytest.approx((0.5, 0.16780898, 0.16780898))
    stack = read_stack(path, time=1)
    assert stack.channels == ("5-FAM/pH 9.0", "FM 4-64/2% CHAPS")
    np.testing.assert_array_equal(stack.numpy(), nd2.imread(path)[1].swapaxes(0, 1))


# OME-TIFF


@pytest.mark.parametrize(
    ("name", "shape", "times"),
    [
        ("4D-series", (1, 5, 167, 439), 7),
        ("multi-channel-z-series", (3, 5, 167, 439), 1),
        ("multi-channel", (3, 1, 167, 439), 1),
        ("single-channel", (1, 1, 167, 439), 1),
    ],
)
def test_ome_tiff_of_signed_bytes(
    testdata: Path, name: str, shape: tuple[int, ...], times: int
) -> None:
    path = testdata / f"formats/ome-tiff/{name}.ome.tif"
    (series,) = list_series(path)
    assert (series.dtype, series.n_times) == ("int8", times)
    assert series.pixel_size == PixelSize()  # nothing in the file: a resolution of 0
    stack = read_stack(path, time=times - 1)
    assert (stack.shape, stack.dtype) == (shape, np.int8)
    pixels = tifffile.imread(path)
    pixels = pixels[-1] if times > 1 else pixels
    np.testing.assert_array_equal(stack.numpy(), pixels.reshape(shape))
    assert (stack.time, stack.flags) == (times - 1, ("time_series",) if times > 1 else ())


# ImageJ


@pytest.mark.parametrize(
    ("name", "shape", "zyx"),
    [
        ("xy_8bit__nuclei_intensity_clipping_issue_a", (1, 1, 149, 147), (None, None, None)),
        ("xyc_16bit__cell_dna_mts_actin", (3, 1, 350, 350), (None, 0.1324915877, 0.1324915877)),
        ("xyc_16bit__nup_nuclei", (2, 1, 420, 476), (None, None, None)),
        # No spacing in the file: the reader's 1 um, or none; the planes are 3 um apart.
        (
            "xyz_8bit__mitotic_plate_badZcalibrated",
            (1, 6, 263, 263),
            (None, 0.08519643, 0.08519643),
        ),
        ("xyz_8bit__mitotic_plate_calibrated", (1, 6, 263, 263), (3.0, 0.08519643, 0.08519643)),
        ("xyzc_16bit__dna_conf_wf", (2, 45, 130, 133), (0.4994126, 0.51187787, 0.51187787)),
    ],
)
def test_imagej(
    testdata: Path, name: str, shape: tuple[int, ...], zyx: tuple[float | None, ...]
) -> None:
    path = testdata / f"formats/imagej-tiff/{name}.tif"
    stack = read_stack(path)
    assert stack.shape == shape
    for found, expected in zip(stack.pixel_size.as_tuple(), zyx, strict=True):
        assert found == (None if expected is None else pytest.approx(expected))
    assert stack.pixel_size.origin == ("metadata" if zyx[1] else "unknown")
    pixels = tifffile.imread(path)
    if name.startswith("xyzc"):
        pixels = pixels.swapaxes(0, 1)
    np.testing.assert_array_equal(stack.numpy(), pixels.reshape(shape))


def test_pixel_size_of_a_nanometre_is_not_believed(testdata: Path) -> None:
    (series,) = list_series(testdata / "formats/imagej-tiff/xyc_8bit__cyto_nuclei.tif")
    assert series.pixel_size.as_tuple() == (None, None, None)
    assert series.pixel_size.origin == "unknown"
    assert "0.001 x 0.001 found in 'px'" in series.pixel_size.note


def test_rgb_is_refused_unless_allowed(testdata: Path) -> None:
    path = testdata / "formats/imagej-tiff/xyc_16bit__hela-cells.tif"
    (series,) = list_series(path)
    assert series.flags == ("rgb",)
    assert series.is_field
    with pytest.raises(QualitativeImageError, match=r"is an RGB image.*--allow-rgb") as caught:
        read_stack(path)
    assert caught.value.reason == "qualitative_rgb"
    stack = read_stack(path, allow_rgb=True)
    assert (stack.shape, stack.flags) == ((3, 1, 512, 672), ("rgb",))
    assert stack.channels == ("red", "green", "blue")
    np.testing.assert_array_equal(stack.numpy()[:, 0], np.moveaxis(tifffile.imread(path), -1, 0))


# Multiplex


def test_vectra_component_file(testdata: Path) -> None:
    path = testdata / "multiplex-vectra/FIHC4_2_component_data.tif"
    field, thumbnail = list_series(path)
    assert field.channels == ("Alexa 594", "Cy3", "Cy5", "DAPI", "FITC")
    assert field.pixel_size.as_tuple() == (
        None,
        pytest.approx(0.49714698),
        pytest.approx(0.49714698),
    )
    assert (field.is_field, thumbnail.not_a_field) == (True, "thumbnail")
    stack = read_stack(path)
    assert (stack.shape, stack.dtype) == ((5, 1, 260, 348), np.float32)
    np.testing.assert_array_equal(stack.numpy()[:, 0], tifffile.imread(path, series=0))
    with pytest.raises(NotAFieldError) as caught:
        read_stack(path, 1, allow_rgb=True)
    assert caught.value.reason == "thumbnail"


def test_five_channels_taken_for_planes_until_axes_are_given(testdata: Path) -> None:
    path = testdata / "multiplex-codex/input.tiff"
    (series,) = list_series(path)
    assert (series.axes, series.flags) == ("ZYX", ("axes_guessed",))
    assert series.pixel_size.as_tuple() == (None, None, None)
    assert series.pixel_size.note == "pixel size 1 x 1 found without a unit, not believed"
    assert read_stack(path).shape == (1, 5, 500, 500)
    (series,) = list_series(path, axes="CYX")
    assert (series.axes, series.flags, len(series.channels)) == ("CYX", (), 5)
    stack = read_stack(path, axes="cyx")
    assert stack.shape == (5, 1, 500, 500)
    np.testing.assert_array_equal(stack.numpy()[:, 0], tifffile.imread(path))
    with pytest.raises(SettingsError, match=r"axes CZYX are 4, the image has 3 of sizes 5 x 500"):
        read_stack(path, axes="CZYX")


def test_given_pixel_size_wins_and_the_files_is_noted(testdata: Path) -> None:
    path = testdata / "multiplex-vectra/FIHC4_2_component_data.tif"
    found = read_stack(path, pixel_size=PixelSize(None, 0.5, 0.5)).pixel_size
    assert (found.as_tuple(), found.origin) == ((None, 0.5, 0.5), "user")
    assert "0.497147" in found.note
    path = testdata / "multiplex-codex/input.tiff"
    found = read_stack(path, axes="CYX", pixel_size=PixelSize(None, 0.377, 0.377)).pixel_size
    assert (found.y, found.origin) == (0.377, "user")
    with pytest.raises(SettingsError, match=r"expected each from 0\.01 to 20 um"):
        read_stack(path, axes="CYX", pixel_size=PixelSize(None, 377.0, 377.0))


# All of them


def _images(testdata: Path) -> list[Path]:
    suffixes = (".lif", ".czi", ".nd2", ".tif", ".tiff")
    folders = ("formats", "multiplex-vectra", "multiplex-codex")
    found = [p for f in folders for p in (testdata / f).rglob("*") if p.suffix in suffixes]
    assert len(found) >= 22
    return sorted(found)


def test_every_series_is_listed_quietly_and_as_it_is_read(
    testdata: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for path in _images(testdata):
        for series in list_series(path):
            for size in series.pixel_size.as_tuple():
                assert size is None or 0.01 <= size <= 20
            if not series.is_field:
                continue
            if path.suffix == ".lif" and choose_backend() == "aicsimageio":
                continue  # refused
            stack = read_stack(path, series.index, tile=series.tile, allow_rgb=True)
            assert stack.channels == series.channels
            assert stack.pixel_size == series.pixel_size
            assert stack.numpy().dtype.name == series.dtype
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert [r.name for r in caplog.records if r.name.split(".")[0] != "asyncio"] == []


def test_describe_is_plain(testdata: Path) -> None:
    import json

    path = testdata / "formats/lif/PR2729_frameOrderCombinedScanTypes.lif"
    rows = json.loads(json.dumps(describe(path)))
    assert rows[1] == {
        "series": 0,
        "name": "TileScan_001",
        "tile": 1,
        "axes": "TZCYX",
        "shape": [2, 3, 2, 64, 64],
        "dtype": "uint8",
        "channels": ["Green", "Red"],
        "pixel_size_um": [
            pytest.approx(6.227615),
            pytest.approx(250 / 63),
            pytest.approx(250 / 63),
        ],
        "pixel_size_origin": "metadata",
        "pixel_size_note": "",
        "n_times": 2,
        "is_field": True,
        "reason": "",
        "flags": ["z_descending"],
        "counted": [15, 64, 0, 48],
    }
    (row,) = describe(testdata / "formats/lif/xz-example.lif")[:1]
    assert (row["is_field"], row["reason"], row["tile"]) == (False, "scan_xzt", None)


def test_a_stack_crosses_to_another_process_unread(testdata: Path) -> None:
    path = testdata / "formats/nd2/cluster.nd2"
    stack = read_stack(path)
    packed = pickle.dumps(stack)
    assert len(packed) < 10_000  # no pixels
    there = pickle.loads(packed)  # noqa: S301
    np.testing.assert_array_equal(there.numpy(), stack.numpy())
