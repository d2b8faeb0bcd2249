"""plane_in_file: a large plane of an image in a memory-mapped file, never whole in memory."""

from __future__ import annotations

from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from imganalysis.io._backend import reading
from imganalysis.io._kind import kind_of
from imganalysis.mapped import new_mapped, release

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from imganalysis.stack import Series, Stack

_READ = 2**24  # bytes of a TIFF that are read at a time


def plane_in_file(target: Path, series: Series, stack: Stack, channel: int) -> NDArray[Any]:
    """Copy the one plane of a channel to a memory-mapped file.

    Parameters
    ----------
    target
        The file, for the time in which the plane is needed.
    series, stack
        As `list_series` and `read_stack` give them.
    channel
        Its position.

    Returns
    -------
    (Y, X)
        The pixels that ``stack.numpy([channel])[0, 0]`` would give; memory-mapped.

    Raises
    ------
    UnreadableImageError
        The image is damaged.
    OutputError
        The file cannot be written.

    Notes
    -----
    Of a TIFF one tile or strip is in memory at a time; of other formats what their reader reads
    at a time.
    """
    out = new_mapped(target, stack.shape[-2:], stack.dtype)
    if not _copied_from_tiff(series, stack, channel, out):
        plane = stack.data[channel, 0]
        chunks = getattr(plane, "chunks", None) or tuple((size,) for size in plane.shape)
        ends = [np.concatenate(([0], np.cumsum(one))).tolist() for one in chunks]
        for y, x in product(*(list(pairwise(e)) for e in ends)):
            out[slice(*y), slice(*x)] = np.asarray(plane[slice(*y), slice(*x)])
            release(out)
    return out


def _copied_from_tiff(series: Series, stack: Stack, channel: int, out: Any) -> bool:
    """Copy tile by tile; False where the file does not keep the plane as one page of a TIFF."""
    if kind_of(series.path) != "tiff" or series.tile is not None or series.axes[-2:] != "YX":
        return False
    with reading(series.path, "tiff"), tifffile.TiffFile(series.path) as tif:
        found = tif.series[series.index]
        leading = series.shape[:-2]
        where = [{"C": channel, "T": stack.time}.get(axis, 0) for axis in series.axes[:-2]]
        if tuple(found.shape) != tuple(series.shape) or len(found.pages) != np.prod(leading):
            return False
        page: Any = found.pages[int(np.ravel_multi_index(where, leading)) if leading else 0]
        if page is None or tuple(page.shape) != out.shape or page.dtype != out.dtype:
            return False
        if page.is_memmappable:  # one piece, not compressed: it would be in memory whole
            order = tif.byteorder + page.dtype.char
            source = np.memmap(series.path, order, "r", page.dataoffsets[0], out.shape)
            rows = max(1, _READ // (out.shape[1] * out.itemsize))
            for y in range(0, out.shape[0], rows):
                out[y : y + rows] = source[y : y + rows]
                release(out)
                release(source)
            return True
        passed = 0
        for pixels, place, (_, height, width, _) in page.segments(
            maxworkers=1, buffersize=_READ, sort=True
        ):
            y, x = place[2:4]
            part = out[y : y + height, x : x + width]  # tiles may reach over the edge
            # What is not stored holds one value only.
            part[...] = (
                page.nodata if pixels is None else pixels[0, : part.shape[0], : part.shape[1], 0]
            )
            passed += height * width
            if passed > _READ:
                release(out)
                passed = 0
    release(out)
    return True
