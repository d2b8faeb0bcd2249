"""How large nuclei may be in an image: the same for every method."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imganalysis.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_PX = 2.0
"""Diameter of a typical nucleus; what is no larger has no shape."""

MOST = 1.5
"""The same in shorter sides of the image. Above 1, so that an oblong or a small nucleus can fill a
crop; where a typical one is larger still, the whole image lies within it and nothing is seen."""

_FACTORS = (0.02, 20.0)  # beyond, an image at a network's scale is empty or too large to hold

_ROUNDING = 1e-6  # of a diameter in pixels that was made a pixel size and back


def check_diameter(
    shape: Sequence[int], spacing_um: Sequence[float], nucleus_diameter_um: float
) -> None:
    """Refuse nuclei that are hardly a pixel, or larger than the image.

    Parameters
    ----------
    shape
        Of the image, (..., Y, X).
    spacing_um
        Size of a pixel along each axis.
    nucleus_diameter_um
        Of a typical nucleus.

    Raises
    ------
    SettingsError
        With what is given, what is allowed, and what to do.
    """
    height, width = (int(side) for side in shape[-2:])
    dy, dx = spacing_um[-2:]
    across = nucleus_diameter_um / max(dy, dx)
    size = f"{dx:.4g}" if dx == dy else f"{dy:.4g} x {dx:.4g}"
    given = (
        f"nuclei of {nucleus_diameter_um:g} um are {across:.4g} px across at {size} um per pixel"
    )
    if across < LEAST_PX - _ROUNDING:
        raise SettingsError(
            f"{given}, expected {LEAST_PX:g} px or more: check the nucleus diameter and the pixel "
            "size"
        )
    most = MOST * min(height * dy, width * dx)
    if nucleus_diameter_um > most * (1 + _ROUNDING) and height and width:
        raise SettingsError(
            f"{given}, but the image is {height} x {width} px (Y x X), in which they may be at "
            f"most {most / max(dy, dx):.4g} px ({most:.4g} um), {MOST:g} times its shorter side: "
            "check the nucleus diameter and the pixel size, or take a larger part of the image"
        )


def in_image(diameter_px: float, shape: Sequence[int]) -> bool:
    """Say whether an image (Y, X) can show nuclei so large; never where the diameter is NaN."""
    most = min(max(shape), MOST * min(shape))
    return LEAST_PX <= diameter_px <= most


def network_factor(network_px: float, diameter_px: float) -> float:
    """How an image is scaled for a network.

    Parameters
    ----------
    network_px
        Diameter of nuclei that the network was trained on.
    diameter_px
        Of a typical nucleus in the image.

    Raises
    ------
    SettingsError
        The factor would be absurd, or there is no diameter.
    """
    factor = network_px / diameter_px if diameter_px > 0 else math.inf
    if not _FACTORS[0] <= factor <= _FACTORS[1]:
        raise SettingsError(
            f"a nucleus of {diameter_px:g} px is to become one of {network_px:g} px: check the "
            "nucleus diameter and the pixel size"
        )
    return factor
