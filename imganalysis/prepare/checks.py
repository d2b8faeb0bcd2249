"""Whether pixels can be measured at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.errors import PixelDataError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from imganalysis.settings import Settings

MIN_SIDE_PX = 16
"""A field with a shorter side holds no cell with its surroundings at any usual pixel size."""

FLAT = "flat"
"""Flag of a picture without any structure, in which no nucleus can be found."""


def picture_flags(picture: Any, settings: Settings) -> tuple[str, ...]:
    """Say what speaks against finding nuclei in the picture of a nuclear stain.

    Parameters
    ----------
    picture
        (Y, X) or (Z, Y, X), type of the file: before projection.
    settings
        From which share of zeros it is black, and of clipped pixels saturated.

    Returns
    -------
    flags
        Of ``flat`` (every pixel is the same, nearly all are 0, or none is a number),
        ``not_finite`` and ``saturated``, as `check_pixels` gives them. A value that a 32-bit
        float cannot hold counts as infinite.
    """
    pixels = np.asarray(picture)
    level = clip_level(pixels)
    with np.errstate(over="ignore"):
        finite = np.isfinite(pixels.astype(np.float32) if pixels.dtype.kind == "f" else pixels)
    flags: list[str] = []
    if not finite.all():
        flags.append("not_finite")
        pixels = pixels[finite]
    if not pixels.size or _blackness(pixels, settings.preparation.max_black_fraction):
        flags.insert(0, FLAT)
    if _is_clipped(pixels, level, settings.artefacts.max_clipped):
        flags.append("saturated")
    return tuple(flags)


def check_pixels(
    data: Any,
    markers: Sequence[str],
    settings: Settings,
    *,
    allow_black: Collection[str] = (),
) -> list[str]:
    """Refuse pixels that cannot be measured, and flag what to know about the others.

    Parameters
    ----------
    data
        (C, Z, Y, X), type of the file: before projection.
    markers
        Marker of each channel, for the messages.
    settings
        Above which shares of zeros and of clipped pixels a channel is black, or flagged.
    allow_black
        Markers whose channel may be black, as those that a control was not stained for; the
        nuclei never are.

    Returns
    -------
    flags
        Of ``not_finite`` (some pixels are NaN or infinite), ``saturated`` (more of a channel is
        clipped than ``max_clipped``), ``zero_clipped`` (more of it is 0 than ``max_zero``).

    Raises
    ------
    PixelDataError
        Reason ``too_small``; ``not_finite`` for a channel without a finite pixel;
        ``black_channel`` for one in which every pixel is the same, or nearly all are 0.
    ValueError
        `allow_black` names a marker that is not there.
    """
    strange = sorted(set(allow_black) - set(markers))
    if strange:
        raise ValueError(f"allow_black: no channel {', '.join(strange)}")
    height, width = data.shape[-2:]
    if min(height, width) < MIN_SIDE_PX:
        raise PixelDataError(
            f"the image is {height} x {width} pixels (Y x X), expected at least {MIN_SIDE_PX} "
            "on each side; is this a thumbnail, or are the axes in another order (--axes)?",
            reason="too_small",
        )
    level = clip_level(data)
    flags: set[str] = set()
    for marker, channel in zip(markers, data, strict=True):
        pixels = np.asarray(channel)
        finite = np.isfinite(pixels)
        if not finite.any():
            raise PixelDataError(
                f"channel {marker}: no pixel is a finite number (all are NaN or infinite); "
                "export the channel again from the microscope's file",
                reason="not_finite",
            )
        if not finite.all():
            flags.add("not_finite")
            pixels = pixels[finite]
        if marker not in allow_black:
            _refuse_black(marker, pixels, settings.preparation.max_black_fraction)
        limits = settings.artefacts
        if _is_clipped(pixels, level, limits.max_clipped):
            flags.add("saturated")
        if _share(pixels == 0) > limits.max_zero:
            flags.add("zero_clipped")
    return sorted(flags)


def _share(where: NDArray[np.bool_]) -> float:
    return np.count_nonzero(where) / where.size


def _is_clipped(pixels: NDArray[Any], level: float | None, most: float) -> bool:
    return level is not None and bool(pixels.size) and _share(pixels >= level) > most


def _blackness(pixels: NDArray[Any], max_black: float) -> str:
    """Say why finite pixels show nothing; empty where they may show something."""
    low, high = pixels.min(), pixels.max()
    black = _share(pixels == 0)
    if low == high:
        return f"every pixel is {low:g}"
    return f"{100 * black:.4g} % of the pixels are 0" if black > max_black else ""


def _refuse_black(marker: str, pixels: NDArray[Any], max_black: float) -> None:
    found = _blackness(pixels, max_black)
    if not found:
        return
    raise PixelDataError(
        f"channel {marker}: {found}, so that nothing can be measured; was the detector off, or "
        "is the channel another one than the panel says? (max_black_fraction is "
        f"{max_black:g})",
        reason="black_channel",
    )


def clip_level(data: Any) -> float | None:
    """Find the value at which the detector clipped.

    Parameters
    ----------
    data
        All channels of a stack, type of the file.

    Returns
    -------
    float or None
        Largest value of the fewest bits, of 8, 10, 12, 14, 16 and 32, that hold every pixel:
        12-bit images are stored in 16 bits. None for floating point, whose range is unknown.
    """
    dtype = np.dtype(data.dtype)
    if not np.issubdtype(dtype, np.integer):
        return None
    largest = int(np.asarray(data.max())) if data.size else 0
    signed = int(np.issubdtype(dtype, np.signedinteger))
    full = int(np.iinfo(dtype).max)
    levels = [2**bits - 1 for bits in (8, 10, 12, 14, 16, 32)]
    if signed:
        levels += [2 ** (bits - 1) - 1 for bits in (8, 16, 32)]
    return float(min([v for v in levels if largest <= v <= full], default=full))


def clipped_pixels(data: Any, level: float | None) -> NDArray[np.bool_] | None:
    """Mark the pixels at the end of the detector's range.

    Parameters
    ----------
    data
        (C, Z, Y, X), type of the file.
    level
        From `clip_level`.

    Returns
    -------
    clipped
        bool, same shape; None where the range is unknown.
    """
    return None if level is None else np.asarray(np.asarray(data) >= level)
