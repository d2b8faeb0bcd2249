"""The scale of an image: from its pixel size, a diameter in pixels that is given, or its nuclei."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imganalysis import mapped
from imganalysis.errors import PixelSizeError
from imganalysis.segment.registry import nucleus_diameter
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from imganalysis.methods import Method
    from imganalysis.stack import PixelSize

PIXEL_SIZE, GIVEN, ESTIMATED = "pixel size", "given", "estimated"
"""Where a diameter in pixels is from."""


class Spacing(NamedTuple):
    """The scale of an image.

    Parameters
    ----------
    um
        Size of a pixel along each axis.
    diameter_px
        Of a typical nucleus, along X; NaN where nothing in the image tells.
    origin
        One of `PIXEL_SIZE`, `GIVEN`, `ESTIMATED`.
    """

    um: tuple[float, ...]
    diameter_px: float
    origin: str


def spacing_of(
    image: NDArray[Any],
    size: PixelSize,
    method: Method,
    source: Path | None,
    *,
    diameter_px: float | None = None,
    estimate: bool = False,
) -> Spacing:
    """Find the scale of an image.

    Parameters
    ----------
    image
        (Y, X) or (Z, Y, X).
    size
        Of its pixels, as far as known.
    method
        Has the diameter of a nucleus in um.
    source
        File, for messages.
    diameter_px
        Of a typical nucleus, which wins over the pixel size.
    estimate
        Whether it is estimated where neither it nor the pixel size is known.

    Raises
    ------
    PixelSizeError
        What is known is not enough.
    """
    known = tuple(value for value in size.as_tuple()[-image.ndim :] if value is not None)
    complete = len(known) == image.ndim
    if complete and diameter_px is None:
        return Spacing(known, method.nucleus_diameter_um / known[-1], PIXEL_SIZE)
    if image.ndim == 3 and not complete:
        raise PixelSizeError(
            f"{source}: a stack of {plural(image.shape[0], 'plane')} needs the size of its "
            "pixels; give it with --pixel-size Z,Y,X"
        )
    if diameter_px is None and not estimate:
        raise PixelSizeError(
            f"{source}: the pixel size is unknown; give it with --pixel-size [Z,]Y,X, or leave "
            "out the diameter in um and give it in pixels with --diameter-px, or have it estimated"
        )
    origin = GIVEN
    if diameter_px is None:
        diameter_px, origin = _estimated(image, method, source), ESTIMATED
    um = spacing_for(diameter_px, method.nucleus_diameter_um, known, image.ndim)
    return Spacing(um, diameter_px, origin)


def _estimated(image: NDArray[Any], method: Method, source: Path | None) -> float:
    """Of a large plane from its middle, which fits into memory."""
    if image.size <= mapped.LARGE:
        return nucleus_diameter(image, method)
    side = math.isqrt(mapped.LARGE)
    middle = tuple(
        slice(max(0, (n - side) // 2), max(0, (n - side) // 2) + side) for n in image.shape
    )
    diameter = nucleus_diameter(np.array(image[middle]), method)
    if not math.isfinite(diameter):
        raise PixelSizeError(
            f"{source}: its middle, of {side} x {side}, shows nothing that a diameter could be "
            "estimated from; give it with --diameter-px"
        )
    return diameter


def spacing_for(
    diameter_px: float, nucleus_diameter_um: float, known: Sequence[float], ndim: int
) -> tuple[float, ...]:
    """Size of a pixel along each axis, um, at which a nucleus has its diameter in pixels.

    Parameters
    ----------
    diameter_px
        Of a typical nucleus, along X.
    nucleus_diameter_um
        The same in um.
    known
        Size along the axes as a file says it, whose ratios are kept; pixels are as long as wide
        where it does not say all of them.
    ndim
        Number of axes.
    """
    pixel = nucleus_diameter_um / diameter_px
    if len(known) < ndim:
        return (pixel,) * ndim
    return tuple(pixel * value / known[-1] for value in known)
