"""Size, place and shape of labelled objects, all objects at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def centroids(
    index: tuple[NDArray[np.intp], ...], row: NDArray[np.intp], count: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Mean pixel index of each object along each axis, (N, axes)."""
    n = count.size
    sums = [np.bincount(row, weights=axis, minlength=n) for axis in index]
    return np.column_stack(sums) / count[:, np.newaxis]


def equivalent_diameter(size: NDArray[np.float64], axes: int) -> NDArray[np.float64]:
    """Diameter of the circle of the same area, or the sphere of the same volume."""
    if axes == 2:
        return np.asarray(np.sqrt(4 * size / np.pi))
    return np.asarray(np.cbrt(6 * size / np.pi))


def aspect_ratio(
    index: tuple[NDArray[np.intp], ...],
    row: NDArray[np.intp],
    centre: NDArray[np.float64],
    spacing_um: tuple[float, ...],
) -> NDArray[np.float64]:
    """Long axis over short axis of the ellipse (ellipsoid) with the same second moments.

    Each pixel counts as a box, which adds 1/12 of its squared side to its moment: an object
    one pixel wide has a width too, and a single square pixel an aspect ratio of 1.
    """
    n, axes = centre.shape
    count = np.bincount(row, minlength=n)
    offset = [
        (axis - centre[row, k]) * spacing_um[k] for k, axis in enumerate(index)
    ]  # um from the centroid
    moments = np.zeros((n, axes, axes))
    for i in range(axes):
        for j in range(i, axes):
            sums = np.bincount(row, weights=offset[i] * offset[j], minlength=n) / count
            moments[:, i, j] = moments[:, j, i] = sums
        moments[:, i, i] += spacing_um[i] ** 2 / 12
    values = np.linalg.eigvalsh(moments)
    return np.asarray(np.sqrt(values[:, -1] / values[:, 0]))


def perimeters(
    rows: NDArray[np.intp], n: int, spacing_um: tuple[float, ...]
) -> NDArray[np.float64]:
    """Perimeter in um by Crofton's formula over the pixel lattice's four directions.

    Parameters
    ----------
    rows
        (Y, X) row of the object that each pixel belongs to, -1 for background.
    n
        Number of objects.
    spacing_um
        (Y, X) um.

    Notes
    -----
    Lines of one direction, a distance d apart, cross an outline I times; half the integral of
    d * I over all directions is its length. Each direction stands for the angles that are
    nearer to it than to its neighbours. As `skimage.measure.perimeter_crofton`, for pixels
    that need not be square.
    """
    dy, dx = spacing_um
    padded = np.pad(rows, 1, constant_values=-1)
    slope = np.arctan2(dy, dx)
    diagonal = dx * dy / np.hypot(dx, dy)
    steps = (
        ((0, 1), slope, dy),  # lines along X
        ((1, 0), np.pi / 2 - slope, dx),
        ((1, 1), np.pi / 4, diagonal),
        ((1, -1), np.pi / 4, diagonal),
    )
    total = np.zeros(n)
    for (down, right), angle, apart in steps:
        first = padded[: padded.shape[0] - down]
        second = padded[down:]
        if right == 1:
            first, second = first[:, :-1], second[:, 1:]
        elif right == -1:
            first, second = first[:, 1:], second[:, :-1]
        crossing = first != second
        for side in (first[crossing], second[crossing]):
            total += np.bincount(side[side >= 0], minlength=n) * angle * apart
    return total / 2


def solidities(rows: NDArray[np.intp], n: int) -> NDArray[np.float64]:
    """Area over the area of the convex hull; 1 for objects too small to have a hull."""
    from scipy.ndimage import find_objects
    from skimage.morphology import convex_hull_image

    hull: Any = convex_hull_image
    result = np.ones(n)
    for number, box in enumerate(find_objects(rows + 1)):
        one = rows[box] == number
        if min(one.shape) > 1 and one.sum() > 2:
            result[number] = one.sum() / hull(one).sum()
    return result
