"""Where there is tissue, and where there is only glass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.settings import Preparation

_STRUCTURE = 3.0  # times what noise alone would give: structure
_EVEN = 0.1  # share of the contrast to tissue: unevenness that glass may have
_ABOVE = 4.0  # standard deviations of the glass: what is brighter is tissue
_BLOCK = 16  # pixels
_SPECK_UM2 = 50.0  # smaller than a lone small nucleus after smoothing
_FEW = 0.02  # of the field: too little to judge glass by


def tissue_mask(
    images: NDArray[Any], spacing_um: float | tuple[float, float], settings: Preparation
) -> NDArray[np.bool_]:
    """Find the tissue in a field.

    Parameters
    ----------
    images
        (C, Y, X), every channel, background not subtracted.
    spacing_um
        Size of a pixel, um; one number or (Y, X).
    settings
        Smoothing, and the smallest hole.

    Returns
    -------
    tissue
        (Y, X) bool. All of a field that is full of tissue, nothing of an empty one. Holes
        and gaps in which a disc of the smallest hole fits stay open.

    Notes
    -----
    The channels, each from its darkest to its brightest level, are summed and smoothed, and
    Otsu's threshold divides the pixels in two. That division is believed only if the darker
    part is as even as glass: the light of tissue has structure at the scale of cells, the
    light of glass only noise. The darker part's structure (band between the smoothing and
    three times it, away from the brighter part) must not exceed three times what the pixel
    noise leaves, or a tenth of the contrast between the parts. If it does, the darker part is
    dim tissue, and the same is asked again of the darker part of it alone; if no division is
    believed, the field is full of tissue, or, where it has no structure at all, empty.
    """
    images = np.asarray(images)
    pixel = np.broadcast_to(np.asarray(spacing_um, np.float64), (2,))
    # What is smoothed over some um needs no finer grid than a quarter of that.
    blocks = [max(1, int(settings.tissue_smooth_um / 4 / step)) for step in pixel]
    found = _on_grid(images, pixel, blocks, settings)
    large = np.repeat(np.repeat(found, blocks[0], axis=0), blocks[1], axis=1)
    return large[: images.shape[1], : images.shape[2]]


def _on_grid(
    images: NDArray[Any], pixel: NDArray[np.float64], blocks: list[int], settings: Preparation
) -> NDArray[np.bool_]:
    """Tissue on a coarse grid of blocks of pixels."""
    steps = pixel * blocks
    sigma = settings.tissue_smooth_um / steps
    total, noise = _summed(images, blocks, sigma)
    if total is None:
        return np.zeros([-(-n // b) for n, b in zip(images.shape[1:], blocks, strict=True)], bool)
    band = total - ndi.gaussian_filter(total, 3 * sigma, mode="nearest")
    if _spread(band) <= _STRUCTURE * noise:
        return np.zeros(total.shape, bool)
    radius = np.sqrt(settings.tissue_hole_um2 / np.pi)
    inside = np.ones(total.shape, bool)
    apart_um = 2 * settings.tissue_smooth_um
    for _ in range(3):
        level = threshold_otsu(total[inside])  # type: ignore[no-untyped-call]
        bright = total > level
        tissue = _closed(bright, radius, steps, settings.tissue_hole_um2)
        if tissue.all():
            return tissue
        # Glass is looked for away from the tissue's blurred edge, unless that leaves too little.
        far = ndi.distance_transform_edt(~tissue, sampling=steps) > apart_um
        glass = far if np.count_nonzero(far) >= _FEW * far.size else ~tissue
        if not tissue.any() or not glass.any():
            break
        contrast = float(total[tissue].mean() - total[glass].mean())
        if _spread(band[glass]) <= max(_STRUCTURE * noise, _EVEN * contrast):
            rise = max(_ABOVE * _spread(total[glass]), _EVEN * contrast)
            seen = total > np.median(total[glass]) + rise
            return _closed(seen | tissue, radius, steps, settings.tissue_hole_um2)
        inside = ~bright
        if total[inside].max() == total[inside].min():
            break
    return np.ones(total.shape, bool)


def _summed(
    images: NDArray[Any], blocks: list[int], sigma: NDArray[np.float64]
) -> tuple[NDArray[np.float64] | None, float]:
    """Sum of the smoothed channels, each scaled to its range, and the noise left in it."""
    total: NDArray[np.float64] | None = None
    variance = 0.0
    for image in images:
        finite = np.isfinite(image)
        if not finite.any():
            continue
        filled = np.where(finite, image, np.median(image[finite])).astype(np.float64)
        smooth = ndi.gaussian_filter(_binned(filled, blocks), sigma, mode="nearest")
        low, high = np.percentile(smooth, (0.5, 99.5))
        noise = _pixel_noise(filled) / (2 * np.sqrt(np.pi * float(np.prod(sigma * blocks))))
        # A channel that holds nothing but noise would only add its noise.
        scale = float(high - low)
        if scale <= 2 * _STRUCTURE * noise or scale == 0:
            continue
        part = (smooth - low) / scale
        total = part if total is None else total + part
        variance += (noise / scale) ** 2
    return total, float(np.sqrt(variance))


def _binned(image: NDArray[np.float64], blocks: list[int]) -> NDArray[np.float64]:
    """Means of blocks of pixels; the image is mirrored at its far sides to fill the last."""
    pad = [(0, -size % block) for size, block in zip(image.shape, blocks, strict=True)]
    padded = np.pad(image, pad, mode="symmetric")
    rows, columns = (n // b for n, b in zip(padded.shape, blocks, strict=True))
    tiles = padded.reshape(rows, blocks[0], columns, blocks[1])
    return np.asarray(tiles.mean(axis=(1, 3)))


def _pixel_noise(image: NDArray[np.float64]) -> float:
    """Estimate the pixel noise in the quieter blocks.

    Second differences along both axes (Immerkaer, Comput Vis Image Underst 1996;64:300).
    """
    if min(image.shape) < _BLOCK + 2:
        return 0.0
    rows = image[1:-1] * 2 - image[:-2] - image[2:]
    both = (rows[:, 1:-1] * 2 - rows[:, :-2] - rows[:, 2:]) / 6
    down, across = (size // _BLOCK for size in both.shape)
    tiles = both[: down * _BLOCK, : across * _BLOCK].reshape(down, _BLOCK, across, _BLOCK)
    # A mean square, not a median: noise of few photons is 0 in most pixels.
    return float(np.sqrt(np.percentile(np.square(tiles).mean(axis=(1, 3)), 20)))


def _spread(values: NDArray[np.float64]) -> float:
    """Take the standard deviation of all but the most extreme hundredth, specks of dust."""
    if values.size == 0:
        return 0.0
    low, high = np.percentile(values, (0.5, 99.5))
    return float(np.std(np.clip(values, low, high)))


def _closed(
    mask: NDArray[np.bool_], radius_um: float, steps: NDArray[np.float64], hole_um2: float
) -> NDArray[np.bool_]:
    """Close gaps narrower than the smallest hole, fill holes under its area, drop specks."""
    pad = [int(np.ceil(radius_um / step)) + 1 for step in steps]
    # Mirrored beyond the border, where tissue goes on.
    wide = np.pad(mask, [(p, p) for p in pad], mode="symmetric")
    if wide.any() and radius_um > 0:
        far = ndi.distance_transform_edt(~wide, sampling=steps) > radius_um
        if far.any():
            wide = ndi.distance_transform_edt(~far, sampling=steps) > radius_um
        else:
            wide = np.ones_like(wide)
    closed = wide[pad[0] : -pad[0], pad[1] : -pad[1]] | mask
    least = hole_um2 / float(np.prod(steps))
    closed = ~_large_only(~closed, least)
    return _large_only(closed, _SPECK_UM2 / float(np.prod(steps)))


def _large_only(mask: NDArray[np.bool_], least_pixels: float) -> NDArray[np.bool_]:
    parts, _ = ndi.label(mask)
    size = np.bincount(parts.ravel())
    keep = size >= least_pixels
    keep[0] = False
    return np.asarray(keep[parts])
