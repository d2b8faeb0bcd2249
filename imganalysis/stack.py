"""Stack: the pixels of one field of view, what each axis means, and where they came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

IMAGE_SUFFIXES = (
    ".ome.tiff", ".ome.tif", ".tiff", ".tif", ".lif", ".czi", ".nd2", ".ome.zarr", ".zarr",
)  # fmt: skip
"""File names that are taken for images, longest first."""

PLAUSIBLE_UM = (0.01, 20.0)
"""Side of a pixel in um that a microscope may have; outside it the value is a fault of the file."""


@dataclass(frozen=True)
class PixelSize:
    """Size of a pixel in um; None where unknown.

    Parameters
    ----------
    z, y, x
        Size in um, positive, or None. ``z`` is the step between planes.
    origin
        Where it is from: ``metadata``, ``user``, or ``unknown``.
    note
        What was found and not believed, for the results.
    """

    z: float | None = None
    y: float | None = None
    x: float | None = None
    origin: str = "unknown"
    note: str = ""

    @property
    def known(self) -> bool:
        """Whether lengths in the plane can be given in um."""
        return self.y is not None and self.x is not None

    def as_tuple(self) -> tuple[float | None, float | None, float | None]:
        """(Z, Y, X) in um."""
        return (self.z, self.y, self.x)


def series_name(stem: str, series: int, tile: int | None = None) -> str:
    """Name of what is made of one series of a file that holds several."""
    return f"{stem}-series{series}" + ("" if tile is None else f"-tile{tile}")


@dataclass(frozen=True)
class Series:
    """One series (scene, tile) of an image file, as listed without reading its pixels.

    Parameters
    ----------
    path
        The image file.
    index
        Position of the series in the file, from 0.
    name
        Name in the file; may be empty, may repeat.
    tile
        Number of the tile in a tile scan, from 0, else None.
    axes
        Axes as in the file, slowest first, e.g. ``TCZYX`` or ``CTZX``.
    shape
        Size along ``axes``.
    dtype
        numpy name of the pixel type.
    channels
        Channel names, in order.
    pixel_size
        As in the file.
    n_times
        Number of time points.
    counted
        (y0, y1, x0, x1) in pixels, the part of a tile that is counted here, because the rest
        is counted in a neighbouring tile; None for all of it.
    not_a_field
        Fixed word for why this is no field of view, e.g. ``scan_xzt`` or ``thumbnail``; empty
        for a field.
    flags
        Fixed words for what to know about it, e.g. ``overlap_unknown``, ``z_descending``,
        ``rgb``.
    """

    path: Path
    index: int
    name: str
    tile: int | None
    axes: str
    shape: tuple[int, ...]
    dtype: str
    channels: tuple[str, ...]
    pixel_size: PixelSize
    n_times: int = 1
    counted: tuple[int, int, int, int] | None = None
    not_a_field: str = ""
    flags: tuple[str, ...] = ()

    @property
    def is_field(self) -> bool:
        """Whether the series is a field of view in X and Y."""
        return not self.not_a_field


@dataclass(frozen=True)
class Stack:
    """The pixels of one field of view.

    Parameters
    ----------
    data
        (C, Z, Y, X) numpy or dask array, dtype of the file; Z = 1 for a single plane.
    channels
        Name of each channel, as in the file.
    pixel_size
        In um, with its origin.
    scene
        Name of the series (and tile) in the file.
    source
        The file.
    time
        The time point that was taken.
    counted
        As in `Series`.
    flags
        Fixed words for what to know about it, as in `Series`.
    """

    data: Any
    channels: tuple[str, ...]
    pixel_size: PixelSize = field(default_factory=PixelSize)
    scene: str = ""
    source: Path = Path()
    time: int = 0
    counted: tuple[int, int, int, int] | None = None
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.data.ndim != 4:
            raise ValueError(f"a stack has axes CZYX, got {plural(self.data.ndim, 'axis', 'axes')}")
        if self.data.shape[0] != len(self.channels):
            raise ValueError(
                f"{plural(self.data.shape[0], 'channel')} of pixels, "
                f"{plural(len(self.channels), 'channel name')}"
            )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Size along C, Z, Y, X."""
        c, z, y, x = self.data.shape
        return (int(c), int(z), int(y), int(x))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type of the file."""
        return self.data.dtype  # type: ignore[no-any-return]

    def numpy(self, channels: Sequence[int] | None = None) -> NDArray[Any]:
        """Read pixels into memory.

        Parameters
        ----------
        channels
            Positions of the channels wanted; all by default.

        Returns
        -------
        array
            (C, Z, Y, X), dtype of the file.
        """
        import numpy as np

        data = self.data if channels is None else self.data[list(channels)]
        return np.asarray(data)
