"""A volume seen along its three axes by what knows planes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage as ndi

from imganalysis.segment.flows import labels_to_flows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Answer = Callable[[NDArray[Any]], NDArray[np.float32]]

# Components of the flows along Z, Y, X (0, 1, 2) that the views along Z, Y and X see.
_SEEN = ((1, 2), (0, 2), (0, 1))


def views(
    answer: Answer, volume: NDArray[Any], threads: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Look at a volume along its three axes.

    Parameters
    ----------
    answer
        Gives (2, rows, columns) flows of a slice, or (3, rows, columns) flows and logit.
    volume
        (Z, Y, X).
    threads
        Slices at a time.

    Returns
    -------
    flows : (3, Z, Y, X) float32
        Each component the mean of the two views that see it.
    logit : (Z, Y, X) float32
        Mean of the three; 0 where there is none.
    """
    flows = np.zeros((3, *volume.shape), np.float32)
    logit = np.zeros(volume.shape, np.float32)
    for axis, seen in enumerate(_SEEN):
        slices = np.moveaxis(volume, axis, 0)
        parts = [np.moveaxis(flows[k], axis, 0) for k in seen] + [np.moveaxis(logit, axis, 0)]

        def look(k: int, slices: Any = slices, parts: Any = parts) -> None:
            for part, value in zip(parts, answer(np.ascontiguousarray(slices[k])), strict=False):
                part[k] += value

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(look, range(len(slices))))
    flows /= np.float32(2)
    logit /= np.float32(3)
    return flows, logit


def errors_in_views(
    labels: NDArray[np.int32], flows: NDArray[np.float32], threads: int
) -> NDArray[np.float64]:
    """Say how badly the slices of each object explain the flows that made it.

    Parameters
    ----------
    labels
        (Z, Y, X), 0 = background.
    flows
        (3, Z, Y, X), as `views` gives them.
    threads
        Slices at a time.

    Returns
    -------
    (1 + largest label,) float64
        Mean square of the difference between ``flows`` and the flows of the object's own slices.
        A slice sees two components, and each is seen by two of the three views: 2/3 of the sum
        over the components is on the scale of `imganalysis.segment.flows.flows_to_labels`.
    """
    own, _ = views(labels_to_flows, labels, threads)
    inside = np.flatnonzero(labels)
    name = labels.ravel()[inside]
    square = np.zeros(inside.size)
    for k in range(3):
        square += np.square(own[k].ravel()[inside] - flows[k].ravel()[inside], dtype=np.float64)
    n = int(labels.max(initial=0)) + 1
    size = np.bincount(name, minlength=n)
    return np.asarray(2 / 3 * np.bincount(name, weights=square, minlength=n) / np.maximum(size, 1))


def rescale_depth(planes: NDArray[np.float32], depth: int) -> NDArray[np.float32]:
    """Bring a stack (Z, Y, X) to a number of planes; smoothed first where they get fewer."""
    ratio = len(planes) / depth
    if depth == len(planes):
        return planes
    if ratio > 1:
        planes = ndi.gaussian_filter1d(planes, (ratio - 1) / 2, axis=0, mode="nearest")
    at = np.clip((np.arange(depth) + 0.5) * ratio - 0.5, 0, len(planes) - 1)
    low = at.astype(np.intp)
    share = (at - low).astype(np.float32)[:, None, None]
    high = np.minimum(low + 1, len(planes) - 1)
    return np.asarray(planes[low] * (1 - share) + planes[high] * share, np.float32)
