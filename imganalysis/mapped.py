"""Arrays in files: for planes of which several copies would not fit into memory."""

from __future__ import annotations

import mmap
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGE = 4096**2
"""Pixels of a plane from which it is kept in files, read, analysed and written in parts."""

_STRIP = 2**24  # pixels


def new_mapped(path: Path, shape: tuple[int, ...], dtype: Any) -> np.memmap[Any, Any]:
    """Make a memory-mapped file of zeros.

    Raises
    ------
    OutputError
        It cannot be written, or the disk has no room for it.
    """
    needed = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    try:
        # A full disk would end the process when a page is written, without a word.
        free = shutil.disk_usage(path.parent).free
        if needed > free:
            raise OutputError(
                f"{path.parent}: an image of {' x '.join(map(str, shape))} needs "
                f"{needed / 2**30:.1f} GiB of disk while it is analysed, {free / 2**30:.1f} GiB "
                "are free; take another folder"
            )
        return np.memmap(path, dtype, "w+", shape=shape)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def release(array: Any) -> None:
    """Let go of the pages of a memory-mapped file that were read or written.

    They stay in the file, or on their way to it, and come back when they are asked for; without
    this a process seems to hold, and may hold, all of the file that it has passed over.
    """
    mapped = getattr(array, "_mmap", None)
    # Changes to a copy-on-write map live in its pages only.
    if isinstance(mapped, mmap.mmap) and getattr(array, "mode", "c") != "c":
        if hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


def strips(shape: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
    """Parts of whole rows of (Y, X) or (Z, Y, X) that follow each other in raster order."""
    rows = max(1, _STRIP // shape[-1])
    for z in range(shape[0]) if len(shape) == 3 else (None,):
        for y in range(0, shape[-2], rows):
            yield (*(() if z is None else (z,)), slice(y, y + rows))
