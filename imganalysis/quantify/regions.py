"""Tumour, the band around it, and stroma: which cells and how much tissue lie in each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.spatial import cKDTree

from imganalysis import tables as t
from imganalysis.quantify.window import border_distance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from imganalysis.quantify.window import FieldSpace

TUMOUR, MARGIN, STROMA = "tumour", "margin", "stroma"
REGIONS = (TUMOUR, MARGIN, STROMA)

_NEAREST = 9  # squares by their middles, among which the nearest square is


def margin_distance(
    mask: NDArray[np.bool_], points_um: NDArray[np.float64], grid_um: float = t.GRID_UM
) -> NDArray[np.float64]:
    """Signed distance of points to the border of a region.

    Parameters
    ----------
    mask
        (Y, X) bool, the region on the coarse grid.
    points_um
        (N, 2) y and x, um.
    grid_um
        Side of a square of the grid, um.

    Returns
    -------
    array
        (N,) um, negative inside; NaN where the field shows no border of the region. Exact for
        the squares, so right to half a square for what they stand for.
    """
    points = np.asarray(points_um, dtype=np.float64).reshape(-1, 2)
    out = np.full(len(points), np.nan)
    if not len(points) or mask.all() or not mask.any():
        return out
    top = np.array(mask.shape) - 1
    squares = np.clip(np.floor(points / grid_um), 0, top).astype(np.intp)
    inside = mask[squares[:, 0], squares[:, 1]]
    for here, sign in ((True, -1.0), (False, 1.0)):
        asked = inside == here
        if asked.any():
            out[asked] = sign * _to_squares(mask != here, points[asked], grid_um)
    return out


def _to_squares(
    squares: NDArray[np.bool_], points: NDArray[np.float64], grid_um: float
) -> NDArray[np.float64]:
    """Distance of points outside some squares to the nearest of them."""
    edge = squares & ~ndimage.binary_erosion(squares, np.ones((3, 3), bool))
    corners = np.argwhere(edge) * grid_um
    k = min(_NEAREST, len(corners))
    near = cKDTree(corners + grid_um / 2).query(points, k=k)[1].reshape(len(points), k)
    apart = np.abs(points[:, None, :] - corners[near] - grid_um / 2) - grid_um / 2
    return np.asarray(np.sqrt((np.maximum(apart, 0.0) ** 2).sum(axis=2)).min(axis=1))


def region_grid(
    mask: NDArray[np.bool_], margin_um: float, grid_um: float = t.GRID_UM
) -> NDArray[np.int8]:
    """Region of each square of the coarse grid, as a position in `REGIONS`."""
    codes = np.full(mask.shape, REGIONS.index(STROMA), dtype=np.int8)
    if mask.any():
        # Between middles of squares: half a square more than to the border.
        far = ndimage.distance_transform_edt(~mask) * grid_um - grid_um / 2
        codes[far <= margin_um] = REGIONS.index(MARGIN)
        codes[mask] = REGIONS.index(TUMOUR)
    return codes


def region_areas(
    mask: NDArray[np.bool_],
    grid: NDArray[Any],
    margin_um: float,
    space: FieldSpace | None,
) -> dict[str, float]:
    """Measure the counted tissue of a field in each region, mm2.

    Parameters
    ----------
    mask
        (Y, X) bool, tumour on the coarse grid.
    grid
        (Y, X) um2 of counted tissue on it.
    margin_um
        Width of the band around the tumour.
    space
        Of the field; without it the grid's border is taken for the field's.

    Returns
    -------
    dict
        Of each of `REGIONS`, and ``unsure``: stroma nearer to the field's border than the width
        of the band, where a tumour beyond the border would make it margin.
    """
    codes = region_grid(mask, margin_um)
    rows, columns = mask.shape
    whole = (0.0, rows * t.GRID_UM, 0.0, columns * t.GRID_UM)
    field_um = whole if space is None else space.field_um
    areas = {name: float(grid[codes == i].sum()) / 1e6 for i, name in enumerate(REGIONS)}
    middles = (np.indices(mask.shape).reshape(2, -1).T + 0.5) * t.GRID_UM
    near = border_distance(middles, field_um).reshape(mask.shape) < margin_um
    unsure = near & (codes == REGIONS.index(STROMA))
    return {**areas, "unsure": float(grid[unsure].sum()) / 1e6}


def outlined(spaces: Mapping[str, FieldSpace | None]) -> dict[str, NDArray[np.bool_]]:
    """Tumours that a person outlined, on the coarse grid; they replace estimated ones."""
    return {n: s.tumour for n, s in spaces.items() if s is not None and s.tumour is not None}


def with_regions(
    cells: pd.DataFrame,
    masks: Mapping[str, NDArray[np.bool_]],
    spaces: Mapping[str, FieldSpace],
    margin_um: float,
) -> pd.DataFrame:
    """Add to each cell its region and its distance to the tumour's margin.

    Parameters
    ----------
    cells
        Of any fields.
    masks
        Field -> tumour on the coarse grid, where it can be had.
    spaces
        Field -> its borders.
    margin_um
        Width of the band around the tumour.

    Returns
    -------
    DataFrame
        A copy with ``region`` (empty where it cannot be had), ``margin_distance_um`` and
        ``margin_censored``: the border of the field is nearer than the margin, so that a
        margin beyond it may be nearer.
    """
    code = np.full(len(cells), len(REGIONS), dtype=np.int8)
    distance = np.full(len(cells), np.nan)
    censored = np.zeros(len(cells), dtype=bool)
    points = cells[[t.Y, t.X]].to_numpy(dtype=np.float64)
    for name, rows in cells.groupby(t.FIELD, sort=False).indices.items():
        mask, space = masks.get(str(name)), spaces.get(str(name))
        if mask is None or space is None:
            continue
        mine = points[rows]
        distance[rows] = found = margin_distance(mask, mine)
        if mask.all():
            code[rows] = REGIONS.index(TUMOUR)
        else:
            # Without a margin in sight the distance is NaN, which is neither.
            of = [REGIONS.index(name) for name in (TUMOUR, MARGIN, STROMA)]
            code[rows] = np.select([found < 0, found <= margin_um], of[:2], of[2])
        censored[rows] = ~(np.abs(found) <= border_distance(mine, space.field_um))
    words = pd.Series([*REGIONS, ""], dtype="str").array.take(code)
    more: dict[str, Any] = {
        t.REGION: words, t.MARGIN_DISTANCE: distance, t.MARGIN_CENSORED: censored
    }  # fmt: skip
    return cells.assign(**more)
