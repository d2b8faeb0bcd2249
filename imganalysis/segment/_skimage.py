"""Nuclei by smoothing, local threshold, seeds and watershed; every length in um, 2-D or 3-D."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from imganalysis.segment._coarse import block_means, enlarge
from imganalysis.segment._merge import merge_pieces
from imganalysis.segment.labels import relabel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.settings import ScikitImageMethod

# Shares of the nucleus diameter. Chosen on annotated fluorescence nuclei of many kinds
# (BBBC038); each is flat around its value, so that none has to be tuned for one image.
_SMOOTH = 0.06  # sigma of the first smoothing: keeps the outline, takes most of the noise
_SEED_SMOOTH = 0.15  # sigma for seeds: chromatin texture must not split a nucleus
_BACKGROUND = 1.5  # window of the local background: wider than a nucleus, narrower than haze
_PEAK = 2.0  # window in which the brightest nucleus sets the local threshold
_RIM = 0.15  # width of the rim that a nucleus must stand out from
_HOLE = 0.25  # of a nucleus's area: larger holes are gaps between nuclei
# Shares of an intensity.
_LOCAL = 0.15  # a pixel under this share of the local peak is no nucleus
_EDGE = 0.42  # a blurred edge lies near half height; slightly lower keeps dim outlines whole
_LEVEL = 0.75  # quantile of a nucleus that stands for its height: above texture, under specks
_SEED_WIDE = 0.4  # sigma of the surroundings that a seed is compared with
_FAR = 2.0  # radii from the edge, beyond which distance says nothing more
_SADDLE = 0.04  # depth of the saddle between two seeds, of the sum of distance and brightness
_BRIGHTNESS = 1.2  # weight of brightness against distance from the edge
_NOISE = 5.0  # standard deviations of the smoothed noise


@dataclass(frozen=True)
class _Scale:
    """Lengths in pixels along each axis."""

    spacing: tuple[float, ...]  # um
    diameter: tuple[float, ...]  # of a nucleus, px

    def sigma(self, share: float) -> tuple[float, ...]:
        """Sigma of a Gaussian, a share of the diameter; half a pixel is the least that acts."""
        return tuple(max(0.5, share * d) for d in self.diameter)

    def blocks(self) -> tuple[int, ...]:
        """Blocks of a coarse grid, six to a nucleus."""
        return tuple(max(1, int(d / 6)) for d in self.diameter)

    def window(self, share: float) -> tuple[int, ...]:
        """Odd window on the coarse grid, a share of the diameter."""
        pairs = zip(self.diameter, self.blocks(), strict=True)
        return tuple(max(3, round(share * d / b) | 1) for d, b in pairs)


def segment_nuclei(
    image: NDArray[Any],
    spacing_um: tuple[float, ...],
    settings: ScikitImageMethod,
) -> NDArray[np.uint32]:
    """Find nuclei in the picture of a nuclear stain.

    Parameters
    ----------
    image
        (Y, X) or (Z, Y, X), any scale and offset. NaN pixels are bridged from their
        surroundings, so that a nucleus with a hole of them is found whole.
    spacing_um
        Size of a pixel along each axis of ``image``, um.
    settings
        Diameter of a typical nucleus, of the smallest, and the sensitivity.

    Returns
    -------
    labels
        uint32, shape of ``image``, 0 = background, 1, 2, ... in raster order of the first
        pixel. All 0 where the image is flat, black or without a finite pixel.

    Raises
    ------
    ValueError
        Not 2-D or 3-D, or not one spacing per axis.

    Notes
    -----
    Four steps. (1) Foreground: above the local background by a share of the local peak, of
    the image's own nuclei (Otsu on pixels), and of the noise. (2) Seeds: maxima of distance
    from the edge plus smoothed brightness that are separated by a saddle (h-maxima), then
    watershed. (3) In each region the outline is set anew near half of that nucleus's own
    height, where the edge of a blurred object lies, so that a dim nucleus beside a bright one
    keeps its outline and a cytoplasmic halo is cut. Steps 2 and 3 run twice, because the
    first outlines are better than the first foreground. (4) What is too small, or does not
    stand out from its rim, is debris or haze.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or len(spacing_um) != image.ndim:
        raise ValueError(
            f"nuclei are found in (Y, X) or (Z, Y, X) with one spacing per axis; "
            f"got {image.ndim} axes and {len(spacing_um)} spacings"
        )
    empty = np.zeros(image.shape, np.uint32)
    scale = _Scale(
        tuple(float(s) for s in spacing_um),
        tuple(settings.nucleus_diameter_um / float(s) for s in spacing_um),
    )
    filled = _bridge(image.astype(np.float32), scale)
    if filled is None or filled.max() == filled.min():
        return empty
    smooth = ndi.gaussian_filter(filled, scale.sigma(_SMOOTH))
    height = smooth - _background(smooth, scale)
    mask = _foreground(filled, height, scale, settings.sensitivity)
    regions = np.zeros(image.shape, np.int32)
    for _ in range(2):
        if not mask.any():
            return empty
        regions = _outline(_split(mask, height, scale), height)
        regions = merge_pieces(regions, height, scale.spacing, settings.nucleus_diameter_um)
        mask = _tidy(regions > 0, scale)
    contrast = 0.3 * (1.0 - settings.sensitivity)
    regions = _without_haze(regions, smooth, scale, contrast)
    return relabel(_whole(regions, settings.smallest_nucleus_um, scale))


