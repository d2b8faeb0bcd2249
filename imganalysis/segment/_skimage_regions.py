"""Passes over regions, each once over the pixels: split, outline, tidy, fit to the full grid.

All arrays are (Z, Y, X); a plane has one Z.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEVELS = 1 << 16  # steps in which heights are sorted


@njit(cache=True, nogil=True)
def capped_distance(mask: Any, spacing: Any, cap: float) -> Any:
    """Distance from each pixel of a mask to the nearest one outside, no more than a cap."""
    depth, height, width = mask.shape
    most = np.float32(cap * cap)
    square = np.empty(mask.shape, np.float32)
    step = np.float32(spacing[2])
    for z in range(depth):
        for y in range(height):
            run = np.float32(cap)
            for x in range(width):
                run = min(run + step, np.float32(cap)) if mask[z, y, x] else np.float32(0)
                square[z, y, x] = run
            run = np.float32(cap)
            for x in range(width - 1, -1, -1):
                run = min(run + step, np.float32(cap)) if mask[z, y, x] else np.float32(0)
                square[z, y, x] = min(run, square[z, y, x]) ** 2
    # Far less than a parabola envelope to write, and faster for such short distances.
    for axis in (1, 0):
        if mask.shape[axis] == 1:
            continue
        reach = int(cap / spacing[axis])
        before = square.copy()
        for z in range(depth):
            for y in range(height):
                row = square[z, y]
                for k in range(-reach, reach + 1):
                    if k == 0:
                        continue
                    i, j = (z, y + k) if axis == 1 else (z + k, y)
                    if i < 0 or j < 0 or i >= depth or j >= height:
                        continue
                    more = np.float32((k * spacing[axis]) ** 2)
                    part = before[i, j]
                    for x in range(width):
                        row[x] = min(row[x], part[x] + more)
    return np.sqrt(np.minimum(square, most))


@njit(cache=True, nogil=True)
def _root(parent: Any, one: int) -> int:
    while parent[one] != one:
        parent[one] = parent[parent[one]]
        one = parent[one]
    return one


@njit(cache=True, nogil=True)
def basins(hills: Any, mask: Any, depth: float) -> Any:
    """Regions of the hills of a landscape, flooded from the tops down.

    A top whose hill meets a higher one after less than ``depth`` is part of that one; what is
    left meets at watersheds. Both in one descent: pixels are taken from the highest down, and
    each joins its highest neighbour.
    """
    high = np.float32(-np.inf)
    low = np.float32(np.inf)
    flat = hills.ravel()
    inside = mask.ravel()
    n = 0
    for i in range(flat.size):
        if inside[i]:
            high, low = max(high, flat[i]), min(low, flat[i])
            n += 1
    labels = np.zeros(mask.shape, np.int32)
    if n == 0:
        return labels
    scale = (_LEVELS - 1) / max(high - low, np.float32(1e-30))
    start = np.zeros(_LEVELS + 1, np.int64)
    for i in range(flat.size):
        if inside[i]:
            start[_LEVELS - int((flat[i] - low) * scale)] += 1
    start = np.cumsum(start)
    order = np.empty(n, np.int64)
    for i in range(flat.size):
        if inside[i]:
            level = _LEVELS - 1 - int((flat[i] - low) * scale)
            order[start[level]] = i
            start[level] += 1
    planes, height, width = mask.shape
    parent = np.zeros(n + 1, np.int32)
    top = np.zeros(n + 1, np.float32)
    around = np.empty(26, np.int32)
    number = 0
    for k in range(n):
        i = order[k]
        z, y, x = i // (height * width), i // width % height, i % width
        here = flat[i]
        best, highest, found = 0, np.float32(-np.inf), 0
        for zz in range(max(z - 1, 0), min(z + 2, planes)):
            for yy in range(max(y - 1, 0), min(y + 2, height)):
                for xx in range(max(x - 1, 0), min(x + 2, width)):
                    label = labels[zz, yy, xx]
                    if label:
                        around[found] = label
                        found += 1
                        if hills[zz, yy, xx] > highest:
                            highest, best = hills[zz, yy, xx], label
        if best == 0:
            number += 1
            parent[number], top[number] = number, here
            labels[z, y, x] = number
            continue
        labels[z, y, x] = best
        for m in range(found):
            one, other = _root(parent, labels[z, y, x]), _root(parent, around[m])
            if one != other and min(top[one], top[other]) - here < depth:
                if top[one] < top[other] or (top[one] == top[other] and other < one):
                    one, other = other, one
                parent[other] = one
    for z in range(planes):
        for y in range(height):
            for x in range(width):
                if labels[z, y, x]:
                    labels[z, y, x] = _root(parent, labels[z, y, x])
    return labels


@njit(cache=True, nogil=True)
def quantiles(regions: Any, height: Any, share: float) -> Any:
    """Quantile of the height in each region; entry 0 is of no meaning."""
    flat, value = regions.ravel(), height.ravel()
    most = 0
    for i in range(flat.size):
        most = max(most, flat[i])
    start = np.zeros(most + 2, np.int64)
    for i in range(flat.size):
        start[flat[i] + 1] += 1
    start[1] = 0  # the background is not sorted
    start = np.cumsum(start)
    fill = start.copy()
    values = np.empty(start[-1], np.float32)
    for i in range(flat.size):
        if flat[i]:
            values[fill[flat[i]]] = value[i]
            fill[flat[i]] += 1
    result = np.zeros(most + 1, np.float32)
    for label in range(1, most + 1):
        n = start[label + 1] - start[label]
        if n > 0:
            part = np.sort(values[start[label] : start[label + 1]])
            result[label] = part[int(share * (n - 1))]
    return result


@njit(cache=True, nogil=True)
def opened(mask: Any) -> Any:
    """Without what is thinner than three pixels: eroded, then dilated by a cross.

    Beyond the border there is neither more of it nor less: only neighbours in the image count.
    """
    result = mask
    for keep in (True, False):
        before = result
        result = np.empty(mask.shape, np.bool_)
        depth, height, width = mask.shape
        for z in range(depth):
            for y in range(height):
                for x in range(width):
                    every, some = before[z, y, x], before[z, y, x]
                    if x > 0:
                        every, some = every & before[z, y, x - 1], some | before[z, y, x - 1]
                    if x < width - 1:
                        every, some = every & before[z, y, x + 1], some | before[z, y, x + 1]
                    if y > 0:
                        every, some = every & before[z, y - 1, x], some | before[z, y - 1, x]
                    if y < height - 1:
                        every, some = every & before[z, y + 1, x], some | before[z, y + 1, x]
                    if z > 0:
                        every, some = every & before[z - 1, y, x], some | before[z - 1, y, x]
                    if z < depth - 1:
                        every, some = every & before[z + 1, y, x], some | before[z + 1, y, x]
                    result[z, y, x] = every if keep else some
    return result


@njit(cache=True, nogil=True)
def pieces(regions: Any) -> Any:
    """Find the pieces, connected by faces, of equal value, background included; count from 0."""
    depth, height, width = regions.shape
    piece = np.empty(regions.shape, np.int32)
    parent = np.empty(regions.size, np.int32)
    number = 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                value = regions[z, y, x]
                one = -1
                if x > 0 and regions[z, y, x - 1] == value:
                    one = piece[z, y, x - 1]
                if y > 0 and regions[z, y - 1, x] == value:
                    other = piece[z, y - 1, x]
                    one = _joined(parent, one, other) if one >= 0 and one != other else other
                if z > 0 and regions[z - 1, y, x] == value:
                    other = piece[z - 1, y, x]
                    one = _joined(parent, one, other) if one >= 0 and one != other else other
                if one < 0:
                    one = number
                    parent[number] = number
                    number += 1
                piece[z, y, x] = one
    names = np.empty(number, np.int32)
    count = 0
    for k in range(number):
        root = _root(parent, k)
        if root == k:
            names[k] = count
            count += 1
        else:
            names[k] = names[root]  # a root is the smallest of its piece
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                piece[z, y, x] = names[piece[z, y, x]]
    return piece, count


@njit(cache=True, nogil=True)
def _joined(parent: Any, one: int, other: int) -> int:
    one, other = _root(parent, one), _root(parent, other)
    if one > other:
        one, other = other, one
    parent[other] = one
    return one


@njit(cache=True, nogil=True)
def holes_filled(mask: Any, most: float) -> Any:
    """Fill what is not in the mask and has no more than so many pixels."""
    piece, count = pieces(mask)
    size = np.zeros(count, np.int64)
    for number in piece.ravel():
        size[number] += 1
    result = mask.copy()
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            for x in range(mask.shape[2]):
                if not mask[z, y, x] and size[piece[z, y, x]] <= most:
                    result[z, y, x] = True
    return result


@njit(cache=True, nogil=True)
def whole(regions: Any, least: float, most: float) -> Any:
    """Each region in its largest piece, without holes; none smaller or larger than allowed."""
    depth, height, width = regions.shape
    piece, count = pieces(regions)
    size = np.zeros(count, np.int64)
    value = np.zeros(count, np.int32)
    # A hole has one piece around it and does not reach the border.
    owner = np.zeros(count, np.int32)  # 1 + that piece; 0 unknown, -1 none
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                here, label = piece[z, y, x], regions[z, y, x]
                size[here] += 1
                value[here] = label
                if label == 0 and (y == 0 or x == 0 or y == height - 1 or x == width - 1):
                    owner[here] = -1
                if depth > 1 and label == 0 and (z == 0 or z == depth - 1):
                    owner[here] = -1
                for axis in range(3):
                    zz, yy, xx = z - (axis == 0), y - (axis == 1), x - (axis == 2)
                    if zz < 0 or yy < 0 or xx < 0:
                        continue
                    other = regions[zz, yy, xx]
                    if other == label:
                        continue
                    gap, near = here, piece[zz, yy, xx]
                    if other == 0:
                        gap, near = near, here
                    elif label != 0:
                        continue
                    if owner[gap] == 0:
                        owner[gap] = 1 + near
                    elif owner[gap] != 1 + near:
                        owner[gap] = -1
    labels = 0
    for k in range(count):
        labels = max(labels, value[k])
    largest = np.full(labels + 1, -1, np.int32)
    for k in range(count):
        if value[k] and (largest[value[k]] < 0 or size[k] > size[largest[value[k]]]):
            largest[value[k]] = k
    final = np.zeros(count, np.int32)
    total = np.zeros(labels + 1, np.int64)
    for k in range(count):
        around = k if value[k] else owner[k] - 1
        if around >= 0 and largest[value[around]] == around:
            final[k] = value[around]
            total[final[k]] += size[k]
    for k in range(count):
        if total[final[k]] < least or total[final[k]] > most:
            final[k] = 0
    result = np.empty(regions.shape, np.int32)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                result[z, y, x] = final[piece[z, y, x]]
    return result


@njit(cache=True, nogil=True)
def inside_and_rim(regions: Any, value: Any, offsets: Any, gap: int) -> Any:
    """Sum and number of the pixels in each region and in its rim, (n, 4).

    The rim is all background whose nearest region, among the offsets from near to far, it is;
    what one of the first ``gap`` offsets reaches is left out.
    """
    depth, height, width = regions.shape
    most = 0
    for label in regions.ravel():
        most = max(most, label)
    sums = np.zeros((most + 1, 4))
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                label = regions[z, y, x]
                if label:
                    sums[label, 0] += value[z, y, x]
                    sums[label, 1] += 1
                    continue
                for k in range(offsets.shape[0]):
                    zz, yy, xx = z + offsets[k, 0], y + offsets[k, 1], x + offsets[k, 2]
                    if zz < 0 or yy < 0 or xx < 0 or zz >= depth or yy >= height or xx >= width:
                        continue
                    label = regions[zz, yy, xx]
                    if label:
                        if k >= gap:
                            sums[label, 2] += value[z, y, x]
                            sums[label, 3] += 1
                        break
    return sums


def offsets_within(radius_um: float, spacing_um: tuple[float, ...]) -> NDArray[np.int64]:
    """List the steps (z, y, x) to all other pixels within a radius, from near to far."""
    reach = [int(radius_um / size) for size in spacing_um]
    grid = np.mgrid[tuple(slice(-r, r + 1) for r in reach)].reshape(3, -1).T
    distance = np.sqrt((np.square(grid * np.asarray(spacing_um))).sum(axis=1))
    near = (distance > 0) & (distance <= radius_um)
    return np.ascontiguousarray(grid[near][np.argsort(distance[near], kind="stable")], np.int64)
