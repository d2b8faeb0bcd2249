"""Put back together what texture split: pieces of one nucleus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from skimage.morphology import convex_hull_image

from imganalysis.segment._coarse import as_stack

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NECK = 0.75  # of the smaller piece's diameter: a shorter seam is a neck between two nuclei
_SEAM = 0.88  # of the dimmer piece's level: a darker seam is a gap
_CONVEX = 0.93  # area over the convex hull's: two nuclei side by side have a notch
_LARGEST = 2.0  # diameters of a typical nucleus
_ROUNDS = 3  # in each a region is joined once: eight pieces of one nucleus become one


def merge_pieces(
    regions: NDArray[np.int32],
    height: NDArray[np.float32],
    spacing_um: tuple[float, ...],
    diameter_um: float,
) -> NDArray[np.int32]:
    """Join neighbours whose union looks like one nucleus.

    Parameters
    ----------
    regions
        (Y, X) or (Z, Y, X), 0 = background.
    height
        Smoothed brightness above the background.
    spacing_um
        Size of a pixel along each axis, um; (Y, X) for a stack of one plane too.
    diameter_um
        Of a typical nucleus.

    Returns
    -------
    regions
        A union keeps the smaller number. Two are joined if their seam is long for their size
        and hardly darker than they are, and if their union is convex and not too large; the
        brightest seam first.
    """
    axes = len(spacing_um)
    merged, tall = as_stack(regions), as_stack(height)
    spacing = (1.0,) * (3 - axes) + tuple(spacing_um)
    pixel = float(np.prod(spacing))
    for _ in range(_ROUNDS):
        n, pairs, seam, dark = _seams(merged, tall, spacing, axes)
        if not len(pairs):
            break
        size, total = _sums(merged, tall, n)
        level = total / np.maximum(size, 1)
        size *= pixel
        least = np.minimum(size[pairs[:, 0]], size[pairs[:, 1]])
        bright = dark / np.minimum(level[pairs[:, 0]], level[pairs[:, 1]])
        both = _diameter(size[pairs].sum(axis=1), axes)
        good = seam >= _NECK * _diameter(least, axes)
        good &= (bright >= _SEAM) & (both <= _LARGEST * diameter_um)
        boxes = _boxes(merged, n) if good.any() else np.zeros((n, 6), np.int64)
        new = np.arange(n, dtype=np.int32)
        taken = np.zeros(n, bool)
        # Brightest seam first; equal ones by number, so that the result is always the same.
        for k in sorted(np.flatnonzero(good), key=lambda k: (-bright[k], *pairs[k])):
            one, other = pairs[k]
            if not taken[[one, other]].any() and _convex(merged, boxes, one, other, axes):
                new[other] = one
                taken[[one, other]] = True
        if not taken.any():
            break
        merged = new[merged]
    return merged.reshape(regions.shape)


def _diameter(size: NDArray[np.float64], axes: int) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(4 * size / np.pi) if axes == 2 else np.cbrt(6 * size / np.pi))


def _seams(
    regions: NDArray[np.int32],
    height: NDArray[np.float32],
    spacing_um: tuple[float, ...],
    axes: int,
) -> tuple[int, NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """1 + largest number; neighbours (smaller first), width of their seam in um, its mean height.

    The faces between two regions add up, axis by axis, to the projections of the seam; from
    these follows the length of a straight seam, or in 3-D the diameter of a flat one.
    """
    n, first, second, which, value = _faces(regions, height)
    unique, row = np.unique(first.astype(np.int64) * n + second, return_inverse=True)
    count = np.bincount(row, minlength=unique.size)
    mean = np.bincount(row, weights=value, minlength=unique.size) / np.maximum(count, 1)
    face = np.prod(spacing_um) / np.asarray(spacing_um)
    squares = np.zeros(unique.size)
    for axis in range(3):
        faces = np.bincount(row[which == axis], minlength=unique.size)
        squares += (faces * face[axis]) ** 2
    width = np.sqrt(squares)
    if axes == 3:
        width = np.sqrt(4 * width / np.pi)
    return n, np.column_stack(np.divmod(unique, n)).astype(np.intp), width, mean


@njit(cache=True, nogil=True)
def _faces(regions: Any, height: Any) -> Any:
    """1 + largest number; for every face between two regions: both, its axis, the lower height."""
    depth, rows, columns = regions.shape
    # A pixel has three faces towards the pixels before it.
    most = 3 * np.count_nonzero(regions)
    first, second = np.empty(most, np.int32), np.empty(most, np.int32)
    which, value = np.empty(most, np.int8), np.empty(most, np.float32)
    largest, k = 0, 0
    for z in range(depth):
        for y in range(rows):
            for x in range(columns):
                one = regions[z, y, x]
                if one == 0:
                    continue
                largest = max(largest, one)
                for axis in range(3):
                    zz, yy, xx = z - (axis == 0), y - (axis == 1), x - (axis == 2)
                    if zz < 0 or yy < 0 or xx < 0:
                        continue
                    other = regions[zz, yy, xx]
                    if other == 0 or other == one:
                        continue
                    first[k], second[k] = min(one, other), max(one, other)
                    which[k] = axis
                    value[k] = min(height[z, y, x], height[zz, yy, xx])
                    k += 1
    return largest + 1, first[:k], second[:k], which[:k], value[:k]


@njit(cache=True, nogil=True)
def _sums(regions: Any, height: Any, n: int) -> Any:
    """Count the pixels of each region, and add up their height."""
    size, total = np.zeros(n), np.zeros(n)
    flat, value = regions.ravel(), height.ravel()
    for i in range(flat.size):
        size[flat[i]] += 1
        total[flat[i]] += value[i]
    return size, total


@njit(cache=True, nogil=True)
def _boxes(regions: Any, n: int) -> Any:
    """(n, 6): first pixel and one after the last, along each axis."""
    boxes = np.zeros((n, 6), np.int64)
    boxes[:, 0::2] = max(regions.shape)
    for z in range(regions.shape[0]):
        for y in range(regions.shape[1]):
            for x in range(regions.shape[2]):
                box = boxes[regions[z, y, x]]
                box[0], box[1] = min(box[0], z), max(box[1], z + 1)
                box[2], box[3] = min(box[2], y), max(box[3], y + 1)
                box[4], box[5] = min(box[4], x), max(box[5], x + 1)
    return boxes


def _convex(
    regions: NDArray[np.int32], boxes: NDArray[np.int64], one: int, other: int, axes: int
) -> bool:
    low = np.minimum(boxes[one], boxes[other])[0::2]
    high = np.maximum(boxes[one], boxes[other])[1::2]
    part = regions[tuple(map(slice, low, high))]
    if axes == 2:
        count, hull = _hull(part[0], one, other)
        return bool(count >= _CONVEX * hull)
    union = (part == one) | (part == other)
    if min(union.shape) < 2:
        return True
    # In 3-D the corners of voxels would make a ball of a few planes look dented.
    hull = np.count_nonzero(convex_hull_image(union, offset_coordinates=False))  # type: ignore[no-untyped-call]
    return bool(np.count_nonzero(union) >= _CONVEX * hull)


@njit(cache=True, nogil=True)
def _hull(part: Any, one: int, other: int) -> Any:
    """Pixels of two regions of a plane, and the area of the convex hull around them.

    The hull runs through the middles of the pixels' sides, so that a disc of pixels has none of
    its corners. Andrew's monotone chain (Inform Process Lett 1979;9:216), from top to bottom.
    """
    rows, columns = part.shape
    left = np.full(2 * rows + 1, np.inf)  # along X, at every half row
    right = np.full(2 * rows + 1, -np.inf)
    count = 0
    for y in range(rows):
        for x in range(columns):
            if part[y, x] == one or part[y, x] == other:
                count += 1
                for k, reach in ((0, 0.0), (1, 0.5), (2, 0.0)):
                    left[2 * y + k] = min(left[2 * y + k], x - reach)
                    right[2 * y + k] = max(right[2 * y + k], x + reach)
    area = 0.0
    where = np.empty(left.size, np.int64)
    for side in (-1.0, 1.0):
        edge = left if side < 0 else right
        n = 0
        for k in range(edge.size):
            if not np.isfinite(edge[k]):
                continue
            while n > 1:
                a, b = where[n - 2], where[n - 1]
                line = edge[a] + (edge[k] - edge[a]) * (b - a) / (k - a)
                if side * (edge[b] - line) > 0:
                    break
                n -= 1
            where[n] = k
            n += 1
        for m in range(1, n):
            a, b = where[m - 1], where[m]
            area += side * (edge[a] + edge[b]) / 2 * (b - a) / 2
    return count, area
