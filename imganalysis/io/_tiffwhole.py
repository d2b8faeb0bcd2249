"""Whether a TIFF is all there: readers fill in black for what was cut off."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

from imganalysis.errors import UnreadableImageError

if TYPE_CHECKING:
    from pathlib import Path

# ImageDescription, StripOffsets and -ByteCounts, resolutions, PageName, TileOffsets and
# -ByteCounts, and ImageJ's metadata.
_NEEDED = frozenset((270, 273, 279, 282, 283, 285, 324, 325, 50838, 50839))
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
               16: 8, 17: 8, 18: 8}  # fmt: skip


def check_whole(tif: Any, series: list[Any], path: Path) -> None:
    """Check that every page that the file speaks of is in the file, to its last byte.

    Parameters
    ----------
    tif, series
        Of tifffile.
    path
        For the message.

    Raises
    ------
    UnreadableImageError
        Something is missing.
    """
    size = path.stat().st_size
    if not len(tif.pages):
        raise _cut(path, "it holds no image")
    if _next_page(tif):
        raise _cut(path, f"after page {len(tif.pages)} another should follow")
    for page in tif.pages:
        if _tags_end(tif, page.offset) > size:
            raise _cut(path, f"the description of page {page.index} is missing")
    promised = (tif.imagej_metadata or {}).get("images", 1) if tif.is_imagej else 1
    planes = 0
    for one in series:
        for page in one.pages:
            if page is None:
                raise _cut(path, "planes that its OME-XML lists are missing")
            ends = [a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=False)]
            if max(ends, default=0) > size:
                raise _cut(path, f"its pixels should end at byte {max(ends)}, it has {size}")
        contiguous = one.dataoffset
        if contiguous is not None and contiguous + one.nbytes > size:
            raise _cut(
                path, f"its pixels should end at byte {contiguous + one.nbytes}, it has {size}"
            )
        planes += math.prod(
            n for n, axis in zip(one.shape, one.axes, strict=True) if axis not in "YXS"
        )
    if planes < int(promised):
        raise _cut(path, f"planes: its description promises {promised}, it has {planes}")


def _next_page(tif: Any) -> int:
    """Where the file says that the page after the last one is; 0 if it says there is none."""
    where = tif.pages.next_page_offset
    handle, form = tif.filehandle, tif.tiff
    handle.seek(where)
    raw = handle.read(form.offsetsize)
    if len(raw) < form.offsetsize:
        return 1
    return int(struct.unpack(form.offsetformat, raw)[0])


def _tags_end(tif: Any, offset: int) -> int:
    """Last byte of the values of a page's tags, of those that matter here.

    A reader that cannot find a value leaves the tag out: without its description an OME-TIFF is
    read as a plain one, its channels as planes.
    """
    big = tif.tiff.version == 43
    order = tif.tiff.byteorder
    count_format, entry_format, inline = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    handle = tif.filehandle
    handle.seek(offset)
    (n,) = struct.unpack(order + count_format, handle.read(struct.calcsize(order + count_format)))
    head = struct.calcsize(order + entry_format)
    entries = handle.read(n * (head + inline))
    end = 0
    for start in range(0, len(entries), head + inline):
        code, kind, count = struct.unpack_from(order + entry_format, entries, start)
        length = count * _TYPE_BYTES.get(kind, 0)
        if code in _NEEDED and length > inline:
            (value,) = struct.unpack_from(order + ("Q" if big else "I"), entries, start + head)
            end = max(end, value + length)
    return end


def _cut(path: Path, what: str) -> UnreadableImageError:
    return UnreadableImageError(
        f"{path}: is cut off or damaged: {what}. Copy it again from its source."
    )
