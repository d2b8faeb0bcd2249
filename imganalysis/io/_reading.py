"""read_stack: the pixels of one field of view, lazily, as CZYX."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from imganalysis.errors import (
    NotAFieldError,
    QualitativeImageError,
    SettingsError,
    UnreadableImageError,
)
from imganalysis.io._aicsimageio import check_order
from imganalysis.io._backend import choose_backend, open_image, reading
from imganalysis.io._listing import facts_of
from imganalysis.io._pixelsize import shown
from imganalysis.stack import PLAUSIBLE_UM, PixelSize, Stack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from imganalysis.io._facts import Facts


@dataclass(frozen=True)
class Request:
    """Which pixels are wanted; small, so that it can cross to other processes.

    Parameters
    ----------
    path, kind, backend
        The file, its format and the library that reads.
    series, tile, time
        Positions in the file.
    axes, shape
        As the file has them; a TIFF reader's own guess is not asked for.
    """

    path: Path
    kind: str
    backend: str
    series: int
    tile: int
    time: int
    axes: str
    shape: tuple[int, ...]


def read_stack(
    path: Path,
    series: int = 0,
    *,
    tile: int | None = None,
    time: int | None = None,
    axes: str | None = None,
    pixel_size: PixelSize | None = None,
    allow_rgb: bool = False,
    backend: str = "auto",
) -> Stack:
    """Read one field of view; its pixels are loaded when they are asked for.

    Parameters
    ----------
    path
        TIFF, OME-TIFF, LIF, CZI, ND2, or an OME-Zarr folder.
    series
        Position of the series in the file, from 0.
    tile
        Number of the tile, if the series is a tile scan.
    time
        Time point, from 0; the first by default. Of a time series the stack has the flag
        ``time_series``, and `Stack.time` says which point it is.
    axes
        As in `list_series`.
    pixel_size
        In um; wins over the file's. What the file says instead is kept in the note. The file's
        step between planes stays where none is given.
    allow_rgb
        Read a colour image too, its samples as channels, with the flag ``rgb``.
    backend
        As in `list_series`.

    Returns
    -------
    Stack
        (C, Z, Y, X) dask array of the file's dtype. The pixel size may be unknown.

    Raises
    ------
    NotAFieldError
        The series is no field of view in X and Y; its ``reason`` is the fixed word for why.
    QualitativeImageError
        It is a colour image.
    UnreadableImageError
        The file is missing, damaged, or no image; also when pixels are loaded.
    SettingsError
        No such series, tile or time point, or `axes` or `pixel_size` is impossible.
    MissingLibraryError
        The library for this format is not installed.
    """
    path = Path(path)
    backend = choose_backend(backend)
    kind, all_facts = facts_of(path, axes, backend)
    if not 0 <= series < len(all_facts):
        raise SettingsError(f"{path}: series {series} asked for, it has {len(all_facts)} (from 0)")
    facts = all_facts[series]
    _check(path, series, facts, allow_rgb=allow_rgb)
    tile_index = _tile(path, facts, tile)
    n_times = facts.size("T")
    if time is not None and not 0 <= time < n_times:
        raise SettingsError(f"{path}: time point {time} asked for, it has {n_times} (from 0)")
    request = Request(path, kind, backend, series, tile_index, time or 0, facts.axes, facts.shape)
    flags = facts.flags
    if n_times > 1:
        flags += ("time_series",)
    return Stack(
        data=_lazily(request, facts),
        channels=facts.channel_names(),
        pixel_size=_pixel_size(path, facts.pixel_size, pixel_size),
        scene=facts.name if tile is None else f"{facts.name} tile {tile}".strip(),
        source=path,
        time=request.time,
        counted=None if tile is None else facts.tiles[tile],
        flags=flags,
    )


def _check(path: Path, series: int, facts: Facts, *, allow_rgb: bool) -> None:
    what = f"{path}: series {series} ({facts.name})" if facts.name else f"{path}: series {series}"
    if facts.not_a_field:
        raise NotAFieldError(
            f"{what} is no field of view in X and Y ({facts.not_a_field}; axes {facts.axes}, "
            f"{' x '.join(map(str, facts.shape))}). It is listed and left out.",
            reason=facts.not_a_field,
        )
    if facts.rgb and not allow_rgb:
        raise QualitativeImageError(
            f"{what} is an RGB image: it shows colours, which were scaled and mixed for display, "
            f"not the intensities of channels. Export the channels from the microscope's software, "
            f"or give --allow-rgb to read it all the same."
        )


def _tile(path: Path, facts: Facts, tile: int | None) -> int:
    if not facts.tiles:
        if tile is not None:
            raise SettingsError(f"{path}: tile {tile} asked for, but the series is no tile scan")
        return 0
    if tile is None or tile not in facts.tiles:
        numbers = ", ".join(map(str, facts.tiles))
        asked = "no tile" if tile is None else f"tile {tile}"
        raise SettingsError(f"{path}: {asked} asked for of a tile scan; its tiles are {numbers}")
    return tile


def _pixel_size(path: Path, found: PixelSize, given: PixelSize | None) -> PixelSize:
    if given is None:
        return found
    low, high = PLAUSIBLE_UM
    for value in given.as_tuple():
        if value is not None and not low <= value <= high:
            raise SettingsError(
                f"pixel size {shown(*given.as_tuple())} um given for {path}: expected each from "
                f"{low:g} to {high:g} um. Give Z,Y,X or Y,X in um."
            )
    note = found.note
    if found.known and found.as_tuple() != given.as_tuple():
        sizes = zip("zyx", found.as_tuple(), strict=True)
        note = f"the file says {', '.join(f'{a} {v:.6g}' for a, v in sizes if v)} um"
    z = given.z
    if z is None and found.z is not None:
        z = found.z
        note += f"{'; ' if note else ''}z is the file's"
    return replace(given, z=z, origin="user", note=note)


def _lazily(request: Request, facts: Facts) -> Any:
    """Dask array whose blocks each open the file, read, and close it."""
    if (request.backend, request.kind) == ("aicsimageio", "lif"):
        check_order(request.path, facts.axes)
    array = open_array(request)
    expected = (facts.n_channels, facts.size("Z"), facts.size("Y"), facts.size("X"))
    if array.shape != expected or array.dtype != np.dtype(facts.dtype):
        raise UnreadableImageError(
            f"{request.path}: its metadata promise {expected} pixels (CZYX) of {facts.dtype}, the "
            f"reader {request.backend} gives {array.shape} of {array.dtype}. "
            f"Save it as OME-TIFF from its software."
        )
    return da.map_blocks(  # type: ignore[no-untyped-call,unused-ignore]
        _block,
        dtype=array.dtype,
        chunks=array.chunks,
        meta=np.empty((0, 0, 0, 0), dtype=array.dtype),
        request=request,
    )


def _block(request: Request, block_info: Mapping[Any, Any] | None = None) -> NDArray[Any]:
    """Read one block; block_info is filled in by dask."""
    if block_info is None:
        raise ValueError("a block is read by dask only")
    where = tuple(slice(a, b) for a, b in block_info[None]["array-location"])
    with reading(request.path, request.kind):
        block = open_array(request)[where].compute(scheduler="synchronous")
    return np.ascontiguousarray(block)


def open_array(request: Request) -> Any:
    """Open the file anew; dask array (C, Z, Y, X) of what is wanted."""
    image = open_image(request.path, request.kind, request.backend)
    with reading(request.path, request.kind):
        axes, array = image.lazy(request.series)
    if request.kind == "tiff" and array.shape == request.shape:
        axes = request.axes
    picked: list[Any] = []
    left = ""
    for axis, size in zip(axes, array.shape, strict=True):
        if axis in "CZYXS":
            picked.append(slice(None))
            left += axis
        else:
            picked.append(request.time if axis == "T" else request.tile if axis == "M" else 0)
            if axis not in "TM" and size > 1:
                raise NotAFieldError(f"{request.path}: has an axis {axis} of size {size}")
    array = array[tuple(picked)]
    order = [left.index(axis) for axis in "CSZYX" if axis in left]
    array = array.transpose(order)
    present = "".join(axis for axis in "CSZYX" if axis in left)
    for position, axis in enumerate("CSZYX"):
        if axis not in present:
            array = da.expand_dims(array, position)
    c, s, z, y, x = array.shape
    return array.reshape((c * s, z, y, x))
