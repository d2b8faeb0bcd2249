"""Grids coarser than the image: block means, Gaussian smoothing there, and the way back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REACH = 3.0  # sigmas, where a Gaussian ends


def block_means(image: NDArray[np.float32], blocks: tuple[int, ...]) -> NDArray[np.float32]:
    """Mean of the finite pixels of each block; NaN where there are none.

    Parameters
    ----------
    image
        (Y, X) or (Z, Y, X).
    blocks
        Pixels to a block along each axis; the last blocks hold what is left.
    """
    picture = as_stack(np.asarray(image, np.float32))
    steps = (1,) * (3 - image.ndim) + tuple(blocks)
    shape = [-(-size // step) for size, step in zip(picture.shape, steps, strict=True)]
    means = np.empty(shape, np.float32)
    _block_means(picture, steps, means)
    return means.reshape(shape[3 - image.ndim :])


def enlarge(
    coarse: NDArray[np.float32], blocks: tuple[int, ...], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Bring a coarse grid back to the image's pixels, linearly between block centres."""
    steps = (1,) * (3 - coarse.ndim) + tuple(blocks)
    if max(steps) == 1:
        return coarse
    large = np.empty((1,) * (3 - len(shape)) + tuple(shape), np.float32)
    _enlarge(as_stack(coarse), steps, large)
    return large.reshape(shape)


def gaussian(image: NDArray[np.float32], sigma: tuple[float, ...]) -> NDArray[np.float32]:
    """Smooth by a Gaussian; beyond the border the image is mirrored.

    Parameters
    ----------
    image
        (Y, X) or (Z, Y, X), finite.
    sigma
        Pixels along each axis; 0 leaves that axis as it is.
    """
    smooth = as_stack(image)
    for axis, width in enumerate(sigma, 3 - image.ndim):
        if width <= 0 or smooth.shape[axis] == 1:
            continue
        radius = math.ceil(_REACH * width)
        offsets = np.arange(-radius, radius + 1)
        kernel = np.exp(-0.5 * (offsets / width) ** 2)
        mirrored = np.pad(np.arange(smooth.shape[axis]), radius, mode="symmetric")
        out = np.empty_like(smooth)
        _convolve(smooth, axis, (kernel / kernel.sum()).astype(np.float32), mirrored, out)
        smooth = out
    return smooth.reshape(image.shape)


def as_stack(image: NDArray[Any]) -> NDArray[Any]:
    """See a plane (Y, X) as a stack (1, Y, X), in memory row by row."""
    return np.ascontiguousarray(image.reshape((1,) * (3 - image.ndim) + image.shape))


@njit(cache=True, nogil=True)
def _block_means(image: Any, blocks: Any, means: Any) -> None:
    depth, height, width = image.shape
    total = np.empty(means.shape[2])
    count = np.empty(means.shape[2])
    for k in range(means.shape[0]):
        for i in range(means.shape[1]):
            total[:] = 0.0
            count[:] = 0.0
            for z in range(k * blocks[0], min((k + 1) * blocks[0], depth)):
                for y in range(i * blocks[1], min((i + 1) * blocks[1], height)):
                    row = image[z, y]
                    for j in range(means.shape[2]):
                        part, number = 0.0, 0
                        for x in range(j * blocks[2], min((j + 1) * blocks[2], width)):
                            if math.isfinite(row[x]):
                                part += row[x]
                                number += 1
                        total[j] += part
                        count[j] += number
            for j in range(means.shape[2]):
                means[k, i, j] = total[j] / count[j] if count[j] > 0 else np.nan


@njit(cache=True, nogil=True)
def _place(position: int, block: int, size: int) -> tuple[int, int, float]:
    """Two neighbours on the coarse grid, and the weight of the second."""
    at = min(max((position + 0.5) / block - 0.5, 0.0), size - 1.0)
    low = int(at)
    return low, min(low + 1, size - 1), at - low


@njit(cache=True, nogil=True)
def _enlarge(coarse: Any, blocks: Any, large: Any) -> None:
    depth, height, width = coarse.shape
    left = np.empty(large.shape[2], np.intp)
    right = np.empty(large.shape[2], np.intp)
    share = np.empty(large.shape[2], np.float32)
    for x in range(large.shape[2]):
        left[x], right[x], share[x] = _place(x, blocks[2], width)
    row = np.empty(width, np.float32)
    for z in range(large.shape[0]):
        z0, z1, dz = _place(z, blocks[0], depth)
        for y in range(large.shape[1]):
            y0, y1, dy = _place(y, blocks[1], height)
            for j in range(width):
                upper = coarse[z0, y0, j] + np.float32(dy) * (coarse[z0, y1, j] - coarse[z0, y0, j])
                lower = coarse[z1, y0, j] + np.float32(dy) * (coarse[z1, y1, j] - coarse[z1, y0, j])
                row[j] = upper + np.float32(dz) * (lower - upper)
            for x in range(large.shape[2]):
                first = row[left[x]]
                large[z, y, x] = first + share[x] * (row[right[x]] - first)


@njit(cache=True, nogil=True)
def _convolve(image: Any, axis: int, kernel: Any, mirrored: Any, out: Any) -> None:
    depth, height, width = image.shape
    padded = np.empty(width + kernel.size, np.float32)
    for z in range(depth):
        for y in range(height):
            row = out[z, y]
            row[:] = 0
            if axis == 2:
                for x in range(mirrored.size):
                    padded[x] = image[z, y, mirrored[x]]
            for k in range(kernel.size):
                weight = kernel[k]
                if axis == 2:
                    part = padded[k : k + width]
                elif axis == 1:
                    part = image[z, mirrored[y + k]]
                else:
                    part = image[mirrored[z + k], y]
                for x in range(width):
                    row[x] += weight * part[x]
