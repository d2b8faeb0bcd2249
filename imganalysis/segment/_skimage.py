"""Nuclei by smoothing, local threshold, seeds and watershed; every length in um, 2-D or 3-D."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu

from imganalysis.segment._coarse import as_stack, block_means, enlarge, gaussian
from imganalysis.segment._merge import merge_pieces
from imganalysis.segment._skimage_enlarge import enlarge_regions, in_raster_order
from imganalysis.segment._skimage_regions import (
    basins,
    capped_distance,
    holes_filled,
    inside_and_rim,
    offsets_within,
    opened,
    quantiles,
    whole,
)
from imganalysis.segment.pixels import as_float32
from imganalysis.words import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.methods import ScikitImageMethod

_GRID = 11.0  # pixels that a nucleus keeps at least where an image is made coarser
_SATURATED = 0.9  # of the pixels: where more are as bright as can be, nothing is to be seen
# Shares of the nucleus diameter. Chosen on annotated fluorescence nuclei of many kinds
# (BBBC038) and simulated sections; each is flat around its value, so that none has to be tuned
# for one image.
_SMOOTH = 0.06  # sigma of the first smoothing: keeps the outline, takes most of the noise
_SEED_SMOOTH = 0.15  # sigma for seeds: chromatin texture must not split a nucleus
_BACKGROUND = 1.5  # window of the local background: wider than a nucleus, narrower than haze
_PEAK = 2.0  # window in which the brightest nucleus sets the local threshold
_AROUND = 0.3  # width of the rim that a nucleus lies in
_BLUR = 0.15  # width of what belongs to a blurred edge
_RIM = 0.15  # width of the rim that a nucleus must stand out from
_HOLE = 0.25  # of a nucleus's area: larger holes are gaps between nuclei
# Shares of an intensity.
_LOCAL = 0.15  # a pixel under this share of the local peak is no nucleus
_EDGE = 0.42  # a blurred edge lies near half height; slightly lower keeps dim outlines whole
_FINAL_EDGE = 0.36  # the same above the rim, for the last outline
_LEVEL = 0.75  # quantile of a nucleus that stands for its height: above texture, under specks
_SEED_WIDE = 0.4  # sigma of the surroundings that a seed is compared with
_FAR = 2.0  # radii from the edge, beyond which distance says nothing more
_SADDLE = 0.04  # depth of the saddle between two seeds, of the sum of distance and brightness
_BRIGHTNESS = 1.2  # weight of brightness against distance from the edge
_NOISE = 5.0  # standard deviations of the smoothed noise


@dataclass(frozen=True)
class _Scale:
    """Lengths along Z, Y, X on the grid that is worked on; one Z makes a plane."""

    spacing: tuple[float, ...]  # um
    diameter: tuple[float, ...]  # of a nucleus, px
    axes: int  # 2 or 3

    def sigma(self, share: float) -> tuple[float, ...]:
        """Sigma of a Gaussian, a share of the diameter; half a pixel is the least that acts."""
        return tuple(max(0.5, share * d) for d in self.diameter)

    def mean_um(self) -> float:
        """Diameter of a nucleus, um."""
        return self.spacing[-1] * self.diameter[-1]

    def blocks(self) -> tuple[int, ...]:
        """Blocks of a coarser grid, about six to a nucleus."""
        return tuple(max(1, round(d / 6)) for d in self.diameter)

    def window(self, share: float) -> tuple[int, ...]:
        """Odd window on the coarser grid, a share of the diameter."""
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
        pixel, each in one piece. All 0 where the image is flat, black, saturated nearly
        everywhere, or without a finite pixel.

    Raises
    ------
    ValueError
        Not 2-D or 3-D, or not one spacing per axis.

    Notes
    -----
    Where nuclei are many pixels across, all is done on means of blocks of pixels. Four steps.
    (1) Foreground: above the local background by a share of the local peak, of the image's
    own nuclei (Otsu on pixels), and of the noise. (2) Regions: the hills of distance from the
    edge plus smoothed brightness that are separated by a saddle, divided at watersheds. (3) In
    each region the outline is set anew near half of that nucleus's own height, where the edge
    of a blurred object lies, so that a dim nucleus beside a bright one keeps its outline and
    a cytoplasmic halo is cut. Steps 2 and 3 run twice, because the first outlines are better
    than the first foreground. (4) What is too small, or does not stand out from its rim, is
    debris or haze. The last outline lies between that nucleus's height and its rim's, so that
    light under a nucleus does not widen it, and is drawn on the image's own pixels.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or len(spacing_um) != image.ndim:
        raise ValueError(
            f"nuclei are found in (Y, X) or (Z, Y, X) with one spacing per axis; "
            f"got {plural(image.ndim, 'axis', 'axes')} and {plural(len(spacing_um), 'spacing')}"
        )
    empty = np.zeros(image.shape, np.uint32)
    if not image.size:
        return empty
    diameter = settings.nucleus_diameter_um
    # A plane is one pixel of no thickness, whose size is that of a pixel along X.
    sizes = (1.0 * spacing_um[-1],) * (3 - image.ndim) + tuple(map(float, spacing_um))
    stack = as_stack(as_float32(image))
    blocks = tuple(
        max(1, int(diameter / size / _GRID)) if n > 1 else 1
        for size, n in zip(sizes, stack.shape, strict=True)
    )
    coarse = block_means(stack, blocks)
    spacing = tuple(size * block for size, block in zip(sizes, blocks, strict=True))
    scale = _Scale(spacing, tuple(diameter / size for size in spacing), 3 if len(stack) > 1 else 2)
    filled = _bridge(coarse, scale)
    if filled is None or filled.max() == filled.min():
        return empty
    if np.count_nonzero(stack == filled.max()) > _SATURATED * stack.size:
        return empty
    smooth = gaussian(filled, scale.sigma(_SMOOTH))
    height = smooth - _background(smooth, scale)
    mask = _foreground(filled, height, scale, settings.sensitivity)
    blob = _BRIGHTNESS * _blob(height, scale)
    regions = np.zeros(mask.shape, np.int32)
    for _ in range(2):
        if not mask.any():
            return empty
        regions = _outline(_split(mask, blob, scale), height)
        regions = merge_pieces(regions, height, _own(spacing, scale), diameter)
        mask = _tidy(regions > 0, scale)
    contrast = 0.3 * (1.0 - settings.sensitivity)
    regions = _without_haze(regions, smooth, scale, contrast)
    level = _levels(regions, height, scale)
    regions = np.where(height > level[regions], regions, 0).astype(np.int32)
    regions = whole(regions, 0, regions.size)
    regions = enlarge_regions(regions, height, level, blocks, stack.shape)
    least = _pixels(settings.smallest_nucleus_um, _Scale(sizes, (), scale.axes))
    return np.asarray(in_raster_order(whole(regions, least, regions.size)).reshape(image.shape))


def _own(values: tuple[float, ...], scale: _Scale) -> tuple[float, ...]:
    """Values along the axes that the image has."""
    return values[3 - scale.axes :]


def _pixels(diameter_um: float, scale: _Scale) -> float:
    """Pixels of a disc, or of a ball."""
    ball = np.pi * diameter_um**2 / 4 if scale.axes == 2 else np.pi * diameter_um**3 / 6
    return float(ball / np.prod(_own(scale.spacing, scale)))


def _bridge(image: NDArray[np.float32], scale: _Scale) -> NDArray[np.float32] | None:
    """Fill non-finite pixels from their surroundings; None if there are no others."""
    finite = np.isfinite(image)
    if finite.all():
        return image
    if not finite.any():
        return None
    values = np.where(finite, image, np.float32(0))
    sigma = scale.sigma(0.25)
    weight = gaussian(finite.astype(np.float32), sigma)
    total = gaussian(values, sigma)
    near = weight > 1e-3
    bridged = np.where(near, total / np.where(near, weight, 1), np.median(image[finite]))
    return np.where(finite, values, bridged).astype(np.float32)


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
    """Level under the nuclei: grey opening on a coarser grid, smoothed."""
    window = scale.window(_BACKGROUND)
    coarse = block_means(smooth, scale.blocks())
    coarse = ndi.grey_opening(coarse, size=window, mode="nearest")
    coarse = gaussian(coarse, tuple(w / 4 for w in window))
    return enlarge(coarse, scale.blocks(), smooth.shape)


def _peak(height: NDArray[np.float32], scale: _Scale, share: float) -> NDArray[np.float32]:
    """Height of the brightest nucleus around each place."""
    window = scale.window(share)
    coarse = block_means(height, scale.blocks())
    coarse = ndi.grey_dilation(coarse, size=window, mode="nearest")
    coarse = gaussian(coarse, tuple(w / 4 for w in window))
    return enlarge(coarse, scale.blocks(), height.shape)


def _foreground(
    filled: NDArray[np.float32],
    height: NDArray[np.float32],
    scale: _Scale,
    sensitivity: float,
) -> NDArray[np.bool_]:
    """Pixels that may belong to a nucleus, generously."""
    volume = float(np.prod([2 * np.sqrt(np.pi) * s for s in _own(scale.sigma(_SMOOTH), scale)]))
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
    nucleus = _pixels(1.0, _Scale((1.0,) * 3, (), scale.axes)) * np.prod(
        _own(scale.diameter, scale)
    )
    return np.asarray(holes_filled(opened(mask), float(_HOLE * nucleus)))


def _blob(height: NDArray[np.float32], scale: _Scale) -> NDArray[np.float32]:
    """Brighter than around it, as a share of the usual height here.

    The gap between two nuclei shows even where out-of-focus light fills it.
    """
    near = gaussian(height, scale.sigma(_SEED_SMOOTH))
    wide = gaussian(height, scale.sigma(_SEED_WIDE))
    usual = np.sqrt(gaussian(np.square(height), scale.sigma(1.0)))
    blob = (near - wide) / np.maximum(usual, np.finfo(np.float32).tiny)
    return np.asarray(blob, np.float32)


def _split(mask: NDArray[np.bool_], blob: NDArray[np.float32], scale: _Scale) -> NDArray[np.int32]:
    """One region per nucleus: the hills of distance from the edge and brightness."""
    radius = scale.mean_um() / 2
    # Capped, so that a blot much wider than a nucleus does not draw all seeds to its middle.
    distance = capped_distance(mask, scale.spacing, _FAR * radius) / np.float32(radius)
    inside = gaussian(distance, scale.sigma(_SEED_SMOOTH / 2))
    return np.asarray(basins(inside + blob, mask, _SADDLE))


def _outline(regions: NDArray[np.int32], height: NDArray[np.float32]) -> NDArray[np.int32]:
    """Cut each region near half of its own height."""
    threshold = np.float32(_EDGE) * quantiles(regions, height, _LEVEL)
    threshold[0] = np.inf
    return np.where(height > threshold[regions], regions, 0).astype(np.int32)


def _levels(
    regions: NDArray[np.int32], height: NDArray[np.float32], scale: _Scale
) -> NDArray[np.float32]:
    """Height of each region's outline: near the middle between it and what lies around it."""
    offsets = offsets_within(_AROUND * scale.mean_um(), scale.spacing)
    blurred = len(offsets_within(_BLUR * scale.mean_um(), scale.spacing))
    sums = inside_and_rim(regions, height, offsets, blurred)
    base = np.maximum(sums[:, 2], 0) / np.maximum(sums[:, 3], 1)
    top = quantiles(regions, height, _LEVEL)
    level = base + _FINAL_EDGE * (top - base)
    level[0] = np.inf
    return np.asarray(level, np.float32)


def _without_haze(
    regions: NDArray[np.int32], smooth: NDArray[np.float32], scale: _Scale, contrast: float
) -> NDArray[np.int32]:
    """Drop regions that hardly stand out from the rim around them: out-of-focus haze."""
    width = _RIM * scale.mean_um()
    width = max(width, 1.5 * max(_own(scale.spacing, scale)))
    sums = inside_and_rim(regions, smooth, offsets_within(width, scale.spacing), 0)
    with np.errstate(invalid="ignore"):
        inner, outer = sums[:, 0] / sums[:, 1], sums[:, 2] / sums[:, 3]
    darkest = float(np.percentile(smooth, 1))
    # A nucleus walled in by others has no rim and cannot be judged by it: it stays.
    haze = outer > inner - contrast * (inner - darkest)
    haze[0] = False
    return np.where(haze[regions], 0, regions).astype(np.int32)
