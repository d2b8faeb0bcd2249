"""Which class is drawn in which colour, as codes that a picture of outlines holds. No window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.report._composite import hex_colour
from imganalysis.report._outlines import DIM
from imganalysis.report.overlays import NOT_EVALUABLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.panel import Panel

UNCLASSED = "not classified"
"""Counted, but of no class: cells of controls, and objects that the table does not have."""

UNRESOLVED_COLOUR = "#ffffff"


@dataclass(frozen=True)
class Legend:
    """The classes of a panel in order, each with its code and colour.

    Code 0 is no outline; the panel's classes have 1, 2, ...; after them come the unresolved,
    those that are not evaluable (drawn dashed), and those not classified.

    Parameters
    ----------
    names
        Of the classes, in order of their codes, from code 1.
    colours
        ``#rrggbb`` of each.
    """

    names: tuple[str, ...]
    colours: tuple[str, ...]

    @property
    def not_evaluable(self) -> int:
        """Code of what is not evaluable."""
        return self.names.index(NOT_EVALUABLE) + 1

    @property
    def unclassed(self) -> int:
        """Code of what has no class."""
        return self.names.index(UNCLASSED) + 1

    def code(self, name: str) -> int:
        """Code of a class; that of the unclassed for a name that is no class."""
        return self.names.index(name) + 1 if name in self.names else self.unclassed

    def rgba(self, hidden: frozenset[str] = frozenset()) -> list[tuple[float, ...]]:
        """Red, green, blue and opacity, 0 to 1, of each code; hidden classes are transparent."""
        shown = [
            (*rgb(colour), 0.0 if name in hidden else 1.0)
            for name, colour in zip(self.names, self.colours, strict=True)
        ]
        return [(0.0, 0.0, 0.0, 0.0), *shown]


def rgb(colour: str) -> tuple[float, float, float]:
    """Red, green and blue, 0 to 1, of ``#rrggbb``."""
    r, g, b = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return r, g, b


def legend_of(panel: Panel | None) -> Legend:
    """Classes of a panel with the colours of its file, and those that every panel shares."""
    colours: dict[str, str] = {}
    for row in panel.phenotypes if panel is not None else ():
        colours.setdefault(row.name, hex_colour(row.colour))
    colours[t.UNRESOLVED] = UNRESOLVED_COLOUR
    dim = "#{:02x}{:02x}{:02x}".format(*DIM)
    colours |= {NOT_EVALUABLE: dim, UNCLASSED: dim}
    return Legend(tuple(colours), tuple(colours.values()))


def class_names(cells: pd.DataFrame) -> pd.Series[str]:
    """Name what each object is drawn as: its class, or not evaluable, or not classified."""
    names = cells[t.PHENOTYPE].astype(object).fillna("").replace("", UNCLASSED)
    return names.where(cells[t.EVALUABLE].astype(bool), NOT_EVALUABLE)


def label_codes(cells: pd.DataFrame, legend: Legend, size: int) -> NDArray[np.uint8]:
    """Code of each label.

    Parameters
    ----------
    cells
        One row per object: ``label``, ``phenotype``, ``evaluable``.
    legend
        Of the field's panel.
    size
        Largest label + 1.

    Returns
    -------
    array
        (size,) uint8; 0 for the background, unclassed for labels that the table does not have.
    """
    codes = np.full(size, legend.unclassed, np.uint8)
    labels = cells[t.LABEL].to_numpy(dtype=np.int64)
    inside = (labels > 0) & (labels < size)
    kinds, names = pd.factorize(cells[t.PHENOTYPE])
    # One code more at the end, for the kind -1: no value.
    of_kind = np.array([*(legend.code(str(n)) for n in names), legend.unclassed], np.uint8)
    found = of_kind[kinds]
    found[~cells[t.EVALUABLE].to_numpy(dtype=bool)] = legend.not_evaluable
    codes[labels[inside]] = found[inside]
    codes[0] = 0
    return codes


def counts(cells: pd.DataFrame, legend: Legend) -> dict[str, int]:
    """Class -> number of cells, fragments once, in the legend's order; only those there are."""
    names = class_names(cells)
    names = names.where(names.isin(legend.names), UNCLASSED)
    table = cells[[t.LABEL]].assign(name=names)
    if t.CELL_ID in cells.columns:
        table = table.assign(cell=cells[t.CELL_ID]).drop_duplicates(["cell", "name"])
    found = table["name"].value_counts()
    return {name: int(found[name]) for name in legend.names if name in found.index}
