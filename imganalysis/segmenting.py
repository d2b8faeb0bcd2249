"""Label images of nuclei alone: find them in one channel of image files, and write them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imganalysis.errors import ChannelError, ImganalysisError, NotAFieldError, PixelSizeError
from imganalysis.io import list_series, read_stack, write_labels
from imganalysis.prepare.projection import apply, project
from imganalysis.segment import find_nuclei
from imganalysis.stack import PixelSize
from imganalysis.words import plural

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from imganalysis.methods import Method
    from imganalysis.settings import Settings
    from imganalysis.stack import Series, Stack


@dataclass(frozen=True)
class Found:
    """Nuclei that were found in one series.

    Parameters
    ----------
    labels
        (Y, X), or (Z, Y, X) for a thick stack, uint32, 0 = background.
    pixel_size
        In um; unknown where only a diameter in pixels was given.
    flags
        Fixed words, of reading and projecting.
    """

    labels: NDArray[np.uint32]
    pixel_size: PixelSize
    flags: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Of nuclei."""
        return int(self.labels.max(initial=0))


def fields_of(path: Path, settings: Settings) -> list[Series]:
    """List the series of a file that show a field of view.

    Raises
    ------
    ImageError
        The file cannot be read, or none of its series shows one.
    """
    reading = settings.reading
    listed = list_series(path, axes=reading.axes, backend=reading.backend)
    fields = [series for series in listed if series.is_field]
    if not fields:
        raise NotAFieldError(f"{path}: no field of view ({listed[0].not_a_field})")
    return fields


def segment_series(
    series: Series,
    settings: Settings,
    method: Method,
    *,
    channel: str | None = None,
    diameter_px: float | None = None,
    threads: int = 1,
) -> Found:
    """Find nuclei in one channel of one series.

    Parameters
    ----------
    series
        From `fields_of`.
    settings
        How it is read and projected.
    method
        How nuclei are found.
    channel
        Name or number, from 0; may be left out where there is one only.
    diameter_px
        Of a typical nucleus, for files that do not say their pixel size.
    threads
        That may be used.

    Raises
    ------
    ImageError
        The file cannot be read, the channel is not there, or the scale is unknown.
    """
    reading = settings.reading
    given = reading.pixel_size
    stack = read_stack(
        series.path,
        series.index,
        tile=series.tile,
        time=reading.time,
        axes=reading.axes,
        pixel_size=None if given is None else PixelSize(*given, origin="user"),
        allow_rgb=reading.allow_rgb,
        backend=reading.backend,
    )
    planes = stack.numpy([_position(stack, channel)])[0]
    size, flags = stack.pixel_size, stack.flags
    if len(planes) > 1:
        choice = project(planes, size.z, settings.projection.chosen_um(), settings.projection)
        picture = apply(planes[None], choice)[0]
        flags = (*flags, *choice.flags)
    else:
        picture = planes[0]
    return Found(
        find_nuclei(picture, _spacing(stack, picture, method, diameter_px), method, threads),
        size,
        tuple(dict.fromkeys(flags)),
    )


def _position(stack: Stack, channel: str | None) -> int:
    names = stack.channels
    if channel is None:
        if len(names) == 1:
            return 0
        raise ChannelError(
            f"{stack.source}: {plural(len(names), 'channel')} ({', '.join(names)}); name the one "
            "of the nuclei with --channel"
        )
    if channel in names:
        return names.index(channel)
    if channel.isdecimal() and int(channel) < len(names):
        return int(channel)
    raise ChannelError(
        f"{stack.source}: no channel {channel!r}; it has {', '.join(names)}, or numbers from 0"
    )


def _spacing(
    stack: Stack, picture: NDArray[Any], method: Method, diameter_px: float | None
) -> tuple[float, ...]:
    """Size of a pixel along the axes of the picture, um."""
    sizes = stack.pixel_size.as_tuple()[-picture.ndim :]
    known = tuple(value for value in sizes if value is not None)
    if diameter_px is not None and len(known) == picture.ndim:
        pixel = method.nucleus_diameter_um / diameter_px
        return tuple(pixel * value / known[-1] for value in known)
    if diameter_px is not None and picture.ndim == 2:
        return (method.nucleus_diameter_um / diameter_px,) * 2
    if picture.ndim == 3 and len(known) < 3:
        raise PixelSizeError(
            f"{stack.source}: a stack of {plural(picture.shape[0], 'plane')} needs the size of "
            "its pixels; give it with --pixel-size Z,Y,X"
        )
    if len(known) < picture.ndim:
        raise PixelSizeError(
            f"{stack.source}: the pixel size is unknown; give it with --pixel-size [Z,]Y,X, or "
            "the diameter of a nucleus in pixels with --diameter-px"
        )
    return known


def write_nuclei(path: Path, found: Found) -> None:
    """Write a label image; see `imganalysis.io.write_labels`."""
    write_labels(path, found.labels, found.pixel_size)


def is_label_image(path: Path) -> bool:
    """Say whether a file is a label image as `write_nuclei` writes it: one channel of 32 bit."""
    try:
        (series,) = list_series(path)
    except (ImganalysisError, ValueError):
        return False
    return series.dtype == "uint32" and len(series.channels) <= 1
