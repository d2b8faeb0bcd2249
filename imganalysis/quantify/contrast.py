"""Does a channel look like nuclei? Told from what was segmented in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def nuclear_contrast(
    image: NDArray[Any], nuclei: NDArray[np.uint32], ring: NDArray[np.uint32]
) -> tuple[float, float]:
    """Contrast of nuclei to their surroundings, and the share of the signal that they explain.

    Parameters
    ----------
    image
        (Y, X) or (Z, Y, X) picture of the channel.
    nuclei, ring
        Label images of its nuclei and of the rings around them.

    Returns
    -------
    contrast
        (a - b) / (a + b) of the means a in nuclei and b in rings, above the channel's low level
        (5th percentile); NaN without nuclei.
    explained
        Share of the signal above the low level that lies in nuclei. A nuclear stain shows
        little else; a membrane or cytoplasm taken for nuclei leaves most of it outside.
    """
    finite = np.isfinite(image)
    inside, around = (nuclei > 0) & finite, (ring > 0) & finite
    if not inside.any() or not around.any():
        return float("nan"), float("nan")
    signal = np.where(finite, image - np.percentile(image[finite], 5), 0.0)
    a, b = float(signal[inside].mean()), float(signal[around].mean())
    positive = np.clip(signal, 0, None)
    total = float(positive.sum())
    explained = float(positive[inside].sum()) / total if total > 0 else float("nan")
    return ((a - b) / (a + b) if a + b > 0 else float("nan")), explained
