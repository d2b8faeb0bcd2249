"""What is known of each series of a file before any pixel is read."""

from __future__ import annotations

from dataclasses import dataclass, field

from imganalysis.stack import PixelSize

AXES = "TCZYX"

Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True)
class Facts:
    """One series of a file; a tile scan is one series with several tiles.

    Parameters
    ----------
    name
        In the file; may be empty.
    axes, shape, dtype
        As in the file, slowest axis first; M is the tile, S the sample of a colour image.
    channels
        Names in order; empty where the file has none.
    pixel_size
        What is believed of the metadata.
    not_a_field, flags
        Fixed words, as in `imganalysis.stack.Series`.
    tiles
        Number of each tile, mapped to the part of it that is counted (None: all of it, or
        unknown); empty where the series is no tile scan.
    """

    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    channels: tuple[str, ...] = ()
    pixel_size: PixelSize = field(default_factory=PixelSize)
    not_a_field: str = ""
    flags: tuple[str, ...] = ()
    tiles: dict[int, Rectangle | None] = field(default_factory=dict)

    def size(self, axis: str) -> int:
        """Length along an axis; 1 where the axis is not in the file."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    @property
    def rgb(self) -> bool:
        """Whether the samples are colours."""
        return "rgb" in self.flags

    @property
    def n_channels(self) -> int:
        """Channels after samples, if any, have been taken for channels."""
        return self.size("C") * self.size("S")

    def channel_names(self) -> tuple[str, ...]:
        """Names of all channels; ``channel 0`` and so on where the file has none."""
        n = self.n_channels
        if self.rgb:
            return ("red", "green", "blue", "alpha")[:n]
        names = [name.strip() for name in self.channels[:n]]
        names += [""] * (n - len(names))
        return tuple(name or f"channel {i}" for i, name in enumerate(names))


def other_axes(axes: str, shape: tuple[int, ...], allowed: str = "TCZYXMS") -> str:
    """Name axes that no stack has (angles, phases, wavelengths) by a fixed word; empty if none."""
    for axis, size in zip(axes, shape, strict=True):
        if axis not in allowed and size > 1:
            return f"axis_{axis}"
    if "Y" not in axes or "X" not in axes:
        return "no_plane"
    if "S" in axes and "C" in axes and min(shape[axes.index("S")], shape[axes.index("C")]) > 1:
        return "axis_S"
    return ""
