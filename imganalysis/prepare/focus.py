"""How sharp a picture is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage as ndi

if TYPE_CHECKING:
    from numpy.typing import NDArray


def focus_score(image: NDArray[Any]) -> float:
    """Variance of the Laplacian, over the squared mean of the image above its darkest level.

    Parameters
    ----------
    image
        (Y, X); pixels that are not finite are left out.

    Returns
    -------
    float
        The higher the sharper, whatever the image's gain and offset; NaN without structure. To
        compare fields of one microscope and one setting, not a limit for all: it grows with
        noise, too.

    Notes
    -----
    Pech-Pacheco et al., ICPR 2000, after a Gaussian of 1 pixel against the noise.
    """
    values = np.asarray(image, np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        return float("nan")
    dark = float(np.percentile(values[finite], 1))
    level = float(values[finite].mean()) - dark
    if level <= 0:
        return float("nan")
    filled = np.where(finite, values, values[finite].mean())
    laplacian = ndi.gaussian_laplace(filled, 1.0)
    return float(laplacian[finite].var() / level**2)
