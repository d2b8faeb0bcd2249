"""Any method on images larger than memory: tiles that overlap, and objects that stay whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numba import njit

from imganalysis.errors import LabelsError, SettingsError
from imganalysis.mapped import release, strips
from imganalysis.words import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""(y0, y1, x0, x1), half-open, pixels of the whole image."""

FindPart = Callable[[Box], "NDArray[np.integer[Any]]"]
"""Labels of a box: its shape (with all planes of a stack), 0 = background, numbers of its own."""

_OVERLAP = 4.0  # diameters of a nucleus: the largest nuclei and their neighbours
_TOLERANCE = 1 / 8  # of the overlap: so far the centroids that two tiles see may lie apart
_TAKEN = 0.5  # an object of which an earlier tile has more is there already


class Sliced(Protocol):
    """What labels are written to: numpy, a memory-mapped file, zarr; anything sliced alike."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the image."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its values; uint32."""

    def __getitem__(self, key: Any, /) -> Any: ...

    def __setitem__(self, key: Any, value: Any, /) -> None: ...


def segment_in_tiles(
    shape: tuple[int, ...],
    find_part: FindPart,
    *,
    overlap_px: int,
    tile_px: int,
    out: Sliced | None = None,
    progress: Callable[[str, int, int], object] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Any:
    """Find objects tile by tile.

    Parameters
    ----------
    shape
        (Y, X), or (Z, Y, X): then a tile has all planes.
    find_part
        Any method: called with a box, it gives the labels of that box. The same box must give
        the same objects every time.
    overlap_px
        That a tile sees on each side beyond what it decides; wider than the largest object, so
        that each object is seen whole. At most ``tile_px``.
    tile_px
        Side of what a tile decides. Of an image that is smaller there is one tile, seen as a
        whole.
    out
        Where the labels go: uint32, of ``shape``. A new array if not given. What it held is
        overwritten.
    progress
        Called with (word, tile, tiles).
    stop
        Asked before each tile whether to stop.

    Returns
    -------
    labels : shape, uint32
        ``out``; 0 = background, 1, 2, ... in raster order of the first pixel.

    Raises
    ------
    SettingsError
        An impossible size of tiles.
    LabelsError
        ``out`` does not fit, or the method gave something else than labels of the box.
    InterruptedError
        ``stop`` said so; ``out`` then holds no result.

    Notes
    -----
    A tile decides an object if the centroid lies in its core or just beyond, and writes it whole;
    an object whose larger part is already there is not written again, and pixels that have an
    object keep it. If two tiles see an object alike - the method is local, the overlap wider than
    the object and its neighbour - the result does not depend on the size of the tiles. If they
    see it a little differently, each may see the centroid on the other's side: what lies beyond
    the core on either side keeps such an object from being lost.

    An object larger than the overlap is cut, where a tile ends that sees it.
    """
    grid = tile_grid(shape, tile_px=tile_px, overlap_px=overlap_px)
    labels = np.zeros(shape, np.uint32) if out is None else _checked(out, shape)
    if out is not None:
        for part in strips(shape):
            labels[part] = 0
            release(labels)
    count = 0
    for number, (core, box) in enumerate(grid):
        if stop is not None and stop():
            raise InterruptedError(f"stopped after {number} of {plural(len(grid), 'tile')}")
        count = _put(labels, find_part(box), core, box, _TOLERANCE * overlap_px, count)
        release(labels)
        if progress is not None:
            progress("tiles", number + 1, len(grid))
    _number(labels, shape, count)
    return labels


def tile_overlap(diameter_px: float) -> int:
    """Say what tiles see on each side beyond what they decide, pixels."""
    return math.ceil(_OVERLAP * diameter_px)


def tile_grid(shape: tuple[int, ...], *, tile_px: int, overlap_px: int) -> list[tuple[Box, Box]]:
    """Say what each tile decides and what it sees, row by row.

    Parameters
    ----------
    shape, tile_px, overlap_px
        As in `segment_in_tiles`.

    Returns
    -------
    list of (core, box)
        Each pixel lies in one core; a box is its core and the overlap, as far as there is image.

    Raises
    ------
    SettingsError
        An impossible size of tiles.
    """
    if len(shape) not in (2, 3) or not all(shape):
        raise LabelsError(f"tiles are cut in (Y, X) or (Z, Y, X) with pixels; got shape {shape}")
    if not (tile_px >= 1 and 0 <= overlap_px <= tile_px):
        raise SettingsError(
            f"tiles of {tile_px} px with an overlap of {overlap_px} px: expected an overlap of "
            "at least 0 and at most the side of a tile"
        )
    sides = []
    for size in shape[-2:]:
        # Tiles of equal size, so that the last is no sliver.
        count = -(-size // tile_px)
        ends = [size * k // count for k in range(count + 1)]
        sides.append(
            [
                (first, last, max(0, first - overlap_px), min(size, last + overlap_px))
                for first, last in pairwise(ends)
            ]
        )
    return [
        ((y[0], y[1], x[0], x[1]), (y[2], y[3], x[2], x[3])) for y in sides[0] for x in sides[1]
    ]


def _checked(out: Sliced, shape: tuple[int, ...]) -> Sliced:
    if tuple(out.shape) != tuple(shape) or np.dtype(out.dtype) != np.uint32:
        raise LabelsError(
            f"labels are to be written into shape {tuple(out.shape)} of {out.dtype}, expected "
            f"{tuple(shape)} of uint32"
        )
    return out


def _put(
    labels: Any, found: NDArray[Any], core: Box, box: Box, tolerance: float, count: int
) -> int:
    """Write the objects of one tile that are its own, and count on."""
    y0, y1, x0, x1 = box
    window = (..., slice(y0, y1), slice(x0, x1))
    target = np.ascontiguousarray(labels[window], np.uint32)
    dense, n = _dense(found, target.shape, box)
    if n == 0:
        return count
    planes = (-1, y1 - y0, x1 - x0)
    sums = _sums(dense.reshape(planes), target.reshape(planes), n)
    size, taken = sums[:, 2], sums[:, 3]
    mine = size > 0
    for total, start, first, last in zip(
        (sums[:, 0], sums[:, 1]), (y0, x0), core[::2], core[1::2], strict=True
    ):
        # Sums of whole numbers, so that tiles agree to the last bit where a centroid lies.
        place = total + start * size
        mine &= (place >= (first - tolerance) * size) & (place < (last + tolerance) * size)
    good = mine & (taken <= _TAKEN * size)
    numbers = np.zeros(n + 1, np.uint32)
    numbers[good] = count + 1 + np.arange(np.count_nonzero(good), dtype=np.uint32)
    _write(dense.reshape(planes), target.reshape(planes), numbers)
    labels[window] = target
    return count + int(np.count_nonzero(good))


def _dense(found: Any, shape: tuple[int, ...], box: Box) -> tuple[NDArray[np.int32], int]:
    """Make numbers that an array can be indexed by, and tell the largest."""
    array = np.asarray(found)
    if array.shape != shape or not np.issubdtype(array.dtype, np.integer):
        raise LabelsError(
            f"the method gave shape {array.shape} of {array.dtype} for the tile {box}, expected "
            f"labels of shape {shape}"
        )
    low, high = int(array.min()), int(array.max())
    if low < 0:
        raise LabelsError(f"the method gave the label {low} for the tile {box}, expected >= 0")
    if high > min(array.size, np.iinfo(np.int32).max):
        ids, inverse = np.unique(array, return_inverse=True)
        array = inverse.reshape(shape) + int(ids[0] > 0)
        high = int(array.max())
    return np.ascontiguousarray(array, np.int32), high


@njit(cache=True, nogil=True)
def _sums(found: Any, target: Any, n: int) -> Any:
    """Add up rows, columns, pixels, and pixels that have an object already."""
    sums = np.zeros((n + 1, 4), np.int64)
    for z in range(found.shape[0]):
        for y in range(found.shape[1]):
            for x in range(found.shape[2]):
                k = found[z, y, x]
                if k > 0:
                    sums[k, 0] += y
                    sums[k, 1] += x
                    sums[k, 2] += 1
                    if target[z, y, x] > 0:
                        sums[k, 3] += 1
    return sums


@njit(cache=True, nogil=True)
def _write(found: Any, target: Any, numbers: Any) -> None:
    for z in range(found.shape[0]):
        for y in range(found.shape[1]):
            for x in range(found.shape[2]):
                k = numbers[found[z, y, x]]
                if k > 0 and target[z, y, x] == 0:
                    target[z, y, x] = k


def _number(labels: Any, shape: tuple[int, ...], count: int) -> None:
    """Give objects numbers by their first pixel, whatever tile they came from."""
    numbers = np.zeros(count + 1, np.uint32)
    last = 0
    for part in strips(shape):
        strip = np.ascontiguousarray(labels[part], np.uint32)
        last = _renumber(strip.reshape(-1), numbers, last)
        labels[part] = strip
        release(labels)


@njit(cache=True, nogil=True)
def _renumber(strip: Any, numbers: Any, last: int) -> int:
    for i in range(strip.size):
        k = strip[i]
        if k > 0:
            if numbers[k] == 0:
                last += 1
                numbers[k] = last
            strip[i] = numbers[k]
    return last
