"""Diameter of the nuclei of an image whose scale nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu

from imganalysis.segment._coarse import block_means, enlarge
from imganalysis.segment.pixels import as_float32
from imganalysis.words import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WINDOW = 640  # px: of a larger image only windows are looked at
_WINDOWS = 4
_FIRST_WINDOW = 60.0  # px, of the background: haze must not be taken for nuclei
_FIRST = 12.0  # px, first guess of a diameter: sets no more than the smoothing
_PASSES = 2
_BINNED = (2, 4, 8)  # px
_GRAIN = 10.0  # px: what is smaller may be grains of noise ...
_GROWS = 1.5  # ... and is, if it becomes larger by this factor where pixels are binned
# Shares of the diameter.
_SMOOTH = 0.06
_BACKGROUND = 2.5
_GRID = 20.0  # px to a nucleus are enough


def estimate_diameter(image: NDArray[Any]) -> float:
    """Estimate the diameter of a typical nucleus.

    Parameters
    ----------
    image
        (Y, X), picture of a nuclear stain, bright on dark, any scale and offset.

    Returns
    -------
    float
        In pixels: diameter of the circle that fits into the nuclei, the median by area, so
        that specks hardly count. NaN where the image is flat or without a finite pixel.

    Raises
    ------
    ValueError
        Not 2-D.

    Notes
    -----
    A first foreground (Otsu's threshold over the local background) is filled with circles: the
    maxima of the distance from the edge. Touching nuclei keep their own maxima, so nothing
    has to be split. The size found sets smoothing, background and grid of the next pass. Where
    it is small, pixels are binned and looked at again: grains of noise grow with them.
    It is meant to be right within a factor 1.5, which is what the methods of segmentation
    need.
    """
    image = np.asarray(image)
    if image.ndim != 2:
        raise ValueError(
            f"a diameter is estimated from (Y, X), got {plural(image.ndim, 'axis', 'axes')}"
        )
    found = [_from_window(part) for part in _windows(image)]
    known = [value for value in found if np.isfinite(value)]
    return float(np.median(known)) if known else float("nan")


def _windows(image: NDArray[Any]) -> list[NDArray[np.float32]]:
    """Cut out the parts with most contrast; the whole image where it is small."""
    starts = [
        np.unique(np.linspace(0, max(0, size - _WINDOW), min(4, -(-size // _WINDOW))).astype(int))
        for size in image.shape
    ]
    parts = [
        np.array(as_float32(image[y : y + _WINDOW, x : x + _WINDOW]))
        for y in starts[0]
        for x in starts[1]
    ]
    for part in parts:
        finite = np.isfinite(part)
        part[~finite] = part[finite].min() if finite.any() else 0
    parts.sort(key=lambda part: -float(part.std()))  # stable: the same order every time
    return parts[:_WINDOWS]


def _from_window(image: NDArray[np.float32]) -> float:
    if not image.size or image.max() == image.min():
        return float("nan")
    found = _passes(image)
    for binned in _BINNED:
        if not found < _GRAIN * binned / 2:  # NaN ends it too
            break
        coarser = binned * _passes(block_means(image, (binned, binned)))
        if not coarser > _GROWS * found:
            break
        found = coarser
    return found


def _passes(image: NDArray[np.float32]) -> float:
    diameter, window = _FIRST, _FIRST_WINDOW
    for _ in range(_PASSES):
        diameter = _one_pass(image, diameter, window)
        window = _BACKGROUND * diameter
        if not np.isfinite(diameter):
            break
    return diameter


def _one_pass(image: NDArray[np.float32], diameter: float, window: float) -> float:
    """Improve a diameter; the window is the width of the local background, both in pixels."""
    block = max(1, int(diameter / _GRID))
    small = block_means(image, (block, block)) if block > 1 else image
    small = ndi.gaussian_filter(small, max(1.0, _SMOOTH * diameter / block))
    # The root brings dim and bright nuclei nearer to each other.
    small = np.sqrt(np.maximum(small - np.percentile(small, 1), 0))
    height = small - _background(small, max(_FIRST, window / block))
    if height.max() <= height.min():
        return float("nan")
    mask = height > threshold_otsu(height)  # type: ignore[no-untyped-call]
    if np.count_nonzero(mask) < mask.size / 2:
        mask = ndi.binary_fill_holes(mask)
    distance = ndi.distance_transform_edt(mask).astype(np.float32)
    return 2 * block * _radius(distance)


def _background(image: NDArray[np.float32], window: float) -> NDArray[np.float32]:
    blocks = (max(1, int(window / 12)),) * 2
    coarse = block_means(image, blocks)
    width = max(3, int(window / blocks[0]) | 1)
    coarse = ndi.grey_opening(coarse, size=(width, width), mode="nearest")
    coarse = ndi.gaussian_filter(coarse, width / 4, mode="nearest")
    return enlarge(coarse, blocks, image.shape)


def _radius(distance: NDArray[np.float32]) -> float:
    """Median by area of the circles around the maxima of the distance from the edge."""
    inside = distance[distance > 0]
    if not inside.size:
        return float("nan")
    # In a circle the mean square of the distance from the edge is a sixth of the radius's.
    radius = float(np.sqrt(6 * np.mean(np.square(inside))))
    for _ in range(3):
        width = max(3, 2 * round(0.6 * radius) + 1)
        smooth = ndi.gaussian_filter(distance, max(0.5, 0.15 * radius))
        top = (ndi.maximum_filter(smooth, width) == smooth) & (distance > 1.5)
        circles = np.sort(distance[top])
        if not circles.size:
            return float("nan")
        area = np.cumsum(circles**2)
        radius = float(circles[np.searchsorted(area, area[-1] / 2)])
    return radius