def _bridge(image: NDArray[np.float32], scale: _Scale) -> NDArray[np.float32] | None:
    """Fill non-finite pixels from their surroundings; None if there are no others."""
    finite = np.isfinite(image)
    if finite.all():
        return image
    if not finite.any():
        return None
    values = np.where(finite, image, 0)
    sigma = scale.sigma(0.25)
    weight = ndi.gaussian_filter(finite.astype(np.float32), sigma)
    total = ndi.gaussian_filter(values, sigma)
    near = weight > 1e-3
    bridged = np.where(near, total / np.where(near, weight, 1), np.median(image[finite]))
    result: NDArray[np.float32] = np.where(finite, values, bridged).astype(np.float32)
    return result


def _noise(image: NDArray[np.float32]) -> float:
    """Estimate the standard deviation of the pixel noise in the darker half of an image.

    Second differences along Y and X cancel every slow structure (Immerkaer, Comput Vis Image
    Underst 1996;64:300); the median is untouched by edges.
    """
    if min(image.shape[-2:]) < 3:
        return 0.0
    rows = image[..., 1:-1, :] * 2 - image[..., :-2, :] - image[..., 2:, :]
    both = (rows[..., 1:-1] * 2 - rows[..., :-2] - rows[..., 2:]) / 6
    centre = image[..., 1:-1, 1:-1]
    dark = centre <= np.median(centre)
    return float(1.4826 * np.median(np.abs(both[dark])))


def _background(smooth: NDArray[np.float32], scale: _Scale) -> NDArray[np.float32]:
    """Level under the nuclei: grey opening on a coarse grid, smoothed."""
    window = scale.window(_BACKGROUND)
    coarse = block_means(smooth, scale.blocks())
    coarse = ndi.grey_opening(coarse, size=window, mode="nearest")
    coarse = ndi.gaussian_filter(coarse, tuple(w / 4 for w in window), mode="nearest")
    return enlarge(coarse, scale.blocks(), smooth.shape)


def _peak(height: NDArray[np.float32], scale: _Scale, share: float) -> NDArray[np.float32]:
    """Height of the brightest nucleus around each place."""
    window = scale.window(share)
    coarse = block_means(height, scale.blocks())
    coarse = ndi.grey_dilation(coarse, size=window, mode="nearest")
    coarse = ndi.gaussian_filter(coarse, tuple(w / 4 for w in window), mode="nearest")
    return enlarge(coarse, scale.blocks(), height.shape)


def _foreground(
    filled: NDArray[np.float32],
    height: NDArray[np.float32],
    scale: _Scale,
    sensitivity: float,
) -> NDArray[np.bool_]:
    """Pixels that may belong to a nucleus, generously."""
    volume = float(np.prod([2 * np.sqrt(np.pi) * s for s in scale.sigma(_SMOOTH)]))
    noise = _noise(filled) / np.sqrt(volume)
    otsu = threshold_otsu(height)  # type: ignore[no-untyped-call]
    nuclei = float(height[height > otsu].mean())
    # 0.2 of the image's nuclei at sensitivity 0.5; 0.4 at 0; nothing but noise at 1.
    floor = max(_NOISE * noise, 0.4 * (1 - sensitivity) * nuclei)
    low = np.maximum(floor, _LOCAL * _peak(height, scale, _PEAK))
    return _tidy(height > low, scale)


def _tidy(mask: NDArray[np.bool_], scale: _Scale) -> NDArray[np.bool_]:
    """Without single pixels, and without holes that fit into a nucleus.

    Larger holes are gaps among a group of nuclei and stay.
    """
    opened = ndi.binary_opening(mask)
    holes, n = ndi.label(~opened)
    if n == 0:
        return np.asarray(opened)
    nucleus = float(np.prod(scale.diameter)) * (np.pi / 4 if mask.ndim == 2 else np.pi / 6)
    fill = np.bincount(holes.ravel()) <= _HOLE * nucleus
    fill[0] = False
    return np.asarray(opened | fill[holes])


