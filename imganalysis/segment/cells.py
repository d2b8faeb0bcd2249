"""Cells and rings from nuclei: grown outward, never into a neighbour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage as ndi

from imganalysis.words import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray


def expand_cells(
    nuclei: NDArray[np.integer[Any]], spacing_um: tuple[float, ...], distance_um: float
) -> NDArray[np.uint32]:
    """Grow each nucleus by a distance into the background.

    Parameters
    ----------
    nuclei
        (Y, X) or (Z, Y, X) labels, 0 = background.
    spacing_um
        Size of a pixel along each axis, um.
    distance_um
        How far, um; 0 gives the nuclei.

    Returns
    -------
    cells
        uint32, same shape and numbers. A place within reach of several nuclei belongs to the
        nearest one (Voronoi); equal distances always fall the same way.
    """
    _one_spacing_per_axis(nuclei, spacing_um)
    if not nuclei.any():
        return np.zeros(nuclei.shape, np.uint32)
    distance, owner = _nearest(nuclei, spacing_um)
    return np.where(distance <= distance_um, owner, 0).astype(np.uint32)


def rings(
    nuclei: NDArray[np.integer[Any]],
    spacing_um: tuple[float, ...],
    width_um: float | NDArray[np.floating[Any]],
) -> NDArray[np.uint32]:
    """Ring of each nucleus: what lies around it, within a width, nearer to it than to others.

    Parameters
    ----------
    nuclei
        (Y, X) or (Z, Y, X) labels, 0 = background.
    spacing_um
        Size of a pixel along each axis, um.
    width_um
        One width for all, or an array with one for each nucleus, in ascending order of their
        numbers, um.

    Returns
    -------
    rings
        uint32, same shape and numbers; a nucleus walled in by others may have none. Nuclei
        are no part of any ring, nor are the pixels that touch another nucleus with a side:
        half of the light there is that nucleus's.

    Raises
    ------
    ValueError
        The widths are not one for all, nor one for each nucleus.
    """
    _one_spacing_per_axis(nuclei, spacing_um)
    widths = np.asarray(width_um, dtype=np.float64)
    numbers = np.unique(nuclei[nuclei > 0])
    if widths.shape not in ((), numbers.shape):
        raise ValueError(
            f"expected one width for all nuclei or one for each of the {numbers.size}, got an "
            f"array of shape {widths.shape}"
        )
    ring = np.zeros(nuclei.shape, np.uint32)
    if numbers.size == 0:
        return ring
    distance, owner = _nearest(nuclei, spacing_um)
    near = (distance > 0) & (distance <= widths.max())
    own = owner[near]
    # By position among the numbers: a table by number would be as long as the largest, 2**32 - 1.
    reach = widths if widths.ndim == 0 else widths[np.searchsorted(numbers, own)]
    ring[near] = np.where(distance[near] <= reach, own, 0)
    for axis in range(nuclei.ndim):
        for towards in (slice(1, None), slice(None, -1)):
            here: list[slice] = [slice(None)] * nuclei.ndim
            there = list(here)
            here[axis] = towards
            there[axis] = slice(None, -1) if towards == slice(1, None) else slice(1, None)
            part, beside = ring[tuple(here)], nuclei[tuple(there)]
            part[(beside > 0) & (beside != part)] = 0
    return ring


def ring_widths(
    nuclei: NDArray[np.integer[Any]],
    spacing_um: tuple[float, ...],
    ring_um: float,
    small_ring_um: float | None = None,
    small_nucleus_um: float = 0.0,
) -> NDArray[np.float64]:
    """Width of the ring of each nucleus, by the size of the nucleus.

    Parameters
    ----------
    nuclei
        (Y, X) or (Z, Y, X) labels.
    spacing_um
        Size of a pixel along each axis, um.
    ring_um
        Width for all, um.
    small_ring_um
        Width for nuclei with an equivalent diameter under ``small_nucleus_um``, if any.
    small_nucleus_um
        Limit between small and other nuclei, um.

    Returns
    -------
    widths
        float64 um, one for each nucleus in ascending order of their numbers, as `rings` takes
        them.
    """
    _, n_pixels = np.unique(nuclei[nuclei > 0], return_counts=True)
    size = n_pixels * float(np.prod(spacing_um))
    if nuclei.ndim == 2:
        diameter = np.sqrt(4 * size / np.pi)
    else:
        diameter = np.cbrt(6 * size / np.pi)
    widths = np.full(diameter.shape, float(ring_um))
    if small_ring_um is not None:
        widths[diameter < small_nucleus_um] = small_ring_um
    return widths


def _nearest(
    nuclei: NDArray[np.integer[Any]], spacing_um: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.integer[Any]]]:
    """Distance to the nearest nucleus in um, and its number; needs at least one nucleus."""
    distance, index = ndi.distance_transform_edt(
        nuclei == 0, sampling=spacing_um, return_indices=True
    )
    return distance, nuclei[tuple(index)]


def _one_spacing_per_axis(nuclei: NDArray[np.integer[Any]], spacing_um: tuple[float, ...]) -> None:
    if len(spacing_um) != nuclei.ndim:
        raise ValueError(
            f"expected a spacing for each of {plural(nuclei.ndim, 'axis', 'axes')}, got "
            f"{len(spacing_um)}"
        )
