"""Borders judged by an object's pixels: Gundersen's frame, cleared borders, exclusion planes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from imganalysis import tables as t

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.settings_counting import Counting

BIASED = "clear_border_biased"
"""Flag of fields in which objects at the border are left out."""


def at_border(
    nuclei: NDArray[np.uint32], frame: NDArray[np.bool_], settings: Counting
) -> pd.DataFrame | None:
    """Say of each object what the border does to it, by its pixels.

    Parameters
    ----------
    nuclei
        (Y, X) or (Z, Y, X) uint32, 0 = background.
    frame
        (Y, X) bool, a rectangle: where cells are counted.
    settings
        The rule.

    Returns
    -------
    border
        One row per object in the order of their numbers: ``on_border`` and, unless the rule
        is the centroid's, ``in_frame``; of a stack ``on_first_plane`` and ``on_last_plane``.
        None where the centroid alone decides.

    Notes
    -----
    The unbiased frame counts what has a pixel in it, unless it reaches the left or the lower
    side, the left side's extension upwards, or the right side's extension downwards: frames
    side by side then count each object once, whatever its size and shape (Gundersen, J Microsc
    1977;111:219). In a stack the first plane is the look-up plane: what reaches it is not
    counted, what the last plane cuts is (the disector; Sterio, J Microsc 1984;134:127).
    """
    solid = nuclei.ndim == 3
    if not solid and settings.frame not in ("unbiased", "clear_border"):
        return None
    flat = nuclei if solid else nuclei[np.newaxis]
    ids = np.unique(flat)
    ids = ids[ids > 0]
    columns: dict[str, NDArray[np.bool_]] = {}

    def present(part: NDArray[np.uint32]) -> NDArray[np.bool_]:
        return np.isin(ids, part)

    if settings.frame == "unbiased":
        rows, across = np.flatnonzero(frame.any(axis=1)), np.flatnonzero(frame.any(axis=0))
        y1, x0, x1 = int(rows[-1]) + 1, int(across[0]), int(across[-1]) + 1
        lines = [flat[:, y1:, x1 - 1], flat[:, y1 : y1 + 1, max(0, x0 - 1) : x1]]
        if x0 > 0:
            lines.append(flat[:, :y1, x0 - 1])
        columns[t.ON_BORDER] = np.logical_or.reduce([present(line) for line in lines])
        columns[t.IN_FRAME] = present(flat[:, frame])
    elif settings.frame == "clear_border":
        sides = (flat[:, 0], flat[:, -1], flat[:, :, 0], flat[:, :, -1])
        columns[t.ON_BORDER] = np.logical_or.reduce([present(side) for side in sides])
    if solid and settings.stack == "disector":
        columns[t.ON_FIRST] = present(flat[0])
        columns[t.ON_LAST] = present(flat[-1])
    return pd.DataFrame(columns) if columns else None


def guard_of(guard_um: float, settings: Counting) -> float:
    """Guard that the rule wants, um: a cleared border needs none."""
    return 0.0 if settings.frame == "clear_border" else guard_um
