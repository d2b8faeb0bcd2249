"""Slow changes of an image on a coarse grid, where wide windows cost little."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage as ndi

if TYPE_CHECKING:
    from numpy.typing import NDArray


def block_means(image: NDArray[np.float32], blocks: tuple[int, ...]) -> NDArray[np.float32]:
    """Mean of each block; the image is mirrored at its far edges to fill the last ones."""
    pad = [(0, -size % block) for size, block in zip(image.shape, blocks, strict=True)]
    padded = np.pad(image, pad, mode="symmetric")
    shape: list[int] = []
    for size, block in zip(padded.shape, blocks, strict=True):
        shape += [size // block, block]
    means: NDArray[np.float32] = (
        padded.reshape(shape)
        .mean(axis=tuple(range(1, 2 * image.ndim, 2)), dtype=np.float64)
        .astype(np.float32)
    )
    return means


def enlarge(
    coarse: NDArray[np.float32], blocks: tuple[int, ...], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Bring a coarse grid back to the image's pixels, linearly between block centres."""
    large = coarse
    for axis, (block, size) in enumerate(zip(blocks, shape, strict=True)):
        if block == 1:
            continue
        zoom = [1.0] * coarse.ndim
        zoom[axis] = block
        large = ndi.zoom(large, zoom, order=1, mode="nearest", grid_mode=True)
        large = np.take(large, range(size), axis=axis)
    return large[tuple(slice(size) for size in shape)].astype(np.float32)
