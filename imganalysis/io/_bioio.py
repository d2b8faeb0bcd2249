"""bioio behind the protocol of `imganalysis.io._backend`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imganalysis.io._backend import library

if TYPE_CHECKING:
    from pathlib import Path

_MODULES = {
    "tiff": "bioio_tifffile",
    "lif": "bioio_lif",
    "czi": "bioio_czi.aicspylibczi_reader.reader",
    "nd2": "bioio_nd2",
    "zarr": "bioio_ome_zarr",
}


class BioioImage:
    """An image opened by one of bioio's readers."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    @property
    def scenes(self) -> tuple[str, ...]:
        """Name of each series."""
        return tuple(str(name) for name in self._reader.scenes)

    def lazy(self, series: int) -> tuple[str, Any]:
        """Axes and dask array of one series."""
        self._reader.set_scene(series)
        array = self._reader.xarray_dask_data
        return "".join(str(dim) for dim in array.dims), array.data


def open_image(path: Path, kind: str) -> BioioImage:
    """Open a file with the reader for its format, and none that guesses.

    OME-TIFF is opened by the TIFF reader: both take the pixels from tifffile, but this one does
    not refuse a file for a fault of its OME-XML, nor fetch a schema from the network.
    """
    reader = library(_MODULES[kind], kind).Reader
    if kind == "czi":
        reader = without_pixel_sizes(reader)
    return BioioImage(reader(str(path)))


def without_pixel_sizes(reader: Any) -> Any:
    """Make a CZI reader that looks up no pixel sizes: without a distance scale it would fail."""

    class Reader(reader):  # type: ignore[misc]
        @staticmethod
        def _get_coords_and_physical_px_sizes(*_: Any, **__: Any) -> tuple[dict[str, Any], Any]:
            from collections import namedtuple

            sizes = namedtuple("sizes", "Z Y X")
            return {}, sizes(None, None, None)

    return Reader
