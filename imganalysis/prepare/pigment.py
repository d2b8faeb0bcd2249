"""Where pigment takes the light: melanin dims every channel, so that stain under it is missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage as ndi

from imganalysis.prepare.background import local_background

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMOOTH_UM = 0.3  # sigma
_WINDOW_UM = 60.0  # side of the window in which some place lets all the light through
_SMALLEST_UM2 = 0.2  # about one grain


def pigment_mask(
    transmitted: NDArray[Any], spacing_um: tuple[float, float], passes: float
) -> NDArray[np.bool_]:
    """Find pigment in a picture taken with light that went through the section.

    Parameters
    ----------
    transmitted
        (Y, X), bright where the light passes; without an offset, which would pass for light.
    spacing_um
        (Y, X) size of a pixel.
    passes
        Share of the light, compared with the brightest places around, under which a pixel holds
        pigment.

    Returns
    -------
    mask
        (Y, X) bool; empty for a picture without light.

    Notes
    -----
    The level around is the rank opening of `local_background`, of the picture upside down. In
    fluorescence alone a dark grain in a cytoplasm that is stained in grains itself, or is not
    stained, looks like no grain: pigment is not looked for there.
    """
    image = np.asarray(transmitted, np.float32)
    image = np.where(np.isfinite(image), image, np.nan)
    bright = -local_background(-image, spacing_um, _WINDOW_UM)
    filled = np.where(np.isfinite(image), image, bright)
    sigma = [_SMOOTH_UM / step for step in spacing_um]
    smooth = ndi.gaussian_filter(filled, sigma, mode="nearest")
    with np.errstate(invalid="ignore"):
        dark = (smooth < passes * bright) & (bright > 0)
    parts, _ = ndi.label(dark)
    size = np.bincount(parts.ravel()) * float(np.prod(spacing_um))
    keep = size >= _SMALLEST_UM2
    keep[0] = False
    return np.asarray(keep[parts])
