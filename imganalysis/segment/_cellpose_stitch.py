"""Nuclei of single planes, joined to nuclei of a stack where they overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


def stitch_planes(planes: Iterable[NDArray[Any]], threshold: float) -> NDArray[np.uint32]:
    """Join objects of neighbouring planes.

    Parameters
    ----------
    planes
        (Y, X) whole numbers each, all of one shape, 0 = background; from the first plane on.
    threshold
        Two objects are one if intersection over union is at least this.

    Returns
    -------
    labels : (Z, Y, X) uint32
        Of two objects that both overlap with one in the plane before, the better one goes on
        with it, of equal ones that with the smaller number; and the other way round.

    Notes
    -----
    The rule is that of Cellpose, whose own function tabulates every object against every other
    one and counts in the type of the first plane, 16 bit as a rule.
    """
    found: list[NDArray[np.uint32]] = []
    highest = 0
    for plane in planes:
        ids, dense = np.unique(plane, return_inverse=True)
        dense = dense.reshape(plane.shape)
        if ids.size and ids[0] != 0:
            dense += 1
            ids = np.concatenate([[0], ids])
        number = np.zeros(ids.size, np.int64)
        if found:
            before, now = _joined(found[-1], dense, threshold)
            number[now] = before
        new = np.flatnonzero(number[1:] == 0) + 1
        number[new] = highest + 1 + np.arange(new.size)
        highest += new.size
        found.append(number.astype(np.uint32)[dense])
    return np.stack(found)


def _joined(
    before: NDArray[np.uint32], now: NDArray[np.intp], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers in the plane before and in this one that are one object."""
    both = (before > 0) & (now > 0)
    span = int(now.max()) + 1
    pairs, shared = np.unique(before[both].astype(np.int64) * span + now[both], return_counts=True)
    first, second = np.divmod(pairs, span)
    ids, size = np.unique(before, return_counts=True)
    one = size[np.searchsorted(ids, first)]
    other = np.bincount(now.ravel(), minlength=span)[second]
    iou = shared / (one + other - shared)
    good = iou >= threshold
    first, second, iou = first[good], second[good], iou[good]
    best = _best(first, second, iou)
    first, second, iou = first[best], second[best], iou[best]
    best = _best(second, first, iou)
    return first[best], second[best]


def _best(
    group: NDArray[np.int64], other: NDArray[np.int64], iou: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Index of the best partner of each member of ``group``."""
    order = np.lexsort((other, -iou, group))
    starts = np.ones(order.size, bool)
    starts[1:] = group[order][1:] != group[order][:-1]
    return np.asarray(order[starts])
