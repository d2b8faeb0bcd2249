"""Compiled: runs of pixels with the same objects, and what the runs alone tell of an object.

A run is a stretch of one image line in which nucleus, ring and cell each stay the same object.
It is found once and then used for every channel, so that labels are read once, and the work
beside reading pixels is per run, not per pixel.

Every object is added up in raster order. A run ends where one of its own objects ends, never
at the side of a tile that holds its objects whole: so sums do not depend on the tiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPREAD = np.uint32(2654435769)  # 2**32 over the golden ratio: multiplicative hashing


@njit(cache=True, nogil=True)
def mark(labels: NDArray[np.uint32], seen: NDArray[np.bool_]) -> int:
    """Mark the numbers that occur, of those that `seen` has room for; give the largest."""
    largest = np.uint32(0)
    last = np.uint32(0)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label = labels[y, x]
            if label != last:
                last = label
                largest = max(largest, label)
                if label < seen.size:
                    seen[label] = True
    return int(largest)


@njit(cache=True, nogil=True)
def fill_slots(ids: NDArray[np.uint32], slots: NDArray[np.int32]) -> None:
    """Put the rows of `ids` into an open hash table of a power of two places, -1 = free."""
    last = slots.size - 1
    for row in range(ids.size):
        place = (ids[row] * _SPREAD) & last
        while slots[place] >= 0:
            place = (place + 1) & last
        slots[place] = row


@njit(cache=True, nogil=True)
def to_places(
    labels: NDArray[np.uint32],
    ids: NDArray[np.uint32],
    slots: NDArray[np.int32],
    places: NDArray[np.uint32],
) -> None:
    """Replace each number by 1 + its row, and by 1 + N if it has none; 0 stays.

    Parameters
    ----------
    labels
        (Y, X)
    ids, slots
        (N,) numbers, and their hash table as `fill_slots` leaves it.
    places
        Filled: (Y, X).
    """
    last = slots.size - 1
    label = np.uint32(0)
    found = np.uint32(0)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if labels[y, x] != label:
                label = labels[y, x]
                found = np.uint32(0 if label == 0 else ids.size + 1)
                place = (label * _SPREAD) & last
                while slots[place] >= 0:
                    if ids[slots[place]] == label:
                        found = np.uint32(slots[place] + 1)
                        break
                    place = (place + 1) & last
            places[y, x] = found


@njit(cache=True, nogil=True)
def find_runs(
    nucleus: NDArray[np.uint32],
    ring: NDArray[np.uint32],
    cell: NDArray[np.uint32],
    table: NDArray[np.int32],
    ends: NDArray[np.int32],
    row: NDArray[np.int32],
) -> tuple[int, bool]:
    """Find the runs of a strip that belong to an object.

    Parameters
    ----------
    nucleus, ring, cell
        (Y, X) labels; 0 in a compartment that there is not.
    table
        Number -> row, -1 = nothing to measure, -2 = no nucleus has this number; the last entry
        stands for all numbers from it on.
    ends
        Filled: (run, 3) first pixel, pixel after the last, both counted from the strip's first;
        line. Has room for one run more than there are pixels.
    row
        Filled: (run, 3) row of the nucleus, the ring and the cell, or under 0.

    Returns
    -------
    n
        Number of runs.
    strange
        Whether there is a number that no nucleus has.
    """
    height, width = nucleus.shape
    last = np.uint32(table.size - 1)
    least = np.int32(0)
    n = 0
    for y in range(height):
        base = y * width
        a, b, c = np.uint32(0), np.uint32(0), np.uint32(0)
        # What follows has no branch but this one, which nobody can foretell: a stretch of
        # background is written down like any other, and then over.
        is_object = 0
        for x in range(width):
            new_a, new_b, new_c = nucleus[y, x], ring[y, x], cell[y, x]
            if ((new_a ^ a) | (new_b ^ b) | (new_c ^ c)) != 0:
                ends[n, 1] = base + x
                n += is_object
                a, b, c = new_a, new_b, new_c
                row_a, row_b, row_c = table[min(a, last)], table[min(b, last)], table[min(c, last)]
                least = min(least, row_a, row_b, row_c)
                ends[n, 0] = base + x
                ends[n, 2] = y
                row[n, 0] = row_a
                row[n, 1] = row_b
                row[n, 2] = row_c
                is_object = 1 if (row_a & row_b & row_c) >= 0 else 0
        ends[n, 1] = base + width
        n += is_object
    return n, bool(least < -1)


@njit(cache=True, nogil=True)
def add_geometry(
    ends: NDArray[np.int32],
    row: NDArray[np.int32],
    n: int,
    width: int,
    origin: tuple[int, int, int],
    count: NDArray[np.int64],
    start: NDArray[np.int64],
    box: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> None:
    """Count the pixels of a strip, and add up where those of the nuclei lie.

    Parameters
    ----------
    ends, row, n
        As `find_runs` gives them.
    width
        Of the strip, pixels.
    origin
        (z, y, x) of the strip's first pixel.
    count
        (N, 3) pixels of nucleus, ring, cell.
    start
        (N, 3) z, y, x of the nucleus's first pixel in raster order.
    box
        (N, 6) smallest z, y, x and largest z, y, x of the nucleus.
    first, second
        (N, 3) sums of z, y, x and (N, 6) of zz, yy, xx, zy, zx, yx of the nucleus's pixels,
        counted from its first pixel: whole numbers, so exact.
    """
    for i in range(n):
        length = np.int64(ends[i, 1] - ends[i, 0])
        if row[i, 1] >= 0:
            count[row[i, 1], 1] += length
        if row[i, 2] >= 0:
            count[row[i, 2], 2] += length
        r = row[i, 0]
        if r < 0:
            continue
        z = origin[0]
        y = np.int64(ends[i, 2]) + origin[1]
        x = np.int64(ends[i, 0]) - np.int64(ends[i, 2]) * width + origin[2]
        if count[r, 0] == 0:
            start[r, 0], start[r, 1], start[r, 2] = z, y, x
            box[r, 0], box[r, 1], box[r, 2] = z, y, x
            box[r, 3], box[r, 4], box[r, 5] = z, y, x
        count[r, 0] += length
        box[r, 1] = min(box[r, 1], y)
        box[r, 2] = min(box[r, 2], x)
        box[r, 3] = z
        box[r, 4] = max(box[r, 4], y)
        box[r, 5] = max(box[r, 5], x + length - 1)
        z -= start[r, 0]
        y -= start[r, 1]
        x -= start[r, 2]
        # Of x, x + 1, ..., x + length - 1: their sum and the sum of their squares.
        steps = length * (length - 1) // 2
        sum_x = length * x + steps
        first[r, 0] += length * z
        first[r, 1] += length * y
        first[r, 2] += sum_x
        second[r, 0] += length * z * z
        second[r, 1] += length * y * y
        second[r, 2] += length * x * x + 2 * x * steps + steps * (2 * length - 1) // 3
        second[r, 3] += length * z * y
        second[r, 4] += z * sum_x
        second[r, 5] += y * sum_x


@njit(cache=True, nogil=True)
def add_neighbours(
    nucleus: NDArray[np.uint32],
    ends: NDArray[np.int32],
    row: NDArray[np.int32],
    n: int,
    same: NDArray[np.int64],
) -> None:
    """Count pairs of neighbouring pixels that are of the same nucleus.

    Parameters
    ----------
    nucleus
        (Y, X) labels of the strip and of the line below it, where there is one.
    ends, row, n
        As `find_runs` gives them.
    same
        (N, 4) pairs: beside, below, below to the right, below to the left.
    """
    height, width = nucleus.shape
    for i in range(n):
        r = row[i, 0]
        if r < 0:
            continue
        y = ends[i, 2]
        x0 = ends[i, 0] - y * width
        x1 = ends[i, 1] - y * width
        label = nucleus[y, x0]
        same[r, 0] += x1 - x0 - 1
        if x0 > 0 and nucleus[y, x0 - 1] == label:
            same[r, 0] += 1
        if y + 1 == height:
            continue
        below = 0
        for x in range(x0, x1):
            below += nucleus[y + 1, x] == label
        right, left = below, below
        right -= nucleus[y + 1, x0] == label
        left -= nucleus[y + 1, x1 - 1] == label
        if x1 < width:
            right += nucleus[y + 1, x1] == label
        if x0 > 0:
            left += nucleus[y + 1, x0 - 1] == label
        same[r, 1] += below
        same[r, 2] += right
        same[r, 3] += left


@njit(cache=True, nogil=True)
def add_extents(
    ends: NDArray[np.int32],
    row: NDArray[np.int32],
    n: int,
    width: int,
    origin: tuple[int, int, int],
    box: NDArray[np.int64],
    offset: NDArray[np.int64],
    extent: NDArray[np.int32],
) -> None:
    """Note where each nucleus begins and ends in every line of its box.

    Parameters
    ----------
    ends, row, n, width, origin, box
        As in `add_geometry`.
    offset
        (N,) line of `extent` that is the first of the box, counted in raster order of (z, y).
    extent
        (line, 2) first and last x, counted from the box; -1, -1 where the line is empty.
    """
    for i in range(n):
        r = row[i, 0]
        if r < 0:
            continue
        z = origin[0] - box[r, 0]
        y = ends[i, 2] + origin[1] - box[r, 1]
        x = ends[i, 0] - ends[i, 2] * width + origin[2] - box[r, 2]
        line = offset[r] + z * (box[r, 4] - box[r, 1] + 1) + y
        if extent[line, 0] < 0:
            extent[line, 0] = x
        extent[line, 1] = x + ends[i, 1] - ends[i, 0] - 1


@njit(cache=True, nogil=True)
def add_boxes(
    ends: NDArray[np.int32],
    row: NDArray[np.int32],
    n: int,
    width: int,
    origin: tuple[int, int, int],
    box: NDArray[np.int64],
) -> None:
    """Widen the box (smallest z, y, x, largest z, y, x) that holds all compartments, (N, 6)."""
    for i in range(n):
        z = origin[0]
        y = ends[i, 2] + origin[1]
        x = ends[i, 0] - ends[i, 2] * width + origin[2]
        last = x + ends[i, 1] - ends[i, 0] - 1
        for k in range(3):
            r = row[i, k]
            if r < 0:
                continue
            box[r, 0] = min(box[r, 0], z)
            box[r, 1] = min(box[r, 1], y)
            box[r, 2] = min(box[r, 2], x)
            box[r, 3] = max(box[r, 3], z)
            box[r, 4] = max(box[r, 4], y)
            box[r, 5] = max(box[r, 5], last)
