"""Outlines in um become masks of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from skimage.draw import polygon

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

Rings: TypeAlias = "Sequence[NDArray[np.float64]]"
"""A polygon: (N, 2) y and x in um, the outer ring first, then its holes."""


def polygon_mask(
    polygons: Iterable[Rings], shape: tuple[int, int], spacing_um: tuple[float, float]
) -> NDArray[np.bool_]:
    """Mark the pixels whose middle lies in any of some polygons.

    Parameters
    ----------
    polygons
        Each its rings, y and x in um from the upper left corner of the image. What lies
        outside the image is cut off.
    shape
        (Y, X) of the image, pixels.
    spacing_um
        (Y, X) size of a pixel, um.

    Returns
    -------
    mask
        (Y, X) bool.
    """
    mask = np.zeros(shape, dtype=bool)
    for outer, *holes in polygons:
        box = _box(outer, shape, spacing_um)
        part = _filled(outer, box, spacing_um)
        for hole in holes:
            part &= ~_filled(hole, box, spacing_um)
        mask[box] |= part
    return mask


def _box(
    ring: NDArray[np.float64], shape: tuple[int, int], spacing_um: tuple[float, float]
) -> tuple[slice, slice]:
    """Rows and columns of the image that a ring can reach."""
    low = np.floor(ring.min(axis=0) / spacing_um).astype(np.int64)
    high = np.ceil(ring.max(axis=0) / spacing_um).astype(np.int64) + 1
    rows, columns = (
        slice(int(np.clip(a, 0, n)), int(np.clip(b, 0, n)))
        for a, b, n in zip(low, high, shape, strict=True)
    )
    return rows, columns


def _filled(
    ring: NDArray[np.float64], box: tuple[slice, slice], spacing_um: tuple[float, float]
) -> NDArray[np.bool_]:
    rows, columns = box
    shape = (max(0, rows.stop - rows.start), max(0, columns.stop - columns.start))
    part = np.zeros(shape, dtype=bool)
    # Pixel i has its middle at (i + 0.5) * spacing.
    places = ring / spacing_um - 0.5
    inside = polygon(places[:, 0] - rows.start, places[:, 1] - columns.start, shape=shape)  # type: ignore[no-untyped-call]
    part[inside] = True
    return part
