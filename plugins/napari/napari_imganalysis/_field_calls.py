"""The outlines and the table of one field under gates that are moved. No window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.classify.calls import POSITIVE_CODE
from imganalysis.held import recalled_cells
from napari_imganalysis._colours import label_codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from imganalysis.moving import Moved
    from napari_imganalysis._colours import Legend


class FieldCalls:
    """The objects of one field, linked to the counted cells whose classes they show.

    Objects that count in the results, and whose class in the table is that of the gates, follow
    the gates; all others (not counted, or corrected by a person since) keep their colour.

    Parameters
    ----------
    states
        The table of cells has the classes of one of these.
    field, panel
        Names.
    cells
        Table of the field's objects.
    legend
        Of the panel.
    size
        Largest label + 1.
    """

    def __init__(
        self,
        states: Sequence[Moved],
        field: str,
        panel: str,
        cells: pd.DataFrame,
        legend: Legend,
        size: int,
    ) -> None:
        self.field, self.panel, self.cells = field, panel, cells
        self.base = label_codes(cells, legend, size)
        self.labels = np.zeros(0, np.int64)
        self.rows = np.zeros(0, np.intp)
        self.code_of = np.zeros(1, np.uint8)
        parts = states[0].held.parts if states else ()
        part = next((p for p in parts if p.panel.name == panel), None)
        if part is None or t.CELL_ID not in cells.columns:
            return
        own = part.cells.loc[part.cells[t.EVALUABLE].to_numpy(dtype=bool), [t.FIELD, t.CELL_ID]]
        first = np.flatnonzero((own[t.FIELD] == field).to_numpy(dtype=bool))
        found = pd.Index(own[t.CELL_ID].to_numpy()[first]).get_indexer(pd.Index(cells[t.CELL_ID]))
        labels = cells[t.LABEL].to_numpy(dtype=np.int64)
        use = (found >= 0) & (labels > 0) & (labels < size)
        labels, rows = labels[use], first[found[use]]
        names = (*part.panel.classes, t.UNRESOLVED)
        self.code_of = np.array([legend.code(name) for name in names], np.uint8)
        same = np.zeros(len(labels), bool)
        for moved in states:
            same |= self.base[labels] == self.code_of[moved.phenotype[panel][rows]]
        if t.CORRECTED in cells.columns:
            said = cells[t.CORRECTED].astype(object).fillna("").to_numpy() != ""
            same &= ~said[use]
        self.labels, self.rows = labels[same], rows[same]

    def codes(self, moved: Moved, alone: str = "") -> NDArray[np.uint8]:
        """Code of each label under moved gates.

        Parameters
        ----------
        moved
            By the gates.
        alone
            Marker of which only the positive cells are drawn; all where empty.
        """
        codes = self.base.copy()
        if not self.labels.size:
            return codes
        codes[self.labels] = self.code_of[moved.phenotype[self.panel][self.rows]]
        if alone:
            part = next(p for p in moved.held.parts if p.panel.name == self.panel)
            if alone in part.recall.markers:
                digits = part.recall.markers[alone].digits[self.rows]
                shown = np.zeros(len(codes), bool)
                shown[self.labels[digits == POSITIVE_CODE]] = True
                codes[~shown] = 0
        return codes

    def table(self, moved: Moved) -> pd.DataFrame:
        """Table of the field's objects with the calls and classes of moved gates."""
        new = recalled_cells(moved.held, self.field, self.cells)
        counted = self.cells[t.EVALUABLE].to_numpy(dtype=bool)
        own = counted & ~self.cells[t.LABEL].isin(self.labels).to_numpy(dtype=bool)
        if own.any() and new is not self.cells:
            new.loc[own] = self.cells.loc[own]
        return new
