"""Where the section lies double: brighter in every channel, and blurred."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage as ndi

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_BLOCK_UM = 4.0  # side of the blocks on which folds are told
_LOCAL_UM = 8.0  # sigma: wider than a cell, narrower than a fold
_BRIGHTER = 1.35  # times the field's usual level, in each channel
_LOUDER = 1.6  # and on average over the channels
_BLURRED = 0.75  # of the field's usual fine structure, relative to the light
_SMALLEST_UM2 = 400.0
_FINE_UM = 0.5  # structure that a second layer out of focus has not


def fold_mask(
    images: Mapping[str, NDArray[Any]],
    tissue: NDArray[np.bool_],
    spacing_um: tuple[float, float],
) -> NDArray[np.bool_]:
    """Mark tissue that is much brighter in all channels at once than the rest, and less sharp.

    Parameters
    ----------
    images
        marker -> (Y, X), background not subtracted.
    tissue
        (Y, X) bool.
    spacing_um
        (Y, X) size of a pixel.

    Returns
    -------
    mask
        (Y, X) bool. A fold has twice the light, and its second layer is out of focus; dense
        tissue is brighter in its own stains and as sharp as any. A fold that covers half of the
        tissue or more is its usual level and is not seen.
    """
    blocks = [max(1, round(_BLOCK_UM / step)) for step in spacing_um]
    inside = _means(tissue, blocks)
    if not (inside > 0.5).any():
        return np.zeros(tissue.shape, bool)
    sigma = [_LOCAL_UM / (step * n) for step, n in zip(spacing_um, blocks, strict=True)]
    brightness: list[NDArray[np.float32]] = []
    sharpness: list[NDArray[np.float32]] = []
    for image in images.values():
        values = np.asarray(image, np.float32)
        values = np.where(np.isfinite(values), values, 0)
        fine = values - ndi.gaussian_filter(values, [_FINE_UM / step for step in spacing_um])
        light = ndi.gaussian_filter(_means(values, blocks), sigma, mode="nearest")
        light = light - float(np.percentile(values, 0.1))
        rough = ndi.gaussian_filter(_means(np.square(fine), blocks), sigma, mode="nearest")
        share = np.sqrt(rough) / np.maximum(light, 1e-6)
        for found, value in ((brightness, light), (sharpness, share)):
            usual = float(np.median(value[inside > 0.5]))
            found.append(value / usual if usual > 0 else np.ones_like(value))
    bright = np.min(brightness, axis=0) > _BRIGHTER
    bright &= np.mean(brightness, axis=0) > _LOUDER
    found = bright & (np.mean(sharpness, axis=0) < _BLURRED) & (inside > 0.5)
    parts, _ = ndi.label(found)
    area = np.bincount(parts.ravel()) * float(np.prod(spacing_um)) * blocks[0] * blocks[1]
    keep = area >= _SMALLEST_UM2
    keep[0] = False
    large = keep[parts].repeat(blocks[0], axis=0).repeat(blocks[1], axis=1)
    return np.asarray(large[: tissue.shape[0], : tissue.shape[1]] & tissue)


def _means(image: NDArray[Any], blocks: list[int]) -> NDArray[np.float32]:
    """Means of blocks; the image is mirrored at its far sides to fill the last."""
    pad = [(0, -size % block) for size, block in zip(image.shape, blocks, strict=True)]
    padded = np.pad(np.asarray(image, np.float32), pad, mode="symmetric")
    rows, columns = (n // b for n, b in zip(padded.shape, blocks, strict=True))
    tiles = padded.reshape(rows, blocks[0], columns, blocks[1])
    return np.asarray(tiles.mean(axis=(1, 3)))
