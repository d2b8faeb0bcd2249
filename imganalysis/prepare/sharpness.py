"""How sharp the edge of each nucleus is, on a scale of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage as ndi

from imganalysis.label_places import at_numbers, compact

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_SMOOTH_UM = 0.3  # sigma, against noise
_INSIDE_UM = (1.0, 2.0)  # from the edge, where the nucleus is bright and its surroundings dark
_LEAST_STEP = 0.2  # of the field's usual step: what stands out less has no edge to speak of
_NEAR_UM = 0.7  # of the edge, where its slope is looked for


def edge_sharpness(
    image: NDArray[Any],
    nuclei: NDArray[np.integer[Any]],
    labels: ArrayLike,
    spacing_um: tuple[float, float],
) -> NDArray[np.float64]:
    """Steepness of the nuclei's edges.

    Parameters
    ----------
    image
        (Y, X) nuclear stain.
    nuclei
        (Y, X) labels, 0 = background.
    labels
        Numbers of the nuclei to tell of.
    spacing_um
        (Y, X) size of a pixel.

    Returns
    -------
    sharpness
        (labels,) float64, per um: the slope at the edge, inwards, over the height of
        the step from the surroundings to the nucleus. About 1 / (2.5 sigma) for an edge blurred
        by a Gaussian of a sigma up to 0.8 um; more blur lowers it less. NaN for what has
        no free edge or no step.

    Notes
    -----
    Gain, offset and brightness of the stain divide out, and noise averages out, as the slope
    has a sign; so nuclei of one microscope can be compared on it. Where nuclei touch, the edge
    between them is no edge to the background and is left out. An edge cut aslant by the section
    is softer than the optics are.
    """
    return sharpness_of(*edge_parts(smoothed_stain(image, spacing_um), nuclei, labels, spacing_um))


def smoothed_stain(image: NDArray[Any], spacing_um: tuple[float, float]) -> NDArray[np.float64]:
    """Smooth the nuclear stain, in which edges are looked for."""
    values = np.asarray(image, np.float64)
    finite = np.isfinite(values)
    values = np.where(finite, values, np.median(values[finite]) if finite.any() else 0)
    return np.asarray(ndi.gaussian_filter(values, [_SMOOTH_UM / step for step in spacing_um]))


def reach_px(spacing_um: tuple[float, float]) -> int:
    """Pixels beyond a nucleus that its edge depends on."""
    # The dark place beside one nucleus may be nearer to another, as far off again.
    return int(np.ceil(2 * max(_INSIDE_UM) / min(spacing_um))) + 8


def edge_parts(
    smooth: NDArray[np.float64],
    nuclei: NDArray[np.integer[Any]],
    labels: ArrayLike,
    spacing_um: tuple[float, float],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Step from the surroundings to each nucleus, and the slope at its edge.

    Parameters
    ----------
    smooth
        As `smoothed_stain` gives it; it and the nuclei may be a part of a field, which is as
        good as all of it for nuclei that lie `reach_px` within.
    labels
        Numbers of the nuclei to tell of.

    Returns
    -------
    step, slope : (labels,) float64; NaN without pixels
    """
    numbers, nuclei = compact(nuclei)
    size = len(numbers)
    nothing = np.full(np.size(labels), np.nan)
    inside = nuclei > 0
    if not inside.any() or inside.all():
        return nothing, nothing
    depth = ndi.distance_transform_edt(inside, sampling=spacing_um)
    far, index = ndi.distance_transform_edt(~inside, sampling=spacing_um, return_indices=True)
    nearest = nuclei[tuple(index)]  # inside, its own number
    signed = depth - far
    slope = np.gradient(smooth, *spacing_um)
    way = np.gradient(ndi.gaussian_filter(signed, 1.0), *spacing_um)
    length = np.maximum(np.hypot(*way), 1e-9)
    inwards = (slope[0] * way[0] + slope[1] * way[1]) / length
    # Beside another nucleus the way inwards is none of its own.
    own = nearest == ndi.minimum_filter(nearest, size=3)
    own &= nearest == ndi.maximum_filter(nearest, size=3)
    edge = (np.abs(signed) <= _NEAR_UM) & own
    low, high = _INSIDE_UM
    bright = (signed >= low) & (signed <= high)
    dark = (signed <= -low) & (signed >= -high) & own
    step = _mean(smooth, bright, nearest, size) - _mean(smooth, dark, nearest, size)
    slopes = _mean(inwards, edge, nearest, size)
    return at_numbers(numbers, step, labels), at_numbers(numbers, slopes, labels)


def sharpness_of(step: NDArray[np.float64], slope: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sharpness of each nucleus, of what `edge_parts` gives of all of a field."""
    positive = step[step > 0]
    least = _LEAST_STEP * float(np.median(positive)) if positive.size else np.inf
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(step > least, slope / step, np.nan))


def _mean(
    values: NDArray[np.float64],
    where: NDArray[np.bool_],
    labels: NDArray[np.integer[Any]],
    size: int,
) -> NDArray[np.float64]:
    numbers = labels[where]
    total = np.bincount(numbers, weights=values[where], minlength=size)
    count = np.bincount(numbers, minlength=size)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))
