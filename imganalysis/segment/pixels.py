"""Pixels as a network takes them: at its scale, between 0 and about 1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numba import njit
from scipy import ndimage as ndi

if TYPE_CHECKING:
    from numpy.typing import NDArray

Box = tuple[int, int, int, int]
Pair = tuple[int, int]

CHANNELS = 2
_LOW, _HIGH = 1.0, 99.8  # percentiles: nuclei may cover less than 1 % of a field
_CEILING = 4.0  # a glaring speck says no more than this
_DIM = 20.0  # how much the second channel lifts dim pixels


class Sliceable(Protocol):
    """What is read part by part: numpy, a memory-mapped file, zarr, dask."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole."""

    def __getitem__(self, key: Any, /) -> Any: ...


def as_float32(values: Any) -> NDArray[np.float32]:
    """Values as 32-bit floats; what these cannot hold becomes infinite, and counts as such."""
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float32)


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
    picture = as_float32(image)
    shape = scaled_shape(picture.shape, factor)
    return rescale_part(picture, (0, shape[0], 0, shape[1]), shape)


def rescale_part(
    image: Sliceable, box: Box, shape: tuple[int, int], dark: float | None = None
) -> NDArray[np.float32]:
    """Do as `rescale` would with the whole image, for a part of it.

    Parameters
    ----------
    image
        (Y, X), the whole, anything that gives a part when it is sliced; only what is needed is
        read.
    box
        (y0, y1, x0, x1) at the new scale.
    shape
        Of the whole image at the new scale.
    dark
        In place of pixels that are not finite; without it there must be none.

    Returns
    -------
    (y1 - y0, x1 - x0) float32
    """
    before = (int(image.shape[0]), int(image.shape[1]))
    ratio = [old / new for old, new in zip(before, shape, strict=True)]
    sigma = [max(0.0, (r - 1.0) / 2.0) for r in ratio]
    around = (_reach(sigma[0]), _reach(sigma[1]))
    y0, y1, x0, x1 = needed(box, before, shape, around)
    picture = as_float32(image[y0:y1, x0:x1])
    if dark is not None:
        finite = np.isfinite(picture)
        if not finite.all():
            picture = np.where(finite, picture, np.float32(dark))
    if shape == before:
        return picture
    if any(sigma):
        picture = ndi.gaussian_filter(picture, sigma, mode="nearest")
    first = [
        r * start + (r / 2 - 0.5) - at
        for r, start, at in zip(ratio, box[::2], (y0, x0), strict=True)
    ]
    size = (box[1] - box[0], box[3] - box[2])
    return np.asarray(
        ndi.affine_transform(picture, ratio, first, output_shape=size, order=1, mode="nearest"),
        np.float32,
    )


def _reach(sigma: float) -> int:
    """How far `gaussian_filter` looks."""
    return int(4.0 * sigma + 0.5)


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
    _vote(source, (0, 0), source.shape, out, (0, 0), shape)
    return out


def rescale_labels_part(
    labels: NDArray[Any],
    part: Box,
    before: tuple[int, int],
    box: Box,
    after: tuple[int, int],
) -> NDArray[np.int32]:
    """Do as `rescale_labels` would with the whole, for a part of it.

    Parameters
    ----------
    labels
        (Y, X), 0 = background: the part of the whole that `needed` names, or more.
    part
        (y0, y1, x0, x1) of ``labels`` in the whole.
    before, after
        Shape of the whole, and the wanted one.
    box
        (y0, y1, x0, x1) of what is wanted, in the whole at the wanted size.

    Returns
    -------
    labels : (y1 - y0, x1 - x0) int32
    """
    source = np.ascontiguousarray(labels, np.int32)
    y0, y1, x0, x1 = box
    if before == after:
        return source[y0 - part[0] : y1 - part[0], x0 - part[2] : x1 - part[2]].copy()
    out = np.zeros((y1 - y0, x1 - x0), np.int32)
    _vote(source, (part[0], part[2]), before, out, (y0, x0), after)
    return out


def needed(box: Box, before: tuple[int, int], after: tuple[int, int], around: Pair = (0, 0)) -> Box:
    """Say which part of an image decides a box of the same image at another size.

    Parameters
    ----------
    box
        (y0, y1, x0, x1) at the size ``after``.
    before, after
        Shape of the whole before and after its scale is changed.
    around
        More pixels along Y and X, for what smooths first.

    Returns
    -------
    (y0, y1, x0, x1)
        At the size ``before``: those between which the box's pixels are sampled.
    """
    sides: list[int] = []
    for first, last, old, new, more in zip(box[::2], box[1::2], before, after, around, strict=True):
        if old == new:
            low, high = first, last
        else:
            ratio = old / new
            # One more on each side, so that no rounding leaves a neighbour out.
            low = math.floor((first + 0.5) * ratio - 0.5) - 1
            high = math.floor((last - 0.5) * ratio - 0.5) + 3
        sides += [max(0, low - more), min(old, high + more)]
    return (sides[0], sides[1], sides[2], sides[3])


@njit(cache=True, nogil=True)
def _vote(source: Any, first: Any, before: Any, out: Any, start: Any, after: Any) -> None:
    """Vote in the part of the image that begins at ``start``, from one that begins at ``first``."""
    height, width = before
    ratio_y, ratio_x = height / after[0], width / after[1]
    names = np.empty(4, np.int32)
    shares = np.empty(4)
    for i in range(out.shape[0]):
        y = min(max((i + start[0] + 0.5) * ratio_y - 0.5, 0.0), height - 1.0)
        top = int(y)
        below = min(top + 1, height - 1)
        upper, lower = top - first[0], below - first[0]
        for j in range(out.shape[1]):
            x = min(max((j + start[1] + 0.5) * ratio_x - 0.5, 0.0), width - 1.0)
            left = int(x)
            right = min(left + 1, width - 1)
            west, east = left - first[1], right - first[1]
            names[0], names[1] = source[upper, west], source[upper, east]
            names[2], names[3] = source[lower, west], source[lower, east]
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
