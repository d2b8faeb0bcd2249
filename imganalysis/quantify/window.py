"""Where cells of a field were looked for, kept coarse enough for the second half."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from imganalysis import tables as t
from imganalysis.quantify.grid import area_grid

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

STEP_UM, MOST_STEPS = 1.0, 2048
"""Side of a square of the window, um; more where a side would have too many of them."""
REFERENCE_POINTS = 2000
"""Places in the tissue that cells are compared with."""


@dataclass(frozen=True)
class FieldSpace:
    """What distances in a field need to know, in um from the middle of the first pixel.

    Parameters
    ----------
    field_um, frame_um
        (y0, y1, x0, x1) of the field, and of the frame in which cells are counted.
    window
        (Y, X) bool, counted tissue in squares.
    step_um
        (Y, X) sides of such a square.
    tumour
        (Y, X) bool, an outlined tumour on the coarse grid; None where none is outlined.
    reference
        (N, 2) random places in the counted tissue: distance to the nearest outlined
        vessel, and to the field's border; None where no vessel is outlined.
    """

    field_um: tuple[float, float, float, float]
    frame_um: tuple[float, float, float, float]
    window: NDArray[np.bool_]
    step_um: tuple[float, float]
    tumour: NDArray[np.bool_] | None = None
    reference: NDArray[np.float64] | None = None


def field_space(
    counted: NDArray[np.bool_],
    frame: NDArray[np.bool_],
    spacing_um: tuple[float, float],
    drawn: Mapping[str, NDArray[np.bool_]],
    grid_um: float = t.GRID_UM,
) -> FieldSpace:
    """Keep what the second half needs to know of a field's masks.

    Parameters
    ----------
    counted
        (Y, X) bool, tissue inside the frame.
    frame
        (Y, X) bool, a rectangle.
    spacing_um
        (Y, X) size of a pixel, um.
    drawn
        Masks that a person outlined: ``tumour``, ``vessel``.
    grid_um
        Side of a square of the coarse grid, um.
    """
    rows, columns = (np.flatnonzero(frame.any(axis=axis)) for axis in (1, 0))
    edges = (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)
    sides = (0, frame.shape[0], 0, frame.shape[1])
    blocks = [
        max(1, round(STEP_UM / step), -(-n // MOST_STEPS))
        for n, step in zip(frame.shape, spacing_um, strict=True)
    ]
    window = counted[blocks[0] // 2 :: blocks[0], blocks[1] // 2 :: blocks[1]].copy()
    tumour = None
    if "tumour" in drawn:
        whole = area_grid(np.ones_like(frame), spacing_um, grid_um)
        tumour = 2 * area_grid(drawn["tumour"], spacing_um, grid_um) >= whole
    return FieldSpace(
        _in_um(sides, spacing_um),
        _in_um(edges, spacing_um),
        window,
        (blocks[0] * spacing_um[0], blocks[1] * spacing_um[1]),
        tumour,
        _reference(counted, drawn["vessel"], spacing_um) if "vessel" in drawn else None,
    )


def _in_um(
    edges: tuple[int, int, int, int], spacing_um: tuple[float, float]
) -> tuple[float, float, float, float]:
    y0, y1, x0, x1 = (float(edge) - 0.5 for edge in edges)
    dy, dx = spacing_um
    return (y0 * dy, y1 * dy, x0 * dx, x1 * dx)


def border_distance(
    points_um: NDArray[np.float64], box_um: tuple[float, float, float, float]
) -> NDArray[np.float64]:
    """Distance of (N, 2) points y, x in a box (y0, y1, x0, x1) to its nearest side; 0 outside."""
    y, x = points_um[:, 0], points_um[:, 1]
    y0, y1, x0, x1 = box_um
    nearest = np.minimum.reduce([y - y0, y1 - y, x - x0, x1 - x])
    return np.asarray(np.maximum(nearest, 0.0))


def place_objects(
    objects: pd.DataFrame,
    spacing_um: tuple[float, float],
    frame_um: tuple[float, float, float, float],
    drawn: Mapping[str, NDArray[np.bool_]],
) -> pd.DataFrame:
    """Add to objects their distances to the border and to vessels.

    Parameters
    ----------
    objects
        As `imganalysis.quantify.frame.evaluate` gives them.
    spacing_um
        (Y, X) size of a pixel, um.
    frame_um
        As in `FieldSpace`.
    drawn
        Masks that a person outlined: ``exclude``, ``vessel``.

    Returns
    -------
    objects
        A copy with ``border_distance_um`` and, where vessels are outlined,
        ``vessel_distance_um``.
    """
    result = objects.copy()
    points = result[[t.Y, t.X]].to_numpy(dtype=np.float64)
    near = border_distance(points, frame_um)
    if "exclude" in drawn:
        near = np.minimum(near, _distance_to(drawn["exclude"], points, spacing_um))
    result[t.BORDER_DISTANCE] = near
    if "vessel" in drawn:
        result[t.VESSEL_DISTANCE] = _distance_to(drawn["vessel"], points, spacing_um)
    return result


def _distance_to(
    mask: NDArray[np.bool_], points_um: NDArray[np.float64], spacing_um: tuple[float, float]
) -> NDArray[np.float64]:
    """Distance of points to the edge of a mask, 0 inside; inf where the mask is empty."""
    if not mask.any():
        return np.full(len(points_um), np.inf)
    far = ndimage.distance_transform_edt(~mask, sampling=spacing_um)
    # From the middle of the nearest pixel of the mask to its edge, half a pixel.
    half = 0.5 * min(spacing_um)
    places = (points_um / spacing_um).T
    found = ndimage.map_coordinates(far, places, order=1, mode="nearest")
    return np.asarray(np.maximum(found - half, 0.0))


def _reference(
    counted: NDArray[np.bool_], vessel: NDArray[np.bool_], spacing_um: tuple[float, float]
) -> NDArray[np.float64]:
    """Distances to vessels and to the border, at random places in the tissue."""
    rows, columns = np.nonzero(counted & ~vessel)
    rng = np.random.default_rng(len(rows))  # the same mask, the same places
    n = min(len(rows), REFERENCE_POINTS)
    chosen = np.sort(rng.choice(len(rows), n, replace=False, shuffle=False))
    points = np.stack([rows[chosen] * spacing_um[0], columns[chosen] * spacing_um[1]], axis=1)
    field_um = _in_um((0, counted.shape[0], 0, counted.shape[1]), spacing_um)
    near = border_distance(points.astype(np.float64), field_um)
    return np.stack([_distance_to(vessel, points, spacing_um), near], axis=1)
