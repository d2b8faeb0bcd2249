"""Put back together what texture split: pieces of one nucleus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage as ndi
from skimage.morphology import convex_hull_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NECK = 0.75  # of the smaller piece's diameter: a shorter seam is a neck between two nuclei
_SEAM = 0.88  # of the dimmer piece's level: a darker seam is a gap
_CONVEX = 0.93  # area over the convex hull's: two nuclei side by side have a notch
_LARGEST = 2.0  # diameters of a typical nucleus


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
        Size of a pixel along each axis, um.
    diameter_um
        Of a typical nucleus.

    Returns
    -------
    regions
        A union keeps the smaller number. Two are joined if their seam is long for their size
        and hardly darker than they are, and if their union is convex and not too large; the
        brightest seam first.
    """
    merged = regions
    for _ in range(3):
        pairs, seam, dark = _seams(merged, height, spacing_um)
        n = int(merged.max()) + 1
        size = np.bincount(merged.ravel(), minlength=n) * float(np.prod(spacing_um))
        total = np.bincount(merged.ravel(), weights=height.ravel(), minlength=n)
        level = total * float(np.prod(spacing_um)) / np.maximum(size, 1e-12)
        if not len(pairs):
            break
        least = np.minimum(size[pairs[:, 0]], size[pairs[:, 1]])
        bright = dark / np.minimum(level[pairs[:, 0]], level[pairs[:, 1]])
        both = _diameter(size[pairs].sum(axis=1), regions.ndim)
        good = seam >= _NECK * _diameter(least, regions.ndim)
        good &= (bright >= _SEAM) & (both <= _LARGEST * diameter_um)
        boxes = ndi.find_objects(merged)
        new = np.arange(n, dtype=np.int32)
        taken = np.zeros(n, bool)
        # Brightest seam first; equal ones by number, so that the result is always the same.
        for k in sorted(np.flatnonzero(good), key=lambda k: (-bright[k], *pairs[k])):
            one, other = pairs[k]
            if not taken[[one, other]].any() and _convex(merged, boxes, one, other):
                new[other] = one
                taken[[one, other]] = True
        if not taken.any():
            break
        merged = new[merged]
    return merged


def _diameter(size: NDArray[np.float64], axes: int) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(4 * size / np.pi) if axes == 2 else np.cbrt(6 * size / np.pi))


def _seams(
    regions: NDArray[np.int32], height: NDArray[np.float32], spacing_um: tuple[float, ...]
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Neighbours (smaller number first), the width of their seam in um, its mean height.

    The faces between two regions add up, axis by axis, to the projections of the seam; from
    these follows the length of a straight seam, or in 3-D the diameter of a flat one.
    """
    n = int(regions.max()) + 1
    keys, axes, heights = [], [], []
    for axis in range(regions.ndim):
        low = np.moveaxis(regions, axis, 0)[:-1]
        high = np.moveaxis(regions, axis, 0)[1:]
        touch = (low != high) & (low > 0) & (high > 0)
        first, second = low[touch].astype(np.int64), high[touch].astype(np.int64)
        keys.append(np.minimum(first, second) * n + np.maximum(first, second))
        axes.append(np.full(first.size, axis))
        tall = np.moveaxis(height, axis, 0)
        heights.append(np.minimum(tall[:-1][touch], tall[1:][touch]))
    key, which, value = (np.concatenate(part) for part in (keys, axes, heights))
    unique, row = np.unique(key, return_inverse=True)
    count = np.bincount(row, minlength=unique.size)
    mean = np.bincount(row, weights=value, minlength=unique.size) / np.maximum(count, 1)
    face = np.prod(spacing_um) / np.asarray(spacing_um)
    squares = np.zeros(unique.size)
    for axis in range(regions.ndim):
        faces = np.bincount(row[which == axis], minlength=unique.size)
        squares += (faces * face[axis]) ** 2
    width = np.sqrt(squares)
    if regions.ndim == 3:
        width = np.sqrt(4 * width / np.pi)
    return np.column_stack(np.divmod(unique, n)).astype(np.intp), width, mean


def _convex(regions: NDArray[np.int32], boxes: list[Any], one: int, other: int) -> bool:
    pair = (boxes[one - 1], boxes[other - 1])
    box = tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(*pair, strict=True)
    )
    part = regions[box]
    union = (part == one) | (part == other)
    if min(union.shape) < 2:
        return True
    # In 3-D the corners of voxels would make a ball of a few planes look dented.
    hull = convex_hull_image(union, offset_coordinates=union.ndim == 2)  # type: ignore[no-untyped-call]
    return bool(np.count_nonzero(union) >= _CONVEX * np.count_nonzero(hull))
