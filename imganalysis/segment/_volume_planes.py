"""Nuclei plane by plane, joined where they overlap in neighbouring planes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imganalysis.segment.flows import flows_to_labels
from imganalysis.segment.scores import overlap

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAME = 0.25  # IoU of two profiles in neighbouring planes


def planes_to_labels(
    flows: NDArray[np.float32],
    logit: NDArray[np.float32],
    *,
    threshold: float,
    steps: int,
    max_error: float,
    min_area: int,
) -> NDArray[np.int32]:
    """Find the profiles of each plane and join them.

    Parameters
    ----------
    flows
        (2, Z, Y, X) float32, along Y and X.
    logit
        (Z, Y, X) float32.
    threshold, steps, max_error
        As in `imganalysis.segment.flows.flows_to_labels`, for each plane.
    min_area
        Pixels; smaller profiles are dropped.

    Returns
    -------
    labels : (Z, Y, X) int32
        0 = background.
    """
    found = [
        flows_to_labels(
            flows[:, z],
            logit[z],
            threshold=threshold,
            steps=steps,
            max_error=max_error,
            min_size=min_area,
        )
        for z in range(len(logit))
    ]
    return stitch(found)


def stitch(planes: list[NDArray[np.int32]]) -> NDArray[np.int32]:
    """Give profiles of neighbouring planes that are the same nucleus the same number.

    Parameters
    ----------
    planes
        (Y, X) each, 0 = background.

    Returns
    -------
    labels : (Z, Y, X) int32
        Two profiles are joined if each is the other's best match and their IoU is at least 0.25;
        of equal matches that with the smaller number is the best.
    """
    labels = np.zeros((len(planes), *planes[0].shape), np.int32)
    last = 0
    for z, plane in enumerate(planes):
        number = np.zeros(int(plane.max(initial=0)) + 1, np.int32)
        if z:
            shared = overlap(labels[z - 1], plane)
            iou = shared.iou()
            for row in _best(shared.pairs, iou):
                above, here = shared.pairs[row]
                if iou[row] >= _SAME:
                    number[int(shared.found_ids[here])] = int(shared.true_ids[above])
        new = np.setdiff1d(np.unique(plane), np.append(np.flatnonzero(number), 0))
        number[new] = np.arange(last + 1, last + 1 + new.size)
        last += new.size
        labels[z] = number[plane]
    return labels


def _best(pairs: NDArray[np.int64], iou: NDArray[np.float64]) -> list[int]:
    """Rows of the pairs of which each is the other's best match."""
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -iou))
    first: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for row in order:
        for side in (0, 1):
            first[side].setdefault(int(pairs[row, side]), int(row))
    return sorted(set(first[0].values()) & set(first[1].values()))
