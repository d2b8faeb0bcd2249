"""Whether a TIFF is all there: readers fill in black for what was cut off."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

from imganalysis.errors import UnreadableImageError

if TYPE_CHECKING:
    from pathlib import Path


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
        raise _cut(path, f"its description promises {promised} planes, it has {planes}")


def _next_page(tif: Any) -> int:
    """Where the file says that the page after the last one is; 0 if it says there is none."""
    where = tif.pages.next_page_offset
    handle, form = tif.filehandle, tif.tiff
    handle.seek(where)
    raw = handle.read(form.offsetsize)
    if len(raw) < form.offsetsize:
        return 1
    return int(struct.unpack(form.offsetformat, raw)[0])


def _cut(path: Path, what: str) -> UnreadableImageError:
    return UnreadableImageError(
        f"{path}: is cut off or damaged: {what}. Copy it again from its source."
    )
