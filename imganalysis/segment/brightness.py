"""What dark and bright of an image are taken from, without the whole of it in memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from imganalysis.mapped import release
from imganalysis.segment.pixels import as_float32, rescale_part

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.segment.pixels import Sliceable

_STRIP = 2**23  # pixels that are looked at at a time, at either scale


def darkest(image: Sliceable) -> float | None:
    """Find the smallest finite value of a plane; None without one, 0 where all are whole numbers.

    Parameters
    ----------
    image
        (Y, X); read strip by strip.
    """
    if np.asarray(image[:1, :1]).dtype.kind in "biu":
        return 0.0
    lowest: list[float] = []
    rows = max(1, _STRIP // image.shape[1])
    for y in range(0, image.shape[0], rows):
        values = as_float32(image[y : y + rows, :])
        finite = np.isfinite(values)
        if finite.any():
            lowest.append(float(values.min(initial=np.inf, where=finite)))
        release(image)
    return min(lowest, default=None)


def sample(
    image: Sliceable, scaled: tuple[int, int], dark: float, step: int, *, threads: int = 1
) -> NDArray[np.float32]:
    """Take a regular grid of pixels of a plane at another scale.

    Parameters
    ----------
    image
        (Y, X); read strip by strip.
    scaled
        Its (Y, X) at the other scale.
    dark
        In place of pixels that are not finite.
    step
        From pixel to pixel of the grid, along both axes.
    threads
        Strips at a time. The result does not depend on it.
    """
    height, width = scaled
    larger = max(1.0, image.shape[0] * image.shape[1] / (height * width))
    rows = max(1, int(_STRIP / (width * larger)))

    def values(y: int) -> NDArray[np.float32]:
        part = rescale_part(image, (y, min(height, y + rows), 0, width), scaled, dark)
        first = (step // 2 - y) % step
        part = part[first::step, step // 2 :: step].copy()
        release(image)
        return part

    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(values, range(0, height, rows))))
