"""Flows in three dimensions: followed to sinks, which make labels, and labels enlarged.

The same as `imganalysis.segment.flows` does in two.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from imganalysis.segment.flows import tidy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.segment.pixels import Box

_SINK = 2  # voxels that must end in one place for it to belong to a sink
_REACH = 4  # a sink is not wider than this to any side of its peak
_AT_REST = 0.1  # px: a voxel that is as near to where it was two steps before has arrived


def follow_to_labels(
    flows: NDArray[np.float32],
    logit: NDArray[np.float32],
    *,
    threshold: float,
    steps: int,
    min_size: int,
    threads: int = 1,
) -> NDArray[np.int32]:
    """Follow the flows; voxels that end in one place are one nucleus.

    Parameters
    ----------
    flows
        (3, Z, Y, X) float32, along Z, Y and X, voxels per step. They are set to 0 outside nuclei.
    logit
        (Z, Y, X) float32, of being in a nucleus.
    threshold
        Voxels with a higher logit are in a nucleus.
    steps
        At most.
    min_size
        Voxels; smaller objects are dropped.
    threads
        The labels do not depend on them.

    Returns
    -------
    labels : (Z, Y, X) int32
        0 = background. Each nucleus is in one piece and without holes.
    """
    inside = np.asarray(logit > threshold)
    found = np.zeros(logit.shape, np.int32)
    start = np.flatnonzero(inside)
    if not start.size:
        return found
    flows *= inside
    end = np.empty_like(start)
    parts = np.array_split(np.arange(start.size), threads)

    def work(part: NDArray[np.intp]) -> None:
        if part.size:
            _follow(flows, start, end, part[0], part[-1] + 1, steps)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, parts))
    counts = np.bincount(end, minlength=logit.size).astype(np.int32).reshape(logit.shape)
    sinks = _sinks(counts, max(_SINK + 1, min_size // 3))
    found.ravel()[start] = sinks.ravel()[end]
    return tidy(found, min_size)


@njit(cache=True, nogil=True)
def _follow(flows: Any, start: Any, end: Any, first: int, last: int, steps: int) -> None:
    """Euler steps with trilinear sampling; positions are rounded at the end."""
    depth, height, width = flows.shape[1], flows.shape[2], flows.shape[3]
    one, half, rest = np.float32(1.0), np.float32(0.5), np.float32(_AT_REST**2)
    move = np.empty(3, np.float32)
    for i in range(first, last):
        z = np.float32(start[i] // (height * width))
        y = np.float32(start[i] // width % height)
        x = np.float32(start[i] % width)
        z1, y1, x1 = z, y, x
        for step in range(steps):
            k0, j0, i0 = int(z), int(y), int(x)
            k1, j1, i1 = min(k0 + 1, depth - 1), min(j0 + 1, height - 1), min(i0 + 1, width - 1)
            fz, fy, fx = z - np.float32(k0), y - np.float32(j0), x - np.float32(i0)
            for c in range(3):
                f = flows[c]
                a = (one - fx) * f[k0, j0, i0] + fx * f[k0, j0, i1]
                b = (one - fx) * f[k0, j1, i0] + fx * f[k0, j1, i1]
                d = (one - fx) * f[k1, j0, i0] + fx * f[k1, j0, i1]
                e = (one - fx) * f[k1, j1, i0] + fx * f[k1, j1, i1]
                move[c] = (one - fz) * ((one - fy) * a + fy * b) + fz * ((one - fy) * d + fy * e)
            z2, y2, x2 = z1, y1, x1
            z1, y1, x1 = z, y, x
            z = min(max(z + move[0], np.float32(0)), np.float32(depth - 1))
            y = min(max(y + move[1], np.float32(0)), np.float32(height - 1))
            x = min(max(x + move[2], np.float32(0)), np.float32(width - 1))
            if step > 0 and (z - z2) ** 2 + (y - y2) ** 2 + (x - x2) ** 2 < rest:
                break
        end[i] = (int(z + half) * height + int(y + half)) * width + int(x + half)


def _sinks(counts: NDArray[np.int32], least: int) -> NDArray[np.int32]:
    """Give the places where voxels end their numbers, the heaviest first.

    A sink grows from its peak over neighbouring places where voxels end, as far as `_REACH`;
    peaks that an earlier sink has taken are part of it.
    """
    around = counts.copy()
    for axis in range(3):
        total = around.copy()
        low, high = np.moveaxis(total, axis, 0), np.moveaxis(around, axis, 0)
        low[1:] += high[:-1]
        low[:-1] += high[1:]
        around = total
    # The weight of a sink is spread over a few voxels: it is judged with its neighbours.
    peaks = np.flatnonzero((counts >= _SINK) & (around >= least))
    order = peaks[np.lexsort((peaks, -counts.ravel()[peaks], -around.ravel()[peaks]))]
    owner = np.zeros(counts.shape, np.int32)
    _grow(counts, order, owner)
    return owner


@njit(cache=True, nogil=True)
def _grow(counts: Any, order: Any, owner: Any) -> None:
    depth, height, width = counts.shape
    queue = np.empty(((2 * _REACH + 1) ** 3, 3), np.int64)
    number = 0
    for peak in order:
        pz, py, px = peak // (height * width), peak // width % height, peak % width
        if owner[pz, py, px]:
            continue
        number += 1
        owner[pz, py, px] = number
        queue[0] = (pz, py, px)
        head, tail = 0, 1
        while head < tail:
            z, y, x = queue[head]
            head += 1
            for nz in range(max(z - 1, 0, pz - _REACH), min(z + 2, depth, pz + _REACH + 1)):
                for ny in range(max(y - 1, 0, py - _REACH), min(y + 2, height, py + _REACH + 1)):
                    for nx in range(max(x - 1, 0, px - _REACH), min(x + 2, width, px + _REACH + 1)):
                        # The rim of a sink may hold single voxels; it does not grow beyond them.
                        if counts[nz, ny, nx] > 0 and owner[nz, ny, nx] == 0:
                            owner[nz, ny, nx] = number
                            if counts[nz, ny, nx] >= _SINK:
                                queue[tail] = (nz, ny, nx)
                                tail += 1


def rescale_volume_labels(
    labels: NDArray[np.int32],
    part: Box,
    before: tuple[int, int],
    box: Box,
    after: tuple[int, int, int],
) -> NDArray[np.int32]:
    """Bring a part of a label volume to another size, with smooth outlines.

    Parameters
    ----------
    labels
        (Z, Y, X), 0 = background: all planes of the part that `imganalysis.segment.pixels.needed`
        names, or more.
    part
        (y0, y1, x0, x1) of ``labels`` in the whole.
    before
        (Y, X) of the whole.
    box
        (y0, y1, x0, x1) of what is wanted, in the whole at the wanted size.
    after
        (Z, Y, X) of the whole at the wanted size.

    Returns
    -------
    labels : (after[0], y1 - y0, x1 - x0) int32
        Each voxel takes the label with the largest share of the eight voxels around its place,
        as trilinear sampling weighs them; of equal ones the smaller number.
    """
    source = np.ascontiguousarray(labels, np.int32)
    y0, y1, x0, x1 = box
    whole = (len(source), *before)
    if whole == after:
        return source[:, y0 - part[0] : y1 - part[0], x0 - part[2] : x1 - part[2]].copy()
    out = np.zeros((after[0], y1 - y0, x1 - x0), np.int32)
    _vote(source, (part[0], part[2]), whole, out, (y0, x0), after)
    return out


@njit(cache=True, nogil=True)
def _place(index: int, ratio: float, size: int) -> Any:
    at = min(max((index + 0.5) * ratio - 0.5, 0.0), size - 1.0)
    low = int(at)
    return low, min(low + 1, size - 1), at - low


@njit(cache=True, nogil=True)
def _vote(source: Any, first: Any, before: Any, out: Any, start: Any, after: Any) -> None:
    ratio_z, ratio_y = before[0] / after[0], before[1] / after[1]
    ratio_x = before[2] / after[2]
    names = np.empty(8, np.int32)
    shares = np.empty(8)
    for k in range(out.shape[0]):
        k0, k1, fz = _place(k, ratio_z, before[0])
        for j in range(out.shape[1]):
            j0, j1, fy = _place(j + start[0], ratio_y, before[1])
            for i in range(out.shape[2]):
                i0, i1, fx = _place(i + start[1], ratio_x, before[2])
                same = True
                for corner in range(8):
                    z, wz = (k1, fz) if corner & 4 else (k0, 1.0 - fz)
                    y, wy = (j1, fy) if corner & 2 else (j0, 1.0 - fy)
                    x, wx = (i1, fx) if corner & 1 else (i0, 1.0 - fx)
                    names[corner] = source[z, y - first[0], x - first[1]]
                    shares[corner] = wz * wy * wx
                    same = same and names[corner] == names[0]
                best, most = names[0], -1.0
                if not same:
                    for a in range(8):
                        total = 0.0
                        for b in range(8):
                            if names[b] == names[a]:
                                total += shares[b]
                        if total > most or (total == most and names[a] < best):
                            best, most = names[a], total
                out[k, j, i] = best
