"""Channels in their colours, added up as light is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_hex, to_rgb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LOW, HIGH = 1.0, 99.8
"""Percentiles of a channel that become black and full colour."""

NOISE_FLOOR, NOISE_RANGE = 3.0, 12.0
"""In standard deviations of a channel's noise: how far black lies above `LOW`, and the least
distance of full colour from black."""

GAMMA = 0.8
"""Below 1: dim cells are seen beside bright ones."""

_DARKEST = 0.28  # luminance under which a colour of a channel is not seen on black


def display_range(image: NDArray[Any]) -> tuple[float, float]:
    """Find the values that become black and full colour.

    Parameters
    ----------
    image
        (Y, X), any unit; values that are not finite are left out.

    Returns
    -------
    low, high
        ``high > low`` always. The noise, told from the differences of neighbours (median
        absolute deviation), lies below `low`, and the two are `NOISE_RANGE` times the noise
        apart or more: a channel without any stain is not stretched until noise looks like one.
    """
    finite = np.isfinite(image)
    values = image[finite].astype(np.float64)
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, (LOW, HIGH)))
    steps = np.diff(np.where(finite, image, np.nan), axis=1)
    steps = steps[np.isfinite(steps)]
    noise = 1.4826 * float(np.median(np.abs(steps))) / np.sqrt(2) if steps.size else 0.0
    low += NOISE_FLOOR * noise
    high = max(high, low + NOISE_RANGE * noise)
    if not high > low:
        high = float(values.max())
    return low, high if high > low else low + 1.0


def channel_rgb(colour: str) -> tuple[float, float, float]:
    """Red, green, blue (0 to 1) of a channel: its hue at full light, mixed with white if dark."""
    rgb = np.array(to_rgb(colour))
    rgb /= max(float(rgb.max()), 1 / 255)
    light = float(rgb @ (0.2126, 0.7152, 0.0722))
    if light < _DARKEST:
        rgb += (1 - rgb) * (_DARKEST - light) / (1 - light)
    r, g, b = (float(v) for v in rgb)
    return r, g, b


def hex_colour(colour: str) -> str:
    """Bring a colour, as matplotlib names it, to ``#rrggbb``."""
    return to_hex(colour)


def composite(
    images: Mapping[str, NDArray[Any]],
    colours: Mapping[str, str],
    ranges: Mapping[str, tuple[float, float]],
) -> NDArray[np.uint8]:
    """Add up channels in their colours.

    Parameters
    ----------
    images
        marker -> (Y, X).
    colours
        marker -> name of a colour; white where there is none.
    ranges
        marker -> (value that is black, value that is full colour).

    Returns
    -------
    array
        (Y, X, 3) uint8.
    """
    shape = next(iter(images.values())).shape
    light = np.zeros((*shape, 3), np.float32)
    for marker, image in images.items():
        low, high = ranges[marker]
        scaled = (np.nan_to_num(image, nan=low) - low) / (high - low)
        scaled = np.clip(scaled, 0, 1).astype(np.float32) ** GAMMA
        light += scaled[..., np.newaxis] * np.array(
            channel_rgb(colours.get(marker, "white")), np.float32
        )
    return (np.clip(light, 0, 1) * 255 + 0.5).astype(np.uint8)
