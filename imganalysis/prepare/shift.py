"""Channel shift: by how many pixels a channel lies beside the nuclear one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import fft
from scipy import ndimage as ndi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LIMIT_PX = 6
"""Greatest shift that is looked for; a greater one is another fault."""

MIN_CORRELATION = 0.08
"""Least correlation of two channels at the best place."""

CLEAR = 6.0
"""Standard deviations by which the best place must stand over places of no shift."""

NO_STRUCTURE, UNCERTAIN, NONE = "no_common_structure", "uncertain", "none"


def estimate_shift(
    reference: NDArray[Any], moved: NDArray[Any]
) -> tuple[tuple[float, float] | None, float]:
    """Find by how much one channel lies beside another that shows the same structure.

    Parameters
    ----------
    reference, moved
        (Y, X) of two detectors in which the same light is seen: the tissue's own in an
        unstained control, a single dye's in a control of it.

    Returns
    -------
    shift, correlation
        (dy, dx) in pixels, to a fraction: what is at (y, x) in `reference` is at
        (y + dy, x + dx) in `moved`. None where the two show nothing in common, or the best
        place lies at the limit. The correlation there, or the greatest one.

    Notes
    -----
    Correlation of the band between 1 and 8 pixels, which leaves out shading and pixel noise;
    noise of two detectors is independent, so it makes no peak. A parabola through the peak's
    neighbours gives the fraction. The height of the peak is judged against the correlations at
    places two to four times `LIMIT_PX` away.
    """
    one, other = _band(reference), _band(moved)
    norm = float(np.sqrt(np.sum(one**2) * np.sum(other**2)))
    if norm == 0 or min(one.shape) < 10 * LIMIT_PX:
        return None, 0.0
    shape = [n + 4 * LIMIT_PX for n in one.shape]
    product = np.conj(fft.rfft2(one, shape)) * fft.rfft2(other, shape)
    correlation = np.asarray(fft.irfft2(product, shape)) / norm
    far = 4 * LIMIT_PX
    near = np.roll(correlation, (far, far), (0, 1))[: 2 * far + 1, : 2 * far + 1]
    place = slice(far - LIMIT_PX, far + LIMIT_PX + 1)
    inner = near[place, place]
    i, j = np.unravel_index(int(np.argmax(inner)), inner.shape)
    best = float(inner[i, j])
    aside = near.copy()
    aside[
        far - 2 * LIMIT_PX : far + 2 * LIMIT_PX + 1, far - 2 * LIMIT_PX : far + 2 * LIMIT_PX + 1
    ] = np.nan
    height = best - float(np.nanmean(aside))
    at_limit = i in (0, 2 * LIMIT_PX) or j in (0, 2 * LIMIT_PX)
    if best < MIN_CORRELATION or height < CLEAR * float(np.nanstd(aside)) or at_limit:
        return None, best
    dy = i - LIMIT_PX + _top(inner[i - 1 : i + 2, j])
    dx = j - LIMIT_PX + _top(inner[i, j - 1 : j + 2])
    return (float(dy), float(dx)), best


def _band(image: NDArray[Any]) -> NDArray[np.float64]:
    values = np.asarray(image, np.float64)
    finite = np.isfinite(values)
    filled = np.where(finite, values, np.median(values[finite]) if finite.any() else 0.0)
    band = ndi.gaussian_filter(filled, 1.0) - ndi.gaussian_filter(filled, 8.0)
    limit = 5 * float(np.std(band))  # a speck of dust is no proof
    clipped = np.clip(band, -limit, limit)
    return np.asarray(clipped - clipped.mean())


def _top(values: NDArray[np.float64]) -> float:
    """Place of the top of the parabola through three values, from the middle one."""
    bend = values[0] - 2 * values[1] + values[2]
    return 0.0 if bend >= 0 else float(0.5 * (values[0] - values[2]) / bend)


def agree(shifts: Sequence[tuple[float, float] | None]) -> tuple[tuple[int, int], float, str]:
    """Whole-pixel shift that controls agree on.

    Parameters
    ----------
    shifts
        Of `estimate_shift`, one per control.

    Returns
    -------
    shift, spread, reason
        Median (dy, dx), rounded; the greatest distance of a control from it, in pixels; a fixed
        word where nothing is to be moved: ``no_common_structure``, ``uncertain`` where controls
        differ by more than a pixel, ``none`` where the median is under half a pixel.
    """
    known = np.array([s for s in shifts if s is not None])
    if not known.size:
        return (0, 0), float("nan"), NO_STRUCTURE
    middle = np.median(known, axis=0)
    spread = float(np.abs(known - middle).max())
    if spread > 1.0:
        return (0, 0), spread, UNCERTAIN
    dy, dx = (int(np.floor(abs(v) + 0.5)) * (1 if v > 0 else -1) for v in middle)
    return (dy, dx), spread, "" if dy or dx else NONE


def move_back(image: NDArray[Any], shift: tuple[int, int]) -> NDArray[np.float64]:
    """Move a channel onto the nuclear one.

    Parameters
    ----------
    image
        (Y, X) or (Z, Y, X).
    shift
        (dy, dx) whole pixels, by which it lies beside.

    Returns
    -------
    array
        float64, same shape; NaN along the border that nothing was moved onto. Whole pixels
        only: interpolation would smooth the noise of this channel and not of the others.
    """
    dy, dx = shift
    out = np.full(image.shape, np.nan)
    height, width = image.shape[-2:]
    rows, columns = range(height), range(width)
    to = (_span(rows, -dy), _span(columns, -dx))
    taken = (_span(rows, dy), _span(columns, dx))
    out[..., to[0], to[1]] = image[..., taken[0], taken[1]]
    return out


def _span(places: range, by: int) -> slice:
    return slice(max(0, by), len(places) + min(0, by))
