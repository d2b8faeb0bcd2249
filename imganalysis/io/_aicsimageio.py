"""aicsimageio behind the protocol of `imganalysis.io._backend`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from imganalysis.errors import UnreadableImageError
from imganalysis.io._backend import library
from imganalysis.io._bioio import BioioImage, without_pixel_sizes

if TYPE_CHECKING:
    from pathlib import Path

_READERS = {
    "tiff": ("tiff_reader", "TiffReader"),
    "lif": ("lif_reader", "LifReader"),
    "czi": ("czi_reader", "CziReader"),
    "nd2": ("nd2_reader", "ND2Reader"),
    "zarr": ("ome_zarr_reader", "OmeZarrReader"),
}


class AicsimageioImage(BioioImage):
    """An image opened by one of aicsimageio's readers, from which bioio's descend."""


def open_image(path: Path, kind: str) -> AicsimageioImage:
    """Open a file with the reader for its format, and none that guesses."""
    module, name = _READERS[kind]
    reader = getattr(library(f"aicsimageio.readers.{module}", kind), name)
    if kind == "czi":
        reader = without_pixel_sizes(reader)
    if kind == "zarr":
        _check_separator(path)
    return AicsimageioImage(reader(str(path)))


# Slowest first: readlif takes the planes of every LIF to lie in this order.
_LIF_ORDER = "MTZC"


def check_order(path: Path, axes: str) -> None:
    """Refuse a LIF whose planes readlif would mix up without a word.

    Parameters
    ----------
    path
        The file.
    axes
        Axes longer than 1, in the order of the file, slowest first.

    Raises
    ------
    UnreadableImageError
        They lie in another order.
    """
    order = [_LIF_ORDER.index(axis) for axis in axes if axis in _LIF_ORDER]
    if order != sorted(order):
        raise UnreadableImageError(
            f"{path}: aicsimageio would mix up its planes, which lie in the order {axes} (slowest "
            f'first). Read it with bioio: pip install "imganalysis[formats]".'
        )


def _check_separator(path: Path) -> None:
    """Refuse an OME-Zarr whose chunks ome-zarr would not find, and read as black."""
    for array in path.glob("**/.zarray"):
        if json.loads(array.read_text(encoding="utf-8")).get("dimension_separator") != "/":
            raise UnreadableImageError(
                f"{path}: aicsimageio would not find its chunks, whose names hold dots, and read "
                f'them as black. Read it with bioio: pip install "imganalysis[formats]".'
            )
