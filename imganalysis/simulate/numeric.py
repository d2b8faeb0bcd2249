"""Numbers that come out the same on every processor: seeds, kernels, random fields.

Sums of products in a fixed order are exact by IEEE 754; vectorised exponentials and Fourier
transforms differ in the last bit between processors. So kernels are made of scalars rounded
far above that bit, and smoothing is done by direct convolution.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

F32 = NDArray[np.float32]
FWHM_PER_SIGMA = 2.3548200450309493


def streams(seed: int, *names: str) -> dict[str, np.random.Generator]:
    """Independent generators for the steps of one field.

    Parameters
    ----------
    seed
        Of the field.
    names
        Of the steps; a step's numbers do not depend on how many another one draws.
    """
    return {name: np.random.Generator(np.random.PCG64(derive(seed, name))) for name in names}


def derive(seed: int, *keys: object) -> int:
    """Seed of a part, from the seed of the whole and the names of the part."""
    text = "/".join([str(seed), *map(str, keys)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def kernel(sigma: float) -> NDArray[np.float64]:
    """Gaussian kernel of a sigma in pixels, sum 1, cut at 3.5 sigma."""
    radius = max(1, math.ceil(3.5 * sigma))
    weights = [round(math.exp(-0.5 * (i / sigma) ** 2), 9) for i in range(-radius, radius + 1)]
    total = math.fsum(weights)
    return np.array([w / total for w in weights])


def smooth(array: NDArray[Any], sigmas: tuple[float, ...], mode: str = "reflect") -> NDArray[Any]:
    """Convolve with a Gaussian; axes with a sigma under 0.2 pixel are left alone."""
    for axis, sigma in enumerate(sigmas):
        if sigma >= 0.2:
            array = ndimage.correlate1d(array, kernel(sigma), axis=axis, mode=mode)
    return array


def random_field(
    rng: np.random.Generator, shape: tuple[int, ...], sigmas: tuple[float, ...]
) -> F32:
    """Periodic Gaussian random field of mean 0 and SD 1, float32, rounded to 1/1024."""
    noise = rng.standard_normal(shape)
    gain = math.prod(math.fsum(float(w) ** 2 for w in kernel(s)) for s in sigmas if s >= 0.2)
    field = smooth(noise, sigmas, mode="wrap") / math.sqrt(gain)
    quantised: F32 = (np.rint(field * 1024.0) / 1024.0).astype(np.float32)
    return quantised


def rounded(value: float) -> float:
    """Round a scalar far above the last bit, before it shapes anything."""
    return round(float(value), 6)


def bilinear(
    image: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> F32:
    """Interpolate an image between its pixels, periodic; rows and columns broadcast."""
    i, j = np.floor(rows).astype(int), np.floor(columns).astype(int)
    a, b = (rows - i).astype(np.float32), (columns - j).astype(np.float32)
    h, w = image.shape
    i0, j0, i1, j1 = i % h, j % w, (i + 1) % h, (j + 1) % w
    one = np.float32(1.0)
    value: F32 = (one - a) * ((one - b) * image[i0, j0] + b * image[i0, j1]) + a * (
        (one - b) * image[i1, j0] + b * image[i1, j1]
    )
    return value