def _split(
    mask: NDArray[np.bool_], height: NDArray[np.float32], scale: _Scale
) -> NDArray[np.int32]:
    """One region per nucleus: seeds by h-maxima, then watershed."""
    radius = float(np.mean(np.multiply(scale.diameter, scale.spacing))) / 2
    distance = ndi.distance_transform_edt(mask, sampling=scale.spacing) / radius
    # Capped, so that a blot much wider than a nucleus does not draw all seeds to its middle.
    inside = np.minimum(distance, _FAR).astype(np.float32)
    inside = ndi.gaussian_filter(inside, scale.sigma(_SEED_SMOOTH / 2))
    near = ndi.gaussian_filter(height, scale.sigma(_SEED_SMOOTH))
    wide = ndi.gaussian_filter(height, scale.sigma(_SEED_WIDE))
    usual = np.sqrt(ndi.gaussian_filter(np.square(height), scale.sigma(1.0)))
    # Brighter than around it, as a share of the usual height here: the gap between two nuclei
    # shows even where out-of-focus light fills it.
    blob = (near - wide) / np.maximum(usual, np.finfo(np.float32).tiny)
    total = inside + _BRIGHTNESS * blob
    total = np.maximum(total - total[mask].min(), 0)
    total = np.where(mask, total, 0).astype(np.float32)
    # The sum is so smooth that seeds need no more than a dozen pixels to a nucleus.
    grid = tuple(slice(None, None, max(1, int(d / 12))) for d in scale.diameter)
    thin = total[grid]
    flat = reconstruction(thin - _SADDLE, thin, method="dilation")  # type: ignore[no-untyped-call]
    maxima = local_maxima(flat)  # type: ignore[no-untyped-call]
    seeds = np.zeros(mask.shape, np.int32)
    everywhere = np.ones((3,) * mask.ndim, bool)
    seeds[grid], _ = ndi.label(maxima & mask[grid], everywhere)
    regions = watershed(-total, seeds, mask=mask)  # type: ignore[no-untyped-call]
    return np.asarray(regions, np.int32)


def _outline(regions: NDArray[np.int32], height: NDArray[np.float32]) -> NDArray[np.int32]:
    """Cut each region near half of its own height."""
    where = np.flatnonzero(regions)
    label, value = regions.ravel()[where], height.ravel()[where]
    count = np.bincount(label)[1:]
    ordered = value[np.lexsort((value, label))]
    first = np.cumsum(count) - count
    level = ordered[first + np.floor(_LEVEL * np.maximum(count - 1, 0)).astype(np.intp)]
    threshold = np.concatenate([[np.inf], _EDGE * level]).astype(np.float32)
    return np.where(height > threshold[regions], regions, 0).astype(np.int32)


def _without_haze(
    regions: NDArray[np.int32], smooth: NDArray[np.float32], scale: _Scale, contrast: float
) -> NDArray[np.int32]:
    """Drop regions that hardly stand out from the rim around them: out-of-focus haze."""
    if not regions.any():
        return regions
    n = int(regions.max()) + 1
    width = _RIM * float(np.mean(np.multiply(scale.diameter, scale.spacing)))
    distance, nearest = ndi.distance_transform_edt(
        regions == 0, sampling=scale.spacing, return_indices=True
    )
    rim = (distance > 0) & (distance <= max(width, 1.5 * max(scale.spacing)))
    owner = regions[tuple(axis[rim] for axis in nearest)]
    inside = np.bincount(regions.ravel(), weights=smooth.ravel(), minlength=n)
    size = np.bincount(regions.ravel(), minlength=n)
    outside = np.bincount(owner, weights=smooth[rim], minlength=n)
    around = np.bincount(owner, minlength=n)
    with np.errstate(invalid="ignore"):
        inner, outer = inside / size, outside / around
    darkest = float(np.percentile(smooth, 1))
    # A nucleus walled in by others has no rim and cannot be judged by it: it stays.
    haze = outer > inner - contrast * (inner - darkest)
    haze[0] = False
    return np.where(haze[regions], 0, regions).astype(np.int32)


def _whole(regions: NDArray[np.int32], smallest_um: float, scale: _Scale) -> NDArray[np.uint32]:
    """Each nucleus in one piece, without holes, and not smaller than the smallest."""
    ball = np.pi * smallest_um**2 / 4 if regions.ndim == 2 else np.pi * smallest_um**3 / 6
    least = ball / float(np.prod(scale.spacing))
    result = np.zeros(regions.shape, np.uint32)
    for number, box in enumerate(ndi.find_objects(regions), 1):
        if box is None:
            continue
        pieces, n = ndi.label(regions[box] == number)
        one = pieces > 0
        if n > 1:
            one = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
        one = ndi.binary_fill_holes(one)
        if np.count_nonzero(one) >= least:
            part = result[box]
            part[one & (part == 0)] = number
    return result
