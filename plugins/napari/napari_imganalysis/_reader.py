"""Opens image files in napari: a layer for each channel of each field of view."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imganalysis.errors import NotAFieldError
from imganalysis.stack import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imganalysis.stack import PixelSize, Series, Stack

    LayerData = tuple[Any, dict[str, Any], str]
    Reader = Callable[[str | Sequence[str]], list[LayerData]]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Say whether the file is of a kind that imganalysis reads.

    Parameters
    ----------
    path
        One path, or several that were dropped together.

    Returns
    -------
    callable or None
        `read_layers`, or None to leave the file to another plugin.
    """
    paths = _paths(path)
    if paths and all(str(one).lower().endswith(IMAGE_SUFFIXES) for one in paths):
        return read_layers
    return None


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Read every field of view of the files, lazily.

    Parameters
    ----------
    path
        One path, or several.

    Returns
    -------
    list of (array, keywords, "image")
        One for each field. Arrays are (C, Z, Y, X), or (C, Y, X) for a single plane, with the
        dtype of the file; napari makes a layer of each channel. An axis is in um where the
        file knows its pixel size, else in pixels.

    Raises
    ------
    ImageError
        A file is damaged, is not an image, or holds no field of view.
    """
    layers: list[LayerData] = []
    for one in _paths(path):
        layers += _file_layers(one)
    return layers


def _paths(path: str | Sequence[str]) -> list[Path]:
    return [Path(path)] if isinstance(path, str) else [Path(one) for one in path]


def _file_layers(path: Path) -> list[LayerData]:
    from imganalysis.io import list_series, read_stack

    listed = list_series(path)
    fields = [series for series in listed if series.is_field]
    if not fields:
        found = "; ".join(f"series {_title(one)}: {one.not_a_field}" for one in listed)
        raise NotAFieldError(
            f"{path}: expected a field of view in X and Y, found none ({found or 'no series'}). "
            f"`imganalysis info {path}` lists what the file holds"
        )
    alone = len(fields) == 1
    return [
        _layers(read_stack(path, series=one.index, tile=one.tile), one, alone=alone)
        for one in fields
    ]


def _title(series: Series) -> str:
    name = series.name or str(series.index)
    return name if series.tile is None else f"{name} tile {series.tile}"


def _layers(stack: Stack, series: Series, *, alone: bool) -> LayerData:
    """One entry that napari splits along the channels, each in a colour of its own."""
    flat = stack.shape[1] == 1
    names = [name or f"channel {position}" for position, name in enumerate(stack.channels)]
    keywords: dict[str, Any] = {
        "channel_axis": 0,
        "name": names if alone else [f"{_title(series)}: {name}" for name in names],
        "metadata": {
            "imganalysis": {
                "file": str(stack.source),
                "series": series.index,
                "tile": series.tile,
                "scene": stack.scene,
                "time": stack.time,
                "pixel_size_um": stack.pixel_size.as_tuple(),
                "pixel_size_origin": stack.pixel_size.origin,
                "flags": list(stack.flags),
            }
        },
        **_scale(stack.pixel_size, flat=flat),
    }
    return (stack.data[:, 0] if flat else stack.data, keywords, "image")


def _scale(size: PixelSize, *, flat: bool) -> dict[str, Any]:
    """Scale and unit of each axis: um where the file knows it, else one pixel."""
    sides = size.as_tuple()[1 if flat else 0 :]
    if not any(sides):
        return {}
    return {
        "scale": tuple(side or 1.0 for side in sides),
        "units": tuple("um" if side else "pixel" for side in sides),
    }
