"""Annotated images as others save them: PNG, and grey saved as colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from imganalysis.errors import ImageError, QualitativeImageError, UnreadableImageError
from imganalysis.io import is_png, read_grey

if TYPE_CHECKING:
    from pathlib import Path

GREY = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50)
BYTES = (GREY % 251).astype(np.uint8)


@pytest.mark.parametrize("image", [BYTES, GREY * 30], ids=["8 bits", "16 bits"])
def test_png_and_tiff_hold_the_same(tmp_path: Path, image: np.ndarray) -> None:
    Image.fromarray(image).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack")
    for name in ("a.png", "a.tif"):
        found = read_grey(tmp_path / name)
        assert found.dtype == image.dtype
        np.testing.assert_array_equal(found, image)
    assert is_png(tmp_path / "a.png") and not is_png(tmp_path / "a.tif")
    assert not is_png(tmp_path / "missing.png")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_saved_as_colour(tmp_path: Path, mode: str) -> None:
    Image.fromarray(BYTES).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_grey(tmp_path / "a.png"), BYTES)


def test_grey_saved_as_colour_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([BYTES] * 3, -1), photometric="rgb")
    np.testing.assert_array_equal(read_grey(tmp_path / "a.tif"), BYTES)


def test_one_bit(tmp_path: Path) -> None:
    Image.fromarray(BYTES > 100).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_grey(tmp_path / "a.png"), (BYTES > 100) * 255)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_colours_are_refused(tmp_path: Path, channel: int) -> None:
    colours = np.stack([BYTES] * 3, -1)
    colours[5, 6, channel] += 1
    Image.fromarray(colours).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    for name in ("a.png", "a.tif"):
        with pytest.raises(QualitativeImageError, match=name):
            read_grey(tmp_path / name)


def test_channels_and_planes_are_refused(tmp_path: Path) -> None:
    for axes in ("CYX", "ZYX"):
        path = tmp_path / f"{axes}.ome.tif"
        tifffile.imwrite(path, np.stack([GREY] * 2), ome=True, metadata={"axes": axes})
        with pytest.raises(ImageError, match="one channel and one plane"):
            read_grey(path)


def test_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    Image.fromarray(BYTES).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "short.png").write_bytes(whole[:20])
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no image", encoding="utf-8")
    for name in ("short.png", "cut.png", "text.png", "missing.png"):
        with pytest.raises(UnreadableImageError, match=name):
            read_grey(tmp_path / name)


def test_colour_of_16_bits_is_refused_rather_than_read_as_8(tmp_path: Path) -> None:
    Image.fromarray(BYTES).convert("RGB").save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[24] = 16
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageError, match="16 bits"):
        read_grey(tmp_path / "a.png")
