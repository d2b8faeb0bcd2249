"""Label images of nuclei alone: find them in one channel of image files, and write them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from imganalysis import __version__, mapped
from imganalysis.errors import ChannelError, ImganalysisError, NotAFieldError
from imganalysis.io import (
    is_png,
    list_series,
    plane_in_file,
    read_grey,
    read_stack,
    write_labels,
)
from imganalysis.prepare.checks import picture_flags
from imganalysis.prepare.projection import apply, project
from imganalysis.segment import find_nuclei, method_facts, settings_text
from imganalysis.segment.spacing import spacing_of
from imganalysis.stack import PixelSize, Series, Stack
from imganalysis.words import plural

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from imganalysis.methods import Method
    from imganalysis.settings import Settings

_GREY = ("grey",)
NO_DIAMETER = "diameter_unknown"
"""Flag of an image in which nothing is like a nucleus, so that none is looked for."""


@dataclass(frozen=True)
class Found:
    """Nuclei that were found in one series.

    Parameters
    ----------
    labels
        (Y, X), or (Z, Y, X) for a thick stack, uint32, 0 = background.
    pixel_size
        In um; unknown where only a diameter in pixels was given.
    diameter_px
        Of a typical nucleus along X, as it was used; NaN where none could be estimated.
    diameter_from
        ``pixel size``, ``given`` or ``estimated``.
    flags
        Fixed words, of reading and projecting, and of `imganalysis.prepare.checks.picture_flags`.
    about
        Method, settings, weights, version and scale, as they are written with the labels.
    """

    labels: NDArray[np.uint32]
    pixel_size: PixelSize
    diameter_px: float
    diameter_from: str
    flags: tuple[str, ...] = ()
    about: dict[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Of nuclei."""
        most = 0
        for part in mapped.strips(self.labels.shape):
            most = max(most, int(self.labels[part].max(initial=0)))
            mapped.release(self.labels)
        return most


def fields_of(path: Path, settings: Settings) -> list[Series]:
    """List the series of a file that show a field of view.

    Raises
    ------
    ImageError
        The file cannot be read, or none of its series shows one.
    """
    if is_png(path):
        image = read_grey(path)
        shape = (int(image.shape[0]), int(image.shape[1]))
        return [Series(path, 0, "", None, "YX", shape, image.dtype.name, _GREY, PixelSize())]
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
    estimate: bool = False,
    threads: int = 1,
    scratch: Path | None = None,
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
    estimate
        Estimate the diameter in the image where the file says no pixel size and none is given.
    threads
        That may be used.
    scratch
        Folder for a plane of more than `imganalysis.mapped.LARGE` pixels and its labels, which
        are then never whole in memory: the labels are in a file there. In memory if not given.

    Raises
    ------
    ImageError
        The file cannot be read, the channel is not there, or the scale is unknown.
    OutputError
        The scratch folder cannot be written.
    """
    stack = _stack(series, settings)
    position = _position(stack, channel)
    size, flags, out = stack.pixel_size, stack.flags, None
    _, n_planes, *plane = stack.shape
    if n_planes == 1 and scratch is not None and math.prod(plane) > mapped.LARGE:
        picture = plane_in_file(scratch / "image", series, stack, position)
        out = mapped.new_mapped(scratch / "labels", tuple(plane), np.uint32)
        # Shares of its pixels: some of them tell, and not all are in memory at once.
        step = math.ceil(math.sqrt(math.prod(plane) / mapped.LARGE))
        flags = (*flags, *picture_flags(picture[::step, ::step], settings))
    elif n_planes == 1:
        picture = stack.numpy([position])[0, 0]
        flags = (*flags, *picture_flags(picture, settings))
    else:
        planes = stack.numpy([position])[0]
        flags = (*flags, *picture_flags(planes, settings))
        choice = project(planes, size.z, settings.projection.chosen_um(), settings.projection)
        picture = apply(planes[None], choice)[0]
        flags = (*flags, *choice.flags)
    spacing, diameter, origin = spacing_of(
        picture, size, method, stack.source, diameter_px=diameter_px, estimate=estimate
    )
    if math.isfinite(diameter):
        labels = find_nuclei(picture, spacing, method, threads, out=out)
    else:
        labels, flags = np.zeros(picture.shape, np.uint32), (*flags, NO_DIAMETER)
    about = {
        **method_facts(method),
        "settings": settings_text(method),
        "version": __version__,
        "channel": stack.channels[position],
        "diameter_px": f"{diameter:.6g}" if math.isfinite(diameter) else "",
        "diameter_from": origin,
    }
    return Found(labels, size, diameter, origin, tuple(dict.fromkeys(flags)), about)


def _stack(series: Series, settings: Settings) -> Stack:
    reading = settings.reading
    given = None if reading.pixel_size is None else PixelSize(*reading.pixel_size, origin="user")
    if is_png(series.path):
        pixels = read_grey(series.path)[None, None]
        return Stack(pixels, _GREY, given or PixelSize(), source=series.path)
    return read_stack(
        series.path,
        series.index,
        tile=series.tile,
        time=reading.time,
        axes=reading.axes,
        pixel_size=given,
        allow_rgb=reading.allow_rgb,
        backend=reading.backend,
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


def write_nuclei(path: Path, found: Found) -> None:
    """Write a label image; see `imganalysis.io.write_labels`."""
    write_labels(path, found.labels, found.pixel_size, found.about)


def is_label_image(path: Path) -> bool:
    """Say whether a file is a label image as `write_nuclei` writes it: one channel of 32 bit."""
    try:
        (series,) = list_series(path)
    except (ImganalysisError, ValueError):
        return False
    return series.dtype == "uint32" and len(series.channels) <= 1
