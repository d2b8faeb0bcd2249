"""Pictures of single cells: all channels together, and each alone. No window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables as t
from imganalysis.report._composite import composite, display_range
from imganalysis.report._outlines import enlarge, inner_edge

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from napari_imganalysis._fields import OpenField

SIDE_UM = 24.0
"""Side of the square around a cell that is shown."""

TILE = 64
"""Least side of a tile in pixels of the screen."""

GAP = 2


class Thumbnails:
    """Cuts cells out of a field, with one range of greys for all of them.

    Parameters
    ----------
    field
        Opened; its pixels are read here.
    side_um
        Side of the square around a cell.
    """

    def __init__(self, field: OpenField, side_um: float = SIDE_UM) -> None:
        self._field = field
        panel = field.panel
        stained = {c.marker: c.colour for c in panel.channels} if panel is not None else {}
        self.images: Mapping[str, NDArray[Any]] = field.picture
        self._colours = {name: stained.get(name, "white") for name in self.images}
        self._ranges = {name: display_range(image) for name, image in self.images.items()}
        um = min(field.pixel_um)
        self._half = max(4, round(side_um / um / 2))
        self._factor = max(1, -(-TILE // (2 * self._half)))

    @property
    def headings(self) -> list[str]:
        """What each tile shows."""
        return ["all", *self.images]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a strip."""
        side = 2 * self._half * self._factor
        n = len(self.images) + 1
        return side, n * side + (n - 1) * GAP

    def strip(self, row: pd.Series[Any], colour: str = "#ffffff") -> NDArray[np.uint8]:
        """Tiles of one cell side by side: all channels, outlined, then each alone.

        Parameters
        ----------
        row
            Of the cell, with label and centroid.
        colour
            ``#rrggbb`` of its outline.

        Returns
        -------
        array
            (Y, X, 3) uint8 of `shape`; black where the field ends.
        """
        um_y, um_x = self._field.pixel_um
        y, x = round(float(row[t.Y]) / um_y), round(float(row[t.X]) / um_x)
        cut = {name: self._cut(image, y, x) for name, image in self.images.items()}
        tiles = [enlarge(composite(cut, self._colours, self._ranges), self._factor)]
        edge = self._edge(int(row[t.LABEL]), row, y, x)
        if edge is not None:
            line = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
            tiles[0][edge] = line
        for name, image in cut.items():
            one = composite({name: image}, self._colours, self._ranges)
            tiles.append(enlarge(one, self._factor))
        gap = np.full((tiles[0].shape[0], GAP, 3), 90, np.uint8)
        parts = [part for tile in tiles for part in (tile, gap)][:-1]
        return np.concatenate(parts, axis=1)

    def _cut(self, image: NDArray[Any], y: int, x: int) -> NDArray[Any]:
        """(2 half, 2 half) around a place; what lies outside the image is its darkest value."""
        half = self._half
        out = np.zeros((2 * half, 2 * half), image.dtype)
        y0, x0 = max(y - half, 0), max(x - half, 0)
        inside = image[y0 : max(y + half, 0), x0 : max(x + half, 0)]
        at_y, at_x = y0 - (y - half), x0 - (x - half)
        out[at_y : at_y + inside.shape[0], at_x : at_x + inside.shape[1]] = inside
        return out

    def _edge(self, label: int, row: pd.Series[Any], y: int, x: int) -> NDArray[np.bool_] | None:
        labels = self._field.labels
        if labels is None:
            return None
        if labels.ndim == 3:
            step = self._field.stack.pixel_size.z or 1.0
            z = row.get(t.Z)
            plane = 0 if z is None or z != z else round(float(z) / step)
            labels = labels[min(max(plane, 0), len(labels) - 1)]
        own = enlarge((self._cut(labels, y, x) == label).astype(np.uint8), self._factor)
        return inner_edge(own)


def gallery_order(
    cells: pd.DataFrame, names: pd.Series[str], wanted: str, column: str
) -> list[int]:
    """Labels of one class, smallest value of a column first: near the gate stands what errs most.

    Parameters
    ----------
    cells
        One row per object.
    names
        What each object is drawn as, from `_colours.class_names`.
    wanted
        The class.
    column
        Of `cells` to order by; its own order where the table has no such column.
    """
    mine = cells[(names == wanted).to_numpy()]
    if column in mine.columns:
        mine = mine.sort_values(column, kind="stable", na_position="last")
    return [int(label) for label in mine[t.LABEL]]
