"""A nucleus is divided: along a line, or between markers."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage as ndi

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_UM2 = 1.0
"""A smaller part is no nucleus, but a rough edge of the line."""


def cut_by_line(
    mask: NDArray[np.bool_], line: NDArray[np.float64], spacing_um: tuple[float, ...]
) -> NDArray[np.int32]:
    """Divide a nucleus along a line of straight pieces.

    Parameters
    ----------
    mask
        (Y, X) or (Z, Y, X), the box around the nucleus; a stack is cut through all planes.
    line
        (N, 2) x and y, um from the upper left corner of the box.
    spacing_um
        ([Z,] Y, X) size of a pixel, um.

    Returns
    -------
    parts
        Shape of `mask`: 1 for the largest part, then in raster order; 0 outside. 1 alone where
        the line does not cross the nucleus. Pixels under the line go to the nearest part.
    """
    from skimage.draw import line as pixels_of

    straight: Any = pixels_of
    wall = np.zeros(mask.shape[-2:], bool)
    pixels = np.floor(line[:, ::-1] / spacing_um[-2:]).astype(np.int64)
    # What lies far outside the box divides nothing, and takes long to follow.
    far = 4 * max(mask.shape[-2:]) + 4
    pixels = np.clip(pixels, -far, far)
    for a, b in pairwise(pixels):
        y, x = straight(*a, *b)
        inside = (y >= 0) & (x >= 0) & (y < wall.shape[0]) & (x < wall.shape[1])
        wall[y[inside], x[inside]] = True
    # Neighbours by side never pass a wall of pixels that touch by corner.
    parts, n = ndi.label(mask & ~wall)
    size = np.bincount(parts.ravel(), minlength=n + 1) * float(np.prod(spacing_um))
    kept = size >= LEAST_UM2
    kept[0] = False
    whole = ndi.label(mask)[1]
    if kept.sum() < 2 or (mask & wall).sum() == 0 or n <= whole:
        return mask.astype(np.int32)
    number = np.zeros(n + 1, np.int32)
    number[kept] = np.arange(1, kept.sum() + 1)
    return _ordered(_nearest(number[parts], mask, spacing_um))


def cut_by_markers(
    mask: NDArray[np.bool_], markers: NDArray[np.float64], spacing_um: tuple[float, ...]
) -> NDArray[np.int32]:
    """Divide a nucleus at its waist, between markers.

    Parameters and result are those of `cut_by_line`; markers outside the nucleus are passed over.

    Notes
    -----
    Watershed of the distance to the edge, flooded from the markers.
    """
    from skimage.segmentation import watershed

    flood: Any = watershed
    seeds = np.zeros(mask.shape, np.int32)
    for x, y in markers:
        row, column = int(np.floor(y / spacing_um[-2])), int(np.floor(x / spacing_um[-1]))
        if not (0 <= row < mask.shape[-2] and 0 <= column < mask.shape[-1]):
            continue
        here = (..., row, column)
        if mask[here].any() and not seeds[here].any():
            seeds[here] = np.where(mask[here], seeds.max() + 1, 0)
    if seeds.max(initial=0) < 2:
        return mask.astype(np.int32)
    padded = np.pad(mask, 1)
    deep = ndi.distance_transform_edt(padded, sampling=spacing_um)
    deep = deep[(slice(1, -1),) * mask.ndim]
    parts = np.asarray(flood(-deep, seeds, mask=mask), np.int32)
    return _ordered(_nearest(parts, mask, spacing_um))


def _nearest(
    parts: NDArray[np.int32], mask: NDArray[np.bool_], spacing_um: tuple[float, ...]
) -> NDArray[np.int32]:
    """Give what of a nucleus has no part to the nearest one."""
    index = ndi.distance_transform_edt(
        parts == 0, sampling=spacing_um, return_distances=False, return_indices=True
    )
    return np.where(mask, parts[tuple(index)], 0).astype(np.int32)


def _ordered(parts: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give the largest part the number 1, the others in raster order of their first pixels."""
    numbers, first, count = np.unique(parts, return_index=True, return_counts=True)
    some = numbers > 0
    numbers, first, count = numbers[some], first[some], count[some]
    largest = numbers[np.lexsort((first, -count))[0]]
    others = numbers[np.argsort(first)]
    table = np.zeros(int(numbers.max()) + 1, np.int32)
    table[[largest, *others[others != largest]]] = np.arange(1, numbers.size + 1)
    return table[parts]
