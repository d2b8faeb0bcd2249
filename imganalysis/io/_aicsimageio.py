"""aicsimageio behind the protocol of `imganalysis.io._backend`."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    return AicsimageioImage(reader(str(path)))
