"""Size of the convex hull of objects, from the first and last pixel of each of their lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EDGE = 1e-10  # pixels; a pixel this little outside the hull is on it, as in scikit-image
_FLAT = 1e-12  # a face whose normal has no more of X than this runs along X


@njit(cache=True, nogil=True)
def _chain(side: NDArray[np.int64], corner: NDArray[np.int64]) -> int:
    """Lines at which the lower hull of the points (line, side[line]) has its corners.

    Lines without a point hold the largest number. Gives the number of corners.
    """
    n = 0
    for line in range(side.size):
        if side[line] == np.iinfo(np.int64).max:
            continue
        while n > 1:
            a, b = corner[n - 2], corner[n - 1]
            turn = (b - a) * (side[line] - side[a]) - (side[b] - side[a]) * (line - a)
            if turn > 0:
                break
            n -= 1
        corner[n] = line
        n += 1
    return n


@njit(cache=True, nogil=True)
def hull_pixels(
    extent: NDArray[np.int32], offset: NDArray[np.int64], n_lines: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Count the pixels in the convex hull of each object of a single plane.

    Parameters
    ----------
    extent
        (line, 2) first and last x of the object in each line of its box; -1, -1 if empty.
    offset, n_lines
        (N,) first line of each object, and their number.

    Returns
    -------
    NDArray
        (N,) pixels whose centre lies in the hull or on its edge.

    Notes
    -----
    As `skimage.morphology.convex_hull_image`: the hull is that of the middles of all pixels'
    sides. In half pixels these are whole numbers, so nothing is rounded.
    """
    none = np.iinfo(np.int64).max
    result = np.zeros(offset.size, np.int64)
    for r in range(offset.size):
        lines = n_lines[r]
        # Line l of the object is line 2 l + 1 of half pixels. The right side with its sign
        # changed, so that it has a lower hull too.
        sides = np.full((2, 2 * lines + 1), none, np.int64)
        for line in range(lines):
            x0 = 2 * np.int64(extent[offset[r] + line, 0])
            x1 = 2 * np.int64(extent[offset[r] + line, 1])
            if x0 < 0:
                continue
            for half in range(3):
                wide = 1 if half == 1 else 0
                place = 2 * line + half
                sides[0, place] = min(sides[0, place], x0 - wide)
                sides[1, place] = min(sides[1, place], -x1 - wide)
        corner = np.empty(2 * lines + 1, np.int64)
        total = 0
        for side in range(2):
            own = sides[side]
            n = _chain(own, corner)
            at = 0
            for line in range(lines):
                place = 2 * line + 1
                while at + 2 < n and corner[at + 1] < place:
                    at += 1
                a, b = corner[at], corner[at + 1]
                # Edge at this line times 2 (b - a), rounded up to the pixel inside.
                edge = own[a] * (b - a) + (own[b] - own[a]) * (place - a)
                total -= -(-edge // (2 * (b - a)))
        result[r] = total + lines
    return result


def hull_voxels(
    extent: NDArray[np.int32],
    offset: NDArray[np.int64],
    n_lines: NDArray[np.int64],
    box: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Count the voxels in the convex hull of each object of a stack.

    Parameters
    ----------
    extent, offset, n_lines
        As in `hull_pixels`, the lines of all planes of the box after one another.
    box
        (N, 6) smallest and largest z, y, x.

    Returns
    -------
    NDArray
        (N,)
    """
    from scipy.spatial import ConvexHull

    steps = np.concatenate([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)])
    result = np.zeros(len(box), np.int64)
    for r, (low, high) in enumerate(zip(box[:, :3], box[:, 3:], strict=True)):
        size = high - low + 1
        own = extent[offset[r] : offset[r] + n_lines[r]]
        corners = _corners(own, size[0], size[1])
        # In half voxels and as one number each, which sorts out repeated ones fast.
        middles = (2 * corners[:, np.newaxis] + steps).reshape(-1, 3) + 1
        wide = 2 * size + 1
        once = np.unique(np.ravel_multi_index(tuple(middles.T), tuple(wide)))
        points = np.column_stack(np.unravel_index(once, tuple(wide))) / 2 - 0.5
        result[r] = _inside(ConvexHull(points).equations, size[0], size[1], size[2])
    return result


@njit(cache=True, nogil=True)
def _corners(extent: NDArray[np.int32], depth: int, height: int) -> NDArray[np.int64]:
    """List the corners (z, y, x) of an object's hull in each plane, of which its own hull is."""
    none = np.iinfo(np.int64).max
    points = np.empty((2 * extent.shape[0], 3), np.int64)
    corner = np.empty(height, np.int64)
    side = np.empty(height, np.int64)
    n = 0
    for z in range(depth):
        for end in range(2):
            for y in range(height):
                x = np.int64(extent[z * height + y, end])
                side[y] = none if x < 0 else (x if end == 0 else -x)
            for i in range(_chain(side, corner)):
                y = corner[i]
                points[n, 0], points[n, 1], points[n, 2] = z, y, abs(side[y])
                n += 1
    return points[:n]


@njit(cache=True, nogil=True)
def _inside(equations: NDArray[np.float64], depth: int, height: int, width: int) -> int:
    """Count the voxels of a box that lie on the inner side of every face."""
    total = 0
    for z in range(depth):
        for y in range(height):
            low, high = 0.0, width - 1.0
            for face in range(len(equations)):
                slope = equations[face, 2]
                rest = equations[face, 0] * z + equations[face, 1] * y + equations[face, 3] - _EDGE
                if slope > _FLAT:
                    high = min(high, -rest / slope)
                elif slope < -_FLAT:
                    low = max(low, -rest / slope)
                elif rest > 0:
                    high = -1.0
            if high >= low:
                total += max(0, int(np.floor(high)) - int(np.ceil(low)) + 1)
    return total
