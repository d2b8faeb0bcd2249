"""Flooding an image from its brightest pixel down: at which level do objects meet?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)  # type: ignore[untyped-decorator]
def _find(parent: NDArray[Any], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True)  # type: ignore[untyped-decorator]
def flood(
    order: NDArray[Any],
    shape: tuple[int, int, int],
    owner: NDArray[Any],
    keys: NDArray[Any],
    n_owners: int,
    largest: int,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Find for pairs of objects the pixel that joins them, going down from the brightest.

    Parameters
    ----------
    order
        (P,) int64 flat indices of the pixels that are flooded, brightest first.
    shape
        (Z, Y, X).
    owner
        (Z * Y * X,) int32, object of each pixel, -1 for none.
    keys
        (K,) int64, sorted: ``a * n_owners + b`` of the pairs that are asked, a < b.
    n_owners
        Number of objects.
    largest
        Pixels of the largest component in which objects may meet.

    Returns
    -------
    joined
        (K,) int64, position in `order` of the pixel at which one component first holds pixels
        of both objects; -1 where that component is larger, or there is none.
    pixels
        (K,) int64, its size then.

    Notes
    -----
    Components are joined by sides, and kept as a forest (union-find); each carries the list of
    objects that it touches, until it is too large to matter.
    """
    nz, ny, nx = shape
    joined = np.full(keys.size, -1, np.int64)
    pixels = np.zeros(keys.size, np.int64)
    parent = np.full(owner.size, -1, np.int32)
    area = np.zeros(owner.size, np.int32)
    head = np.full(owner.size, -1, np.int32)  # of a root: its list of objects
    n_entries = 0
    for p in order:
        if owner[p] >= 0:
            n_entries += 1
    entry_owner = np.empty(n_entries, np.int32)
    entry_next = np.empty(n_entries, np.int32)
    used = 0
    for step in range(order.size):
        p = order[step]
        parent[p] = p
        area[p] = 1
        if owner[p] >= 0:
            entry_owner[used], entry_next[used] = owner[p], -1
            head[p] = used
            used += 1
        z, y, x = p // (ny * nx), p // nx % ny, p % nx
        for side in range(6):
            if side == 0 and x > 0:
                q = p - 1
            elif side == 1 and x < nx - 1:
                q = p + 1
            elif side == 2 and y > 0:
                q = p - nx
            elif side == 3 and y < ny - 1:
                q = p + nx
            elif side == 4 and z > 0:
                q = p - ny * nx
            elif side == 5 and z < nz - 1:
                q = p + ny * nx
            else:
                continue
            if parent[q] < 0:
                continue
            one, two = _find(parent, p), _find(parent, q)
            if one == two:
                continue
            if area[one] < area[two]:
                one, two = two, one
            parent[two] = one
            area[one] += area[two]
            if area[one] > largest:
                head[one] = -1
                continue
            # Each object of the smaller list goes to the larger, if it is not there.
            entry = head[two]
            while entry >= 0:
                after = entry_next[entry]
                new, known, other = entry_owner[entry], False, head[one]
                while other >= 0:
                    known = known or entry_owner[other] == new
                    other = entry_next[other]
                if not known:
                    other = head[one]
                    while other >= 0:
                        a, b = entry_owner[other], new
                        key = min(a, b) * np.int64(n_owners) + max(a, b)
                        k = np.searchsorted(keys, key)
                        if k < keys.size and keys[k] == key and joined[k] < 0:
                            joined[k], pixels[k] = step, area[one]
                        other = entry_next[other]
                    entry_next[entry] = head[one]
                    head[one] = entry
                entry = after
    return joined, pixels
