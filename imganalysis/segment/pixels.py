"""Pixels as a network takes them: at its scale, between 0 and about 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from scipy import ndimage as ndi

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANNELS = 2
_LOW, _HIGH = 1.0, 99.8  # percentiles: nuclei may cover less than 1 % of a field
_CEILING = 4.0  # a glaring speck says no more than this
_DIM = 20.0  # how much the second channel lifts dim pixels


def rescale(image: NDArray[Any], factor: float) -> NDArray[np.float32]:
    """Change the scale of an image.

    Parameters
    ----------
    image
        (Y, X), finite.
    factor
        Above 1 enlarges. Pixel areas are mapped on each other, so that edges stay edges.

    Returns
    -------
    (Y, X) float32
        Each side at least one pixel. Where the image shrinks it is smoothed first.
    """
    picture = np.asarray(image, np.float32)
    shape = scaled_shape(picture.shape, factor)
    if shape == picture.shape:
        return picture
    ratio = [before / after for before, after in zip(picture.shape, shape, strict=True)]
    sigma = [max(0.0, (r - 1.0) / 2.0) for r in ratio]
    if any(sigma):
        picture = ndi.gaussian_filter(picture, sigma, mode="nearest")
    return _sample(picture, shape, ratio, order=1)


def rescale_labels(labels: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Bring a label image to another size, with smooth outlines.

    Parameters
    ----------
    labels
        (Y, X), 0 = background.
    shape
        Wanted.

    Returns
    -------
    labels : shape, int32
        Each pixel takes the label with the largest share of the four pixels around its place,
        as bilinear sampling weighs them; of equal ones the smaller number.
    """
    source = np.ascontiguousarray(labels, np.int32)
    if source.shape == shape:
        return source.copy()
    out = np.zeros(shape, np.int32)
    _vote(source, out)
    return out


@njit(cache=True, nogil=True)
def _vote(source: Any, out: Any) -> None:
    height, width = source.shape
    ratio_y, ratio_x = height / out.shape[0], width / out.shape[1]
    names = np.empty(4, np.int32)
    shares = np.empty(4)
    for i in range(out.shape[0]):
        y = min(max((i + 0.5) * ratio_y - 0.5, 0.0), height - 1.0)
        top = int(y)
        below = min(top + 1, height - 1)
        for j in range(out.shape[1]):
            x = min(max((j + 0.5) * ratio_x - 0.5, 0.0), width - 1.0)
            left = int(x)
            right = min(left + 1, width - 1)
            names[0], names[1] = source[top, left], source[top, right]
            names[2], names[3] = source[below, left], source[below, right]
            if names[0] == names[1] == names[2] == names[3]:
                out[i, j] = names[0]
                continue
            shares[0], shares[1] = (top + 1 - y) * (left + 1 - x), (top + 1 - y) * (x - left)
            shares[2], shares[3] = (y - top) * (left + 1 - x), (y - top) * (x - left)
            best, most = names[0], -1.0
            for k in range(4):
                total = 0.0
                for m in range(4):
                    if names[m] == names[k]:
                        total += shares[m]
                if total > most or (total == most and names[k] < best):
                    best, most = names[k], total
            out[i, j] = best


def scaled_shape(shape: tuple[int, ...], factor: float) -> tuple[int, int]:
    """Shape (Y, X) at another scale, at least one pixel along each axis."""
    height, width = shape
    return (max(1, round(height * factor)), max(1, round(width * factor)))


def _sample(
    picture: NDArray[np.float32], shape: tuple[int, ...], ratio: list[float], order: int
) -> NDArray[np.float32]:
    offset = [r / 2 - 0.5 for r in ratio]
    return np.asarray(
        ndi.affine_transform(
            picture, ratio, offset, output_shape=shape, order=order, mode="nearest"
        ),
        np.float32,
    )


def levels(image: NDArray[Any]) -> tuple[float, float] | None:
    """Find dark and bright of an image at the network's scale; None where it is flat."""
    sample = np.asarray(image, np.float32)
    low, high = np.percentile(sample, [_LOW, _HIGH])
    if high <= low:
        low, high = float(sample.min()), float(sample.max())
    return (float(low), float(high)) if high > low else None


def normalise(image: NDArray[Any], between: tuple[float, float]) -> NDArray[np.float32]:
    """Map dark to 0 and bright to 1; above 1 goes on, up to a ceiling."""
    low, high = between
    scaled = (np.asarray(image, np.float32) - np.float32(low)) / np.float32(high - low)
    return np.asarray(np.clip(scaled, -0.5, _CEILING), np.float32)


def as_input(image: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Make the channels of a network's input.

    Parameters
    ----------
    image
        (..., Y, X), as `normalise` leaves it.
    channels
        1, or 2: then the second shows the same on a logarithmic scale, so that dim nuclei
        beside bright ones stand out.

    Returns
    -------
    (..., C, Y, X) float32
    """
    parts = [image]
    if channels == 2:
        lifted = np.log1p(_DIM * np.maximum(image, 0)) / np.float32(np.log1p(_DIM))
        parts.append(lifted.astype(np.float32))
    return np.stack(parts, axis=-3)
