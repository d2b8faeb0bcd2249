"""Nuclei as blobs: maxima of the Laplacian of Gaussian in scale-space, then watershed.

Each nucleus is found at its own size within a range, by its shape and not by a threshold of the
image. Round nuclei are found best; long ones and coarse chromatin are split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator
from scipy import ndimage as ndi
from scipy.spatial import cKDTree
from skimage.segmentation import watershed

from imganalysis.errors import PixelDataError, SettingsError
from imganalysis.methods import Method
from imganalysis.segment import Segmenter

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEP = 1.25  # from one scale to the next
_REACH = 1.4  # radii from the middle of a nucleus, beyond which nothing belongs to it
_NOISE = 6.0  # standard deviations of the filtered noise
_LARGER = 0.5  # exponent of the radius: a nucleus goes before the grains of its chromatin
_WITHIN = 1.3  # radii of a stronger blob, within which a weaker one is a part of it
_LEAST_PX = 3.0  # across a typical nucleus


class LogBlobsMethod(Method):
    """Nuclei as blobs of any size in a range."""

    method: Literal["log-blobs"] = "log-blobs"
    largest_nucleus_um: float = Field(
        14.0,
        gt=0,
        le=100,
        title="Largest nucleus",
        description="um; larger blobs are groups or haze",
    )
    sensitivity: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Sensitivity",
        description="0 finds bright nuclei only, 1 the dimmest",
    )

    @model_validator(mode="after")
    def _rising(self) -> LogBlobsMethod:
        sizes = (self.smallest_nucleus_um, self.nucleus_diameter_um, self.largest_nucleus_um)
        if not sizes[0] < sizes[1] <= sizes[2]:
            raise ValueError(f"smallest < typical <= largest nucleus, got {sizes} um")
        return self


def find_nuclei(
    image: NDArray[Any], spacing_um: tuple[float, ...], settings: LogBlobsMethod, threads: int
) -> NDArray[np.uint32]:
    """Find nuclei in the picture of a nuclear stain.

    Parameters
    ----------
    image
        (Y, X) or (Z, Y, X), bright on dark, any scale and offset.
    spacing_um
        Size of a pixel along each axis, um.
    settings
        Range of diameters, and the sensitivity.
    threads
        Not used: the result must not depend on it.

    Returns
    -------
    labels
        uint32, shape of ``image``, 0 = background.

    Raises
    ------
    SettingsError
        A typical nucleus is too few pixels across.
    PixelDataError
        A pixel is NaN or infinite.

    Notes
    -----
    A ball of radius r in n dimensions answers most strongly at sigma = r / sqrt(n) (Lindeberg,
    Int J Comput Vis 1998;30:79). The Laplacian is the difference of two Gaussians of neighbouring
    scales (Lowe, Int J Comput Vis 2004;60:91), which holds for any shape of pixels.
    """
    across = settings.nucleus_diameter_um / max(spacing_um)
    if across < _LEAST_PX:
        raise SettingsError(
            f"method log-blobs: a nucleus of {settings.nucleus_diameter_um:g} um is {across:.1f} "
            f"pixels across where they are {max(spacing_um):g} um long; expected {_LEAST_PX:g} or "
            "more: take a finer image, or method scikit-image"
        )
    pixels = np.asarray(image, np.float32)
    if not np.isfinite(pixels).all():
        raise PixelDataError("method log-blobs: the image has pixels that are NaN or infinite")
    spacing = np.asarray(spacing_um, float)
    centres, radii = _blobs(pixels, spacing, settings)
    if not len(centres):
        return np.zeros(pixels.shape, np.uint32)
    return _outlines(pixels, spacing, centres, radii, settings)


def _blobs(
    pixels: NDArray[np.float32], spacing: NDArray[Any], settings: LogBlobsMethod
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Find the middle of each blob, pixels, and its radius, um."""
    first, last = np.array([settings.smallest_nucleus_um, settings.largest_nucleus_um]) / 2
    count = int(np.ceil(np.log(last / first) / np.log(_STEP))) + 1
    sizes = first * _STEP ** np.arange(-1, count + 1)  # one more at either end, to compare with
    noise = _noise(pixels)
    found: list[tuple[NDArray[np.intp], NDArray[Any], float]] = []
    levels: list[NDArray[np.float32]] = []
    for number, radius in enumerate(sizes):
        levels = [*levels[-2:], _laplacian(pixels, radius, spacing)]
        if number < 2:
            continue
        cube = np.stack(levels)
        tops = ndi.maximum_filter(cube, size=3)[1] == cube[1]
        tops &= cube[1] > _NOISE * noise * _gain(sizes[number - 1], spacing)
        found.append((np.argwhere(tops), cube[1][tops], float(sizes[number - 1])))
    centres = np.concatenate([places for places, _, _ in found])
    heights = np.concatenate([values for _, values, _ in found])
    radii = np.concatenate([np.full(len(places), radius) for places, _, radius in found])
    if not len(centres):
        return centres, radii
    usual = np.average(heights, weights=radii**pixels.ndim)
    bright = heights >= 0.6 * (1 - settings.sensitivity) * usual
    centres, heights, radii = centres[bright], heights[bright], radii[bright]
    kept = _strongest(centres * spacing, heights * radii**_LARGER, radii)
    return centres[kept], radii[kept]


