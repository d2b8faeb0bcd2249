"""Stacks, labels and tables as napari wants layers: (data, keywords, kind). No window here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables as t
from imganalysis.report._composite import GAMMA, channel_rgb, display_range
from napari_imganalysis._colours import class_names, legend_of
from napari_imganalysis._fields import channel_positions

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.panel import Panel
    from imganalysis.stack import PixelSize, Series, Stack

LayerData = tuple[Any, dict[str, Any], str]

OURS = "imganalysis"
"""Key of a layer's metadata under which our facts stand."""

SAMPLED = 256
"""Rows of pixels that contrast limits are told from, about."""


def scale_of(size: PixelSize, ndim: int) -> dict[str, Any]:
    """Scale and unit of the last `ndim` axes of ZYX: um where the file knows it, else a pixel."""
    sides = size.as_tuple()[3 - ndim :]
    if not any(sides):
        return {}
    return {
        "scale": tuple(side or 1.0 for side in sides),
        "units": tuple("um" if side else "pixel" for side in sides),
    }


def contrast_limits(plane: NDArray[Any]) -> tuple[float, float]:
    """Values shown black and in full colour, told from a sample of a plane's pixels.

    Parameters
    ----------
    plane
        (Y, X), numpy or dask. Rows are kept whole, so that noise is told from neighbours.
    """
    step = max(1, plane.shape[0] // SAMPLED)
    seen = np.asarray(plane[::step])
    return display_range(seen)


def stack_layers(
    stack: Stack, panel: Panel | None, *, prefix: str = "", facts: dict[str, Any] | None = None
) -> list[LayerData]:
    """One image layer per channel, named and coloured by the panel, in its order.

    Parameters
    ----------
    stack
        Of a field; stays lazy but for the middle planes, from which contrast limits are told.
    panel
        That its channels belong to; None for the file's own names and napari's colours.
    prefix
        Before each name, to tell several fields of one file apart.
    facts
        Into each layer's metadata.

    Returns
    -------
    list of ((Z, Y, X) or (Y, X) array, keywords, "image")
    """
    flat = stack.shape[1] == 1
    positions = channel_positions(stack, panel)
    colours = {c.marker: c.colour for c in panel.channels} if panel is not None else {}
    middles = _middles(stack)
    layers: list[LayerData] = []
    for marker, position in positions.items():
        data = stack.data[position, 0] if flat else stack.data[position]
        keywords: dict[str, Any] = {
            "name": f"{prefix}{marker}",
            "blending": "additive",
            "contrast_limits": contrast_limits(middles[position]),
            "gamma": GAMMA,
            "metadata": {OURS: {**(facts or {}), "marker": marker, "channel": position}},
            "axis_labels": ("y", "x") if flat else ("z", "y", "x"),  # the slider's name
            **scale_of(stack.pixel_size, 2 if flat else 3),
        }
        colour = colours.get(marker)
        if colour is not None:
            ends = [(0.0, 0.0, 0.0), channel_rgb(colour)]
            keywords["colormap"] = {"colors": ends, "name": f"{colour} of the panel"}
        elif len(positions) > 1:
            keywords["colormap"] = OTHER_COLOURS[position % len(OTHER_COLOURS)]
        layers.append((data, keywords, "image"))
    return layers


OTHER_COLOURS = ("cyan", "magenta", "yellow", "green", "red", "blue")
"""Of the channels of files that no panel fits."""


def _middles(stack: Stack) -> NDArray[Any]:
    """(C, Y, X), the middle planes of all channels, read at once."""
    return np.asarray(stack.data[:, stack.shape[1] // 2])


def file_facts(stack: Stack, series: Series) -> dict[str, Any]:
    """Where a layer came from, for its metadata."""
    return {
        "file": str(stack.source),
        "series": series.index,
        "tile": series.tile,
        "scene": stack.scene,
        "time": stack.time,
        "pixel_size_um": stack.pixel_size.as_tuple(),
        "pixel_size_origin": stack.pixel_size.origin,
        "flags": list(stack.flags),
    }


def features_of(cells: pd.DataFrame, panel: Panel | None, *, ground: bool = False) -> pd.DataFrame:
    """Facts of each object that napari shows in its status bar; ``index`` is the label.

    With `ground` the background has a row of its own, which says nothing.
    """
    import pandas as pd

    table = pd.DataFrame({"index": cells[t.LABEL].to_numpy(dtype=np.int64)})
    table["class"] = class_names(cells).to_numpy()
    for channel in panel.gated if panel is not None else ():
        column = t.call_column(channel.marker)
        if column in cells.columns:
            table[channel.marker] = cells[column].to_numpy()
    if t.DIAMETER in cells.columns:
        table["diameter um"] = cells[t.DIAMETER].round(1).to_numpy()
    for name, column in (("not counted", t.EXCLUSION), ("why", t.WHY)):
        if column in cells.columns:
            text = cells[column].astype(object)
            table[name] = text.where(text.notna() & (text != ""), None).to_numpy()
    if ground:
        nothing = dict.fromkeys(table.columns) | {"index": 0}
        table = table.astype(object)
        table.loc[len(table)] = nothing
        table["index"] = table["index"].astype(np.int64)
    return table


def cell_points(
    cells: pd.DataFrame, panel: Panel | None, name: str, facts: dict[str, Any]
) -> LayerData:
    """Show a table of cells as points at their centroids, in um, coloured by class."""
    legend = legend_of(panel)
    axes = [t.Z, t.Y, t.X] if cells[t.Z].notna().any() else [t.Y, t.X]
    names = class_names(cells)
    rgba = legend.rgba()
    return (
        cells[axes].to_numpy(dtype=float),
        {
            "name": name,
            "features": features_of(cells, panel),
            "face_color": np.array([rgba[legend.code(str(one))] for one in names]).reshape(-1, 4),
            "border_color": "black",
            "size": 5.0,
            "units": ("um",) * len(axes),
            "metadata": {OURS: facts},
        },
        "points",
    )
