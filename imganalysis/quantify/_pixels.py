"""Compiled: the pixels of one channel, added up per object along the runs of a strip.

Pixels are ``uint8``, ``uint16``, ``float32`` or ``float64``; sums are ``float64``. Every array of
sums is (object, compartment), so that channels can be added up side by side in threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def add_sums(
    one: NDArray[Any],
    two: NDArray[Any],
    three: NDArray[Any],
    four: NDArray[Any],
    ends: NDArray[np.int32],
    row: NDArray[np.int32],
    n: int,
    sums: NDArray[np.float64],
) -> None:
    """Add up the pixels of four channels at once, twice as fast as one after the other.

    Parameters
    ----------
    one, two, three, four
        Pixels of the strip in each channel, in raster order.
    ends, row, n
        As `imganalysis.quantify._runs.find_runs` gives them.
    sums
        (N, 3, 4) of nucleus, ring, cell in each channel; a pixel that is not finite makes them
        not finite.
    """
    for i in range(n):
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        for j in range(ends[i, 0], ends[i, 1]):
            a += one[j]
            b += two[j]
            c += three[j]
            d += four[j]
        for k in range(3):
            r = row[i, k]
            if r >= 0:
                sums[r, k, 0] += a
                sums[r, k, 1] += b
                sums[r, k, 2] += c
                sums[r, k, 3] += d


@njit(cache=True, nogil=True)
def add_moments(
    pixels: NDArray[Any],
    ends: NDArray[np.int32],
    row: NDArray[np.int32],
    n: int,
    sums: NDArray[np.float64],
    member: int,
    moments: NDArray[np.float64],
) -> None:
    """Add up pixels of one channel and their squares, and find the least and the greatest.

    Parameters
    ----------
    pixels
        Of the strip, in raster order.
    ends, row, n
        As in `add_sums`.
    sums, member
        As there, and the same bit for bit; which of the four channels it is.
    moments
        (N, 3, 6): number of pixels; the first of them; sum and sum of squares of the
        differences from it; least; greatest.

    Notes
    -----
    Squares are of the difference from a pixel of the object itself. That pixel is in the sum,
    so the variance cannot be lost in rounding, however far from zero the values lie: the
    relative error of the sum of squares is at most of the order of the number of pixels times
    that of a single operation.
    """
    for i in range(n):
        begin, end = ends[i, 0], ends[i, 1]
        base = np.float64(pixels[begin])
        least, greatest = base, base
        total: Any = 0.0
        first: Any = 0.0
        second: Any = 0.0
        for j in range(begin, end):
            value = np.float64(pixels[j])
            difference = value - base
            total += value
            first += difference
            second += difference * difference
            least = min(least, value)
            greatest = max(greatest, value)
        length = np.float64(end - begin)
        for k in range(3):
            r = row[i, k]
            if r < 0:
                continue
            sums[r, k, member] += total
            own = moments[r, k]
            if own[0] == 0:
                own[1], own[4], own[5] = base, least, greatest
            shift = base - own[1]
            own[0] += length
            own[2] += first + length * shift
            own[3] += second + shift * (2 * first + length * shift)
            own[4] = min(own[4], least)
            own[5] = max(own[5], greatest)


@njit(cache=True, nogil=True)
def add_above(
    pixels: NDArray[Any],
    ends: NDArray[np.int32],
    row: NDArray[np.int32],
    n: int,
    level: float,
    hits: NDArray[np.int64],
) -> None:
    """Count pixels above a level, (N, 3)."""
    for i in range(n):
        found = 0
        for j in range(ends[i, 0], ends[i, 1]):
            found += 1 if np.float64(pixels[j]) > level else 0
        for k in range(3):
            if row[i, k] >= 0:
                hits[row[i, k], k] += found


@njit(cache=True, nogil=True)
def add_zeros(
    pixels: NDArray[Any],
    ends: NDArray[np.int32],
    row: NDArray[np.int32],
    n: int,
    hits: NDArray[np.int64],
) -> None:
    """Count pixels that are 0, (N, 3)."""
    for i in range(n):
        found = 0
        for j in range(ends[i, 0], ends[i, 1]):
            found += 1 if pixels[j] == 0 else 0
        for k in range(3):
            if row[i, k] >= 0:
                hits[row[i, k], k] += found


@njit(cache=True, nogil=True)
def add_contrast(
    pixels: NDArray[Any],
    labels: NDArray[np.uint32],
    ends: NDArray[np.int32],
    row: NDArray[np.int32],
    n: int,
    k: int,
    lag: tuple[int, int],
    squares: NDArray[np.float64],
    pairs: NDArray[np.int64],
) -> None:
    """Add up squared differences of pixels of one object that lie a lag apart.

    Parameters
    ----------
    pixels, labels
        (Y, X) of the strip and of as many lines below it as there are, up to the lag.
    ends, row, n
        As `imganalysis.quantify._runs.find_runs` gives them.
    k
        Compartment, whose labels these are.
    lag
        (Y, X) pixels.
    squares, pairs
        (N,)
    """
    height, width = labels.shape
    down, right = lag
    for i in range(n):
        r = row[i, k]
        if r < 0:
            continue
        y = ends[i, 2]
        x0 = ends[i, 0] - y * width
        x1 = ends[i, 1] - y * width
        label = labels[y, x0]
        total: Any = 0.0
        found = 0
        for x in range(x0, min(x1, width - right)):
            if labels[y, x + right] == label:
                difference = np.float64(pixels[y, x + right]) - np.float64(pixels[y, x])
                total += difference * difference
                found += 1
        if y + down < height:
            for x in range(x0, x1):
                if labels[y + down, x] == label:
                    difference = np.float64(pixels[y + down, x]) - np.float64(pixels[y, x])
                    total += difference * difference
                    found += 1
        squares[r] += total
        pairs[r] += found


@njit(cache=True, nogil=True)
def gather(
    pixels: NDArray[Any],
    ends: NDArray[np.int32],
    row: NDArray[np.int32],
    n: int,
    k: int,
    cursor: NDArray[np.int64],
    values: NDArray[Any],
) -> None:
    """Bring the pixels of each object of a compartment together, from its cursor on."""
    for i in range(n):
        r = row[i, k]
        if r < 0:
            continue
        place = cursor[r]
        for j in range(ends[i, 0], ends[i, 1]):
            values[place] = pixels[j]
            place += 1
        cursor[r] = place


@njit(cache=True, nogil=True)
def _select(values: NDArray[Any], low: int, high: int, rank: int) -> None:
    """Order values[low:high + 1] so far that the one at `rank` stands where it belongs.

    What is not greater stands before it, what is not smaller behind it (Hoare's quickselect).
    """
    while low < high:
        middle = (low + high) // 2
        a, b, c = values[low], values[middle], values[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            return


@njit(cache=True, nogil=True)
def percentiles(
    values: NDArray[Any],
    offset: NDArray[np.int64],
    known: NDArray[np.bool_],
    shares: NDArray[np.float64],
    result: NDArray[np.float64],
) -> None:
    """Take percentiles of each object's pixels, linear between two of them.

    Parameters
    ----------
    values
        Pixels, object by object; left in another order.
    offset
        (N + 1,) where each object's begin.
    known
        (N,) objects without a pixel that is not finite.
    shares
        (P,) ascending, 0 to 1.
    result
        Filled where known and not empty: (N, P).
    """
    for r in range(known.size):
        low, high = offset[r], offset[r + 1] - 1
        if not known[r] or high < low:
            continue
        done = low
        for p in range(shares.size):
            position = shares[p] * (high - low)
            rank = low + np.int64(np.floor(position))
            _select(values, done, high, rank)
            done = rank
            below = np.float64(values[rank])
            above = below
            if rank < high:
                above = np.float64(values[rank + 1])
                for j in range(rank + 2, high + 1):
                    above = min(above, np.float64(values[j]))
            result[r, p] = below + (position - np.floor(position)) * (above - below)
