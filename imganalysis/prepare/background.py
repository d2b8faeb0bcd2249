"""The level under the cells: offset, haze and shading, which change slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage as ndi

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMOOTH_UM = 1.0  # takes the noise, keeps the gaps between cells
_BLOCKS = 8  # of the coarse grid, along a window
_IN_BLOCK = 5.0  # percentile that is the low level of a block
_GLOBAL_BLOCK_UM = 7.5
_IN_WINDOW = 10.0  # percentile of the blocks that is the low level of a window


def local_background(
    image: NDArray[Any], spacing_um: float | tuple[float, ...], window_um: float
) -> NDArray[np.float32]:
    """Estimate the low level around each place.

    Parameters
    ----------
    image
        (Y, X), or (Z, Y, X) for planes that are treated one by one. Pixels that are not
        finite play no part.
    spacing_um
        Size of a pixel, um; one number, or one per axis, of which the last two count.
    window_um
        Side of the window, um. What is dark in a window is background: the gaps between cells
        and the unstained nuclei of a dense nest are, so that a nest may be much wider than the
        window, but a group of cells that is bright throughout may not.

    Returns
    -------
    background
        float32, shape of ``image``; NaN everywhere if no pixel is finite.

    Notes
    -----
    A rank opening (Soille, Pattern Recognit Lett 2002;23:527): a low percentile of each
    window, then the matching high percentile of these over the same window. The first finds
    the gaps, the second brings a gradient back to its place, which the first alone would
    shift. It runs on the low percentiles of blocks of an eighth of the window.
    """
    image = np.asarray(image)
    steps = np.broadcast_to(np.asarray(spacing_um, np.float64), (image.ndim,))[-2:]
    if image.ndim == 3:
        planes = [local_background(plane, tuple(steps), window_um) for plane in image]
        return np.stack(planes)
    finite = np.isfinite(image)
    if not finite.any():
        return np.full(image.shape, np.nan, np.float32)
    smooth = _smoothed(image, finite, steps)
    blocks = [max(1, int(window_um / _BLOCKS / step)) for step in steps]
    coarse = _low_of_blocks(smooth, blocks)
    window = tuple(
        min(size, max(1, round(window_um / (block * step)))) | 1
        for size, block, step in zip(coarse.shape, blocks, steps, strict=True)
    )
    low = ndi.percentile_filter(coarse, _IN_WINDOW, size=window, mode="nearest")
    low = ndi.percentile_filter(low, 100 - _IN_WINDOW, size=window, mode="nearest")
    low = ndi.gaussian_filter(low, [w / 4 for w in window], mode="nearest")
    return _enlarged(low, blocks, image.shape)


def global_background(image: NDArray[Any], spacing_um: float | tuple[float, ...]) -> float:
    """Find one low level for a whole channel.

    Parameters
    ----------
    image, spacing_um
        As for `local_background`.

    Returns
    -------
    float
        The 5th percentile of what `local_background` takes for the low level of blocks of 7.5
        um; NaN if no pixel is finite. For fields with glass or wide gaps, evenly lit: shading
        stays in.
    """
    image = np.asarray(image)
    steps = np.broadcast_to(np.asarray(spacing_um, np.float64), (image.ndim,))[-2:]
    planes = image if image.ndim == 3 else image[np.newaxis]
    lows = []
    for plane in planes:
        finite = np.isfinite(plane)
        if finite.any():
            blocks = [max(1, int(_GLOBAL_BLOCK_UM / step)) for step in steps]
            lows.append(_low_of_blocks(_smoothed(plane, finite, steps), blocks).ravel())
    return float(np.percentile(np.concatenate(lows), _IN_BLOCK)) if lows else float("nan")


def _smoothed(
    image: NDArray[Any], finite: NDArray[np.bool_], steps: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Gaussian over the finite pixels; NaN where there is none near."""
    sigma = _SMOOTH_UM / steps
    values = ndi.gaussian_filter(np.where(finite, image, 0).astype(np.float64), sigma)
    if finite.all():
        return np.asarray(values)
    weight = ndi.gaussian_filter(finite.astype(np.float64), sigma)
    near = weight > 0.05
    return np.where(near, values / np.where(near, weight, 1), np.nan)


def _low_of_blocks(smooth: NDArray[np.float64], blocks: list[int]) -> NDArray[np.float64]:
    """Low percentile of each block; blocks without a value take the nearest one's."""
    pad = [(0, -size % block) for size, block in zip(smooth.shape, blocks, strict=True)]
    padded = np.pad(smooth, pad, constant_values=np.nan)
    rows, columns = (n // b for n, b in zip(padded.shape, blocks, strict=True))
    tiles = padded.reshape(rows, blocks[0], columns, blocks[1]).swapaxes(1, 2)
    # Sorting puts NaN last, which is quicker than a percentile that looks for them.
    ordered = np.sort(tiles.reshape(rows, columns, -1), axis=-1)
    known = np.isfinite(ordered).sum(axis=-1)
    place = np.floor(_IN_BLOCK / 100 * np.maximum(known - 1, 0)).astype(np.intp)
    coarse = np.take_along_axis(ordered, place[..., np.newaxis], axis=-1)[..., 0]
    if (known == 0).any():
        index = ndi.distance_transform_edt(known == 0, return_distances=False, return_indices=True)
        coarse = coarse[tuple(index)]
    return np.asarray(coarse)


def _enlarged(
    coarse: NDArray[np.float64], blocks: list[int], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Values at pixels, linearly between the centres of blocks; the last block may be cut."""
    places = []
    for size, block, n in zip(shape, blocks, coarse.shape, strict=True):
        starts = np.arange(n) * block
        centres = (starts + np.minimum(starts + block, size) - 1) / 2
        places.append(np.interp(np.arange(size), centres, np.arange(n)))
    rows, columns = np.meshgrid(*places, indexing="ij")
    large = ndi.map_coordinates(coarse, [rows, columns], order=1, mode="nearest")
    return np.asarray(large, np.float32)
