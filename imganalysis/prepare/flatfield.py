"""Flat-field: how much light reaches each place of the field, from many controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

GRID = 12
"""Squares along each side of a field whose means are compared."""

LEAST_LIGHT = 0.02
"""Of the detector's range: a channel with less mean light over its low level shows no shading."""

DEPTH = 0.02
"""Unevenness (greatest - least, of 1) under which nothing is corrected: it is even."""

NO_LIGHT, TOO_FEW, UNCERTAIN, EVEN = "no_light", "too_few_controls", "uncertain", "even"


def field_grid(image: NDArray[Any]) -> NDArray[np.float64]:
    """Mean grey level of each square of a field.

    Parameters
    ----------
    image
        (Y, X) or (Z, Y, X) grey levels; pixels that are not finite play no part.

    Returns
    -------
    array
        (GRID, GRID) float64, NaN where a square has no finite pixel.
    """
    flat = image if image.ndim == 2 else np.concatenate(list(image), axis=1)
    planes = 1 if image.ndim == 2 else len(image)
    rows = np.arange(flat.shape[0]) * GRID // flat.shape[0]
    columns = np.tile(np.arange(image.shape[-1]) * GRID // image.shape[-1], planes)
    square = np.add.outer(rows * GRID, columns).ravel()
    values = flat.astype(np.float64).ravel()
    finite = np.isfinite(values)
    total = np.bincount(square[finite], weights=values[finite], minlength=GRID**2)
    count = np.bincount(square[finite], minlength=GRID**2)
    with np.errstate(invalid="ignore"):
        return (total / count).reshape(GRID, GRID)


def fit_shading(
    grids: Sequence[NDArray[np.float64]],
    offset: float,
    full_range: float,
    *,
    min_fields: int,
    max_se: float,
) -> tuple[tuple[float, ...], float, str]:
    """Estimate the shading of a channel from fields of different tissue.

    Parameters
    ----------
    grids
        Of `field_grid`, one per control.
    offset
        Grey level without light.
    full_range
        Range of the detector in grey levels.
    min_fields
        Fewer fields with light show nothing: what is tissue and what is light cannot be told.
    max_se
        Greatest standard error of the surface that is used, relative, at its worst square.

    Returns
    -------
    coefficients, se, reason
        Of the surface, as `shading` takes them; its standard error at its worst square; a fixed
        word where it is not to be used, the coefficients then empty.

    Notes
    -----
    Each field is divided by its own mean; the middle three fifths of the fields, square by
    square, leave what they share; a bowl (with the distance from the middle squared) on a slope
    through it is what optics does, and cannot follow tissue. The standard error is that of
    leaving out each field in turn. Of nuclei alone it stays near 0.1 with 16 fields, which is
    as much as the shading of a good microscope: evenly bright fields tell far more.
    """
    lit = [g - offset for g in grids if np.nanmean(g) - offset >= LEAST_LIGHT * full_range]
    if len(lit) < min_fields:
        return (), float("nan"), TOO_FEW if len(grids) < min_fields else NO_LIGHT
    relative = np.stack([grid / np.nanmean(grid) for grid in lit])
    surfaces = [_surface(np.delete(relative, i, axis=0)) for i in range(len(relative))]
    whole = _surface(relative)
    design = _design(*_places(GRID, GRID))
    m = len(relative)
    apart = np.stack([design @ (s - np.mean(surfaces, axis=0)) for s in surfaces])
    se = float(np.sqrt((m - 1) / m * np.sum(apart**2, axis=0)).max())
    values = design @ whole
    if se > max_se or values.min() <= 0:
        return (), se, UNCERTAIN
    if np.ptp(values) < max(DEPTH, 3 * se):
        return (), se, EVEN
    return tuple(round(float(c), 6) for c in whole), se, ""


def _surface(relative: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients of the surface through what fields share; its mean is 1."""
    cut = len(relative) // 5
    ordered = np.sort(relative, axis=0)  # NaN last
    middle = ordered[cut : len(relative) - cut].mean(axis=0).ravel()
    design = _design(*_places(GRID, GRID))
    known = np.isfinite(middle)
    found = np.linalg.lstsq(design[known], middle[known], rcond=None)[0]
    return np.asarray(found / np.mean(design @ found))


def _places(rows: int, columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middles of pixels along a field, from -1 at one border to 1 at the other."""
    y, x = ((np.arange(n) + 0.5) / n * 2 - 1 for n in (rows, columns))
    return y[:, np.newaxis], x[np.newaxis, :]


def _design(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    terms = np.broadcast_arrays(np.ones_like(y + x), y, x, y * y + x * x)
    return np.stack([term.ravel() for term in terms], axis=1)


def shading(coefficients: Sequence[float], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Light at each pixel, mean 1 over the field.

    Parameters
    ----------
    coefficients
        Of 1, y, x and y^2 + x^2, with y and x from -1 to 1 across the field.
    shape
        (Y, X) pixels.
    """
    c = coefficients
    y, x = _places(*shape)
    return np.asarray(c[0] + c[1] * y + c[2] * x + c[3] * (y * y + x * x))


def flatten(image: NDArray[Any], coefficients: Sequence[float], offset: float) -> NDArray[Any]:
    """Divide the light over the offset by the shading.

    Parameters
    ----------
    image
        (Y, X) or (Z, Y, X) grey levels.
    coefficients
        As `shading` takes them.
    offset
        Grey level without light; it stays in the result.
    """
    shape = (int(image.shape[-2]), int(image.shape[-1]))
    return np.asarray((image.astype(np.float64) - offset) / shading(coefficients, shape) + offset)
