"""From the coarse grid back to the image's pixels, the outline drawn between grid points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from imganalysis.segment._coarse import _place

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SURE = 0.1  # of the level: the least by which a grid point lies inside or outside


def enlarge_regions(
    regions: NDArray[np.int32],
    height: NDArray[np.float32],
    level: NDArray[np.float32],
    blocks: tuple[int, ...],
    shape: tuple[int, ...],
) -> NDArray[np.int32]:
    """Bring regions to the full grid.

    Parameters
    ----------
    regions
        (Z, Y, X) on the coarse grid, 0 = background.
    height
        Brightness there.
    level
        Of each region, by number: its outline is where the height falls to this level.
    blocks
        Pixels of the full grid to one of the coarse grid, along each axis.
    shape
        Of the full grid.

    Returns
    -------
    regions : shape, int32
        A pixel takes the region with the largest share of the grid points around it, if the
        height between them is over that region's level.
    """
    out = np.empty(shape, np.int32)
    _fit(regions, height, level, blocks, out)
    return out


@njit(cache=True, nogil=True)
def _fit(regions: Any, height: Any, level: Any, blocks: Any, out: Any) -> None:
    planes, rows, columns = regions.shape
    left = np.empty(out.shape[2], np.intp)
    right = np.empty(out.shape[2], np.intp)
    share = np.empty(out.shape[2])
    for x in range(out.shape[2]):
        left[x], right[x], share[x] = _place(x, blocks[2], columns)
    labels = np.empty(8, np.int32)
    tall = np.empty(8)
    weights = np.empty(8)
    same = np.empty(columns, np.bool_)
    for z in range(out.shape[0]):
        z0, z1, dz = _place(z, blocks[0], planes)
        for y in range(out.shape[1]):
            y0, y1, dy = _place(y, blocks[1], rows)
            for j in range(columns):
                first = regions[z0, y0, j]
                same[j] = (
                    (regions[z0, y1, j] == first)
                    & (regions[z1, y0, j] == first)
                    & (regions[z1, y1, j] == first)
                )
            for x in range(out.shape[2]):
                x0, x1 = left[x], right[x]
                first = regions[z0, y0, x0]
                if same[x0] and same[x1] and regions[z0, y0, x1] == first:
                    out[z, y, x] = first
                    continue
                k = 0
                for i, in_z in ((z0, 1 - dz), (z1, dz)):
                    for j, in_y in ((y0, 1 - dy), (y1, dy)):
                        for m, in_x in ((x0, 1 - share[x]), (x1, share[x])):
                            labels[k] = regions[i, j, m]
                            tall[k] = height[i, j, m]
                            weights[k] = in_z * in_y * in_x
                            k += 1
                out[z, y, x] = _chosen(labels, tall, weights, level)


@njit(cache=True, nogil=True)
def _chosen(labels: Any, tall: Any, weights: Any, level: Any) -> int:
    best, most = 0, 0.0
    for k in range(labels.size):
        total = 0.0
        for m in range(labels.size):
            if labels[m] == labels[k]:
                total += weights[m]
        if labels[k] and (total > most or (total == most and labels[k] < best)):
            best, most = labels[k], total
    if best == 0:
        return 0
    edge = level[best]
    inside = 0.0
    for k in range(labels.size):
        over = tall[k] - edge
        if labels[k]:
            over = max(over, _SURE * edge)
        else:
            over = min(over, -_SURE * edge)
        inside += weights[k] * over
    return best if inside > 0 else 0


@njit(cache=True, nogil=True)
def in_raster_order(regions: Any) -> Any:
    """Give regions the numbers 1, 2, ... by their first pixel."""
    most = 0
    flat = regions.ravel()
    for label in flat:
        most = max(most, label)
    names = np.zeros(most + 1, np.uint32)
    result = np.empty(flat.size, np.uint32)
    number = 0
    for i in range(flat.size):
        label = flat[i]
        if label and names[label] == 0:
            number += 1
            names[label] = number
        result[i] = names[label]
    return result.reshape(regions.shape)
