"""Flooding an image from its brightest pixel down, to see where objects meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray


@njit(cache=True)
def _find(parent: NDArray[Any], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True)
def _beside(p: int, side: int, shape: tuple[int, int, int]) -> int:
    """Flat index of the pixel at one of six sides, -1 beyond the border."""
    nz, ny, nx = shape
    z, y, x = p // (ny * nx), p // nx % ny, p % nx
    if side == 0:
        return p - 1 if x > 0 else -1
    if side == 1:
        return p + 1 if x < nx - 1 else -1
    if side == 2:
        return p - nx if y > 0 else -1
    if side == 3:
        return p + nx if y < ny - 1 else -1
    if side == 4:
        return p - ny * nx if z > 0 else -1
    return p + ny * nx if z < nz - 1 else -1


@njit(cache=True)
def flood(
    order: NDArray[Any],
    ends: NDArray[Any],
    shape: tuple[int, int, int],
    owner: NDArray[Any],
    keys: NDArray[Any],
    n_owners: int,
    largest: int,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Find for pairs of objects the level that joins them, going down from the brightest.

    Parameters
    ----------
    order
        (P,) int64 flat indices of the pixels that are flooded, brightest first.
    ends
        (levels,) int64, position in `order` after the last pixel of each level.
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
        (K,) int64, position in `order` of a pixel of the level at which one component first
        holds pixels of both objects; -1 where that component is larger, or there is none.
    pixels
        (K,) int64, its size at that level.

    Notes
    -----
    Components are joined by sides, and kept as a forest (union-find). One forest runs a level
    ahead, so that sizes are those of the whole level, whatever the order within it; in the
    other each component carries the list of objects that it touches, until it is too large to
    matter.
    """
    joined = np.full(keys.size, -1, np.int64)
    pixels = np.zeros(keys.size, np.int64)
    ahead = np.full(owner.size, -1, np.int32)
    area = np.zeros(owner.size, np.int32)
    parent = np.full(owner.size, -1, np.int32)
    head = np.full(owner.size, -1, np.int32)  # of a root: its list of objects
    n_entries = 0
    for p in order:
        if owner[p] >= 0:
            n_entries += 1
    entry_owner = np.empty(n_entries, np.int32)
    entry_next = np.empty(n_entries, np.int32)
    used = start = 0
    for end in ends:
        for p in order[start:end]:
            ahead[p], area[p] = p, 1
            for side in range(6):
                q = _beside(p, side, shape)
                if q < 0 or ahead[q] < 0:
                    continue
                one, two = _find(ahead, p), _find(ahead, q)
                if one != two:
                    if area[one] < area[two]:
                        one, two = two, one
                    ahead[two] = one
                    area[one] += area[two]
        for step in range(start, end):
            p = order[step]
            parent[p] = p
            if owner[p] >= 0:
                entry_owner[used], entry_next[used] = owner[p], -1
                head[p] = used
                used += 1
            size = area[_find(ahead, p)]
            for side in range(6):
                q = _beside(p, side, shape)
                if q < 0 or parent[q] < 0:
                    continue
                one, two = _find(parent, p), _find(parent, q)
                if one == two:
                    continue
                parent[two] = one
                if size > largest:
                    head[one] = -1
                else:
                    _meet(head, one, two, entry_owner, entry_next, keys, n_owners, joined, pixels,
                          step, size)  # fmt: skip
        start = end
    return joined, pixels


@njit(cache=True)
def _meet(
    head: NDArray[Any],
    one: int,
    two: int,
    entry_owner: NDArray[Any],
    entry_next: NDArray[Any],
    keys: NDArray[Any],
    n_owners: int,
    joined: NDArray[Any],
    pixels: NDArray[Any],
    step: int,
    size: int,
) -> None:
    """Write down the pairs that two lists make, and give the objects of the second to the first."""
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
                    joined[k], pixels[k] = step, size
                other = entry_next[other]
            entry_next[entry] = head[one]
            head[one] = entry
        entry = after
