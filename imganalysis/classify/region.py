"""Regions: where cells of a kind lie densely. From positions, not from intensities."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from imganalysis import tables as t
from imganalysis.classify.calls import POSITIVE_CODE, UNKNOWN_CODE, call_codes, is_present

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.panel import Region

MIN_CELLS = 3
"""Fewer are no region; in a corner a single cell would make one, where a quarter is seen."""


def field_region(
    cells: pd.DataFrame,
    region: Region | None,
    shape: Sequence[int],
    grid_um: float = t.GRID_UM,
    *,
    gated: bool = True,
) -> NDArray[np.bool_] | None:
    """Find the region of one field: where its large, positive nuclei lie densely.

    Parameters
    ----------
    cells
        One row per cell of the field, with calls.
    region
        The panel's.
    shape
        Rows and columns of the grid over the field.
    grid_um
        Side of a square of the grid, um.
    gated
        Whether one of the region's markers has a gate: in a field without a cell no call tells.

    Returns
    -------
    array or None
        `shape` bool; None where the panel has no region, or none of its markers has a gate.

    Raises
    ------
    TableError
        A column is missing.
    """
    if region is None:
        return None
    rows = np.arange(len(cells))
    return _mask(rows, *_chosen(cells, region), region, shape, grid_um, gated)


def panel_regions(
    cells: pd.DataFrame,
    region: Region,
    shapes: Mapping[str, Sequence[int]],
    gated: Collection[str],
    grid_um: float = t.GRID_UM,
) -> dict[str, NDArray[np.bool_]]:
    """Find the regions of many fields, as `field_region` finds that of one.

    Parameters
    ----------
    cells
        One row per cell of all fields, with calls.
    region
        The panel's.
    shapes
        Field -> rows and columns of its grid.
    gated
        Fields in which one of the region's markers has a gate.
    grid_um
        Side of a square of the grid, um.

    Returns
    -------
    dict
        Field -> (Y, X) bool, where it can be had.
    """
    points, chosen, known = _chosen(cells, region)
    groups = cells.groupby(t.FIELD, sort=False).indices
    none = np.zeros(0, dtype=np.intp)
    found = {}
    for name, shape in shapes.items():
        rows = np.asarray(groups.get(name, none))
        mask = _mask(rows, points, chosen, known, region, shape, grid_um, name in gated)
        if mask is not None:
            found[name] = mask
    return found


def _chosen(
    cells: pd.DataFrame, region: Region
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Positions of cells, which of them make a region, and which have a call that tells."""
    t.require(cells, [t.Y, t.X, t.DIAMETER], source="cells")
    calls = np.stack([call_codes(cells, marker) for marker in region.positive])
    large = cells[t.DIAMETER].to_numpy(dtype=np.float64) > region.min_diameter_um
    chosen = large & is_present(cells) & (calls == POSITIVE_CODE).any(axis=0)
    points = cells[[t.Y, t.X]].to_numpy(dtype=np.float64)
    return points, chosen, (calls < UNKNOWN_CODE).any(axis=0)


def _mask(
    rows: NDArray[np.intp],
    points: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    known: NDArray[np.bool_],
    region: Region,
    shape: Sequence[int],
    grid_um: float,
    gated: bool,
) -> NDArray[np.bool_] | None:
    if not (known[rows].any() if rows.size else gated):
        return None
    own = points[rows[chosen[rows]]]
    return region_mask(own, region, [n * grid_um for n in shape], grid_um)


def region_mask(
    points_um: NDArray[np.float64],
    region: Region,
    shape_um: Sequence[float],
    grid_um: float = t.GRID_UM,
) -> NDArray[np.bool_]:
    """Find where cells lie more densely than a threshold.

    Parameters
    ----------
    points_um
        (N, 2) y and x of the cells, um.
    region
        Width of the kernel, threshold, radius of the closing.
    shape_um
        Height and width of the field, um.
    grid_um
        Side of a square of the grid, um.

    Returns
    -------
    array
        (ceil(height / grid_um), ceil(width / grid_um)) bool.

    Notes
    -----
    Gaussian kernel density, divided by the share of the kernel that lies in the field
    (Diggle, Appl Stat 1985;34:138), so that the border is no desert.
    """
    shape = tuple(max(1, int(np.ceil(side / grid_um - 1e-9))) for side in shape_um)
    y, x = _squares(points_um, shape, grid_um)
    counts = np.bincount(y * shape[1] + x, minlength=shape[0] * shape[1]).reshape(shape)
    sigma = region.sigma_um / grid_um
    smooth = ndimage.gaussian_filter(counts.astype(np.float64), sigma, mode="constant")
    per_mm2 = smooth / _seen(shape, sigma) / grid_um**2 * 1e6
    dense = per_mm2 >= region.min_density_per_mm2
    patches, n = ndimage.label(dense)
    members = np.bincount(patches[y, x], minlength=n + 1)
    dense &= members[patches] >= MIN_CELLS
    return _closed(dense, region.closing_um / grid_um)


@lru_cache(maxsize=64)
def _seen(shape: tuple[int, ...], sigma: float) -> NDArray[np.float64]:
    """Share of the kernel that lies in the field."""
    seen = ndimage.gaussian_filter(np.ones(shape), sigma, mode="constant")
    seen.flags.writeable = False
    return np.asarray(seen)


def inside(
    mask: NDArray[np.bool_], points_um: NDArray[np.float64], grid_um: float = t.GRID_UM
) -> NDArray[np.bool_]:
    """Look up which points lie in a region.

    Parameters
    ----------
    mask
        (Y, X) bool grid, as from `region_mask`.
    points_um
        (N, 2) y and x, um; points outside the field take the nearest square.
    grid_um
        Side of a square of the grid, um.

    Returns
    -------
    array
        (N,) bool.
    """
    y, x = _squares(points_um, mask.shape, grid_um)
    return mask[y, x]


def _squares(
    points_um: NDArray[np.float64], shape: Sequence[int], grid_um: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    places = np.floor(np.asarray(points_um, dtype=np.float64).reshape(-1, 2) / grid_um)
    top = np.asarray(shape) - 1
    clipped = np.clip(places, 0, top).astype(np.intp)
    return clipped[:, 0], clipped[:, 1]


def _closed(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Close gaps up to twice the radius (in squares) with a disc."""
    if radius <= 0 or not mask.any():
        return mask
    # The region is taken to go on beyond the border; room for the disc, to grow and to shrink.
    room = 2 * int(np.ceil(radius)) + 1
    wide = np.pad(mask, room, mode="edge")
    grown = ndimage.distance_transform_edt(~wide) <= radius
    closed = ndimage.distance_transform_edt(grown) > radius
    return np.asarray(closed[room:-room, room:-room] | mask)