def _laplacian(
    pixels: NDArray[np.float32], radius_um: float, spacing: NDArray[Any]
) -> NDArray[np.float32]:
    """Answer of blobs of one radius; positive where it is bright."""
    sigma = radius_um / np.sqrt(pixels.ndim) / spacing
    narrow = ndi.gaussian_filter(pixels, sigma / np.sqrt(_STEP))
    return np.asarray(narrow - ndi.gaussian_filter(pixels, sigma * np.sqrt(_STEP)), np.float32)


def _gain(radius_um: float, spacing: NDArray[Any]) -> float:
    """Give the standard deviation of the answer to noise of standard deviation 1."""
    reach = np.ceil(4 * _STEP * radius_um / np.sqrt(len(spacing)) / spacing).astype(int)
    impulse = np.zeros(2 * reach + 1, np.float32)
    impulse[tuple(reach)] = 1
    return float(np.sqrt(np.square(_laplacian(impulse, radius_um, spacing)).sum()))


def _noise(pixels: NDArray[np.float32]) -> float:
    """Estimate the standard deviation of the pixel noise, from second differences along X."""
    second = 2 * pixels[..., 1:-1] - pixels[..., :-2] - pixels[..., 2:]
    return float(1.4826 * np.median(np.abs(second)) / np.sqrt(6)) if second.size else 0.0


def _strongest(
    places_um: NDArray[Any], strengths: NDArray[Any], radii: NDArray[Any]
) -> NDArray[np.intp]:
    """Numbers of the blobs that are no part of a stronger one, nor have it as a part."""
    order = np.lexsort((*places_um.T, radii, -strengths))
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    tree, alive = cKDTree(places_um), np.ones(len(order), bool)
    for one in order:
        if alive[one]:
            near = np.asarray(tree.query_ball_point(places_um[one], _WITHIN * radii.max()), int)
            apart = np.linalg.norm(places_um[near] - places_um[one], axis=1)
            same = apart < np.maximum(_WITHIN * radii[one], radii[near])
            alive[near[same & (rank[near] > rank[one])]] = False
    return np.flatnonzero(alive)


def _outlines(
    pixels: NDArray[np.float32],
    spacing: NDArray[Any],
    centres: NDArray[np.intp],
    radii: NDArray[np.float64],
    settings: LogBlobsMethod,
) -> NDArray[np.uint32]:
    """Give each blob its pixels, out to half of its own height over the background."""
    seeds = np.zeros(pixels.shape, np.int32)
    seeds[tuple(centres.T)] = np.arange(1, len(centres) + 1)
    far, nearest = ndi.distance_transform_edt(seeds == 0, sampling=spacing, return_indices=True)
    reach = np.concatenate([[0], radii])[seeds[tuple(nearest)]]
    smooth = ndi.gaussian_filter(pixels, 0.1 * settings.nucleus_diameter_um / spacing)
    zone = far <= _REACH * reach
    regions = watershed(-smooth, seeds, mask=zone)  # type: ignore[no-untyped-call]
    window = np.maximum(3, np.round(2.5 * settings.largest_nucleus_um / spacing)).astype(int)
    ground = ndi.uniform_filter(ndi.minimum_filter(smooth, window), window)
    core = np.where(far <= 0.5 * reach, regions, 0)
    total = np.bincount(core.ravel(), weights=(smooth - ground).ravel())
    height = total / np.maximum(np.bincount(core.ravel()), 1)
    inside = np.where(smooth - ground >= 0.5 * height[regions], regions, 0)
    ball = np.pi * settings.smallest_nucleus_um**2 / 4
    if pixels.ndim == 3:
        ball *= settings.smallest_nucleus_um * 2 / 3
    result = np.zeros(pixels.shape, np.uint32)
    for number, box in enumerate(ndi.find_objects(inside), 1):
        if box is not None:
            pieces, _ = ndi.label(inside[box] == number)
            one = ndi.binary_fill_holes(pieces == 1 + np.argmax(np.bincount(pieces.flat)[1:]))
            if np.count_nonzero(one) * spacing.prod() >= ball:
                result[box][one & (result[box] == 0)] = number
    return result


SEGMENTER = Segmenter(LogBlobsMethod, find_nuclei)
