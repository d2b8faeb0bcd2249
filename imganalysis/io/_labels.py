"""read_labels: a label image from a TIFF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from imganalysis.errors import LabelsError
from imganalysis.io._backend import reading
from imganalysis.io._kind import kind_of
from imganalysis.io._ome import ome_images
from imganalysis.io._tiff import page_name
from imganalysis.io._tiffwhole import check_whole
from imganalysis.io._writing import as_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_labels(path: Path, page: int | str | None = None) -> NDArray[np.uint32]:
    """Read a label image.

    Parameters
    ----------
    path
        A TIFF of any integer type.
    page
        Number of the page from 0, or its name where the TIFF names its pages, case ignored.
        Needed where pages show different things.

    Returns
    -------
    labels : (Y, X) or (Z, Y, X) uint32, 0 = background

    Raises
    ------
    LabelsError
        The file holds no label image, or no such page.
    UnreadableImageError
        The file is missing, damaged, or no TIFF.
    """
    path = Path(path)
    kind = kind_of(path)
    if kind != "tiff":
        raise LabelsError(f"{path}: expected a label image as TIFF, found {kind.upper()}")
    with reading(path, "tiff"), tifffile.TiffFile(path) as tif:
        if tif.is_ome:
            ome_images(tif.pages.first.description, path)  # refuses pixels in other files
        series = list(tif.series)
        check_whole(tif, series, path)
        if page is None:
            array = _whole(tif, series, path)
        else:
            array = tif.pages[_number(tif, page, path)].asarray()
    array = np.asarray(array)
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise LabelsError(
            f"{path}: expected a label image (Y, X) or (Z, Y, X), found {array.shape}"
        )
    return as_labels(array, str(path))


def _number(tif: Any, page: int | str, path: Path) -> int:
    n = len(tif.pages)
    if isinstance(page, str) and not page.isdecimal():
        names = [page_name(one, path) for one in tif.pages]
        found = [i for i, name in enumerate(names) if name.lower() == page.strip().lower()]
        if len(found) == 1:
            return found[0]
        known = ", ".join(name for name in names if name) or "none: give a number"
        raise LabelsError(f"{path}: no one page is named {page!r}; its page names are {known}")
    if not 0 <= int(page) < n:
        raise LabelsError(f"{path}: page {page} asked for, it has {n} (from 0)")
    return int(page)


def _whole(tif: Any, series: list[Any], path: Path) -> NDArray[Any]:
    names = [page_name(one, path) for one in tif.pages] if len(tif.pages) > 1 else []
    if len(series) > 1 or len({name for name in names if name}) > 1:
        listed = ", ".join(f"{i} {name}".strip() for i, name in enumerate(names))
        raise LabelsError(f"{path}: its pages show different things; say which: {listed}")
    one = series[0]
    shape = dict(zip(one.axes, one.shape, strict=True))
    if "S" in shape or shape.get("C", 1) > 1 or shape.get("T", 1) > 1:
        raise LabelsError(
            f"{path}: expected a label image (Y, X) or (Z, Y, X), found axes {one.axes} of sizes "
            f"{' x '.join(map(str, one.shape))}. Name one page, from 0."
        )
    return np.asarray(one.asarray())
