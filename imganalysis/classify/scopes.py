"""The cells of one panel, batch and acquisition that may set or judge a gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imganalysis import tables as t

if TYPE_CHECKING:
    import pandas as pd

    Place = tuple[str, str, str]


def of_place(cells: pd.DataFrame, place: Place) -> pd.DataFrame:
    """Take the cells of a panel, batch and acquisition."""
    here = np.ones(len(cells), dtype=bool)
    for column, wanted in zip((t.PANEL, t.BATCH, t.ACQUISITION), place, strict=True):
        here &= (cells[column].astype(str) == wanted).to_numpy(dtype=bool)
    return cells[here]


def evaluable(cells: pd.DataFrame) -> pd.DataFrame:
    """Take the cells that count; all of a table that does not say."""
    return _true(cells, t.EVALUABLE)


def comparable(cells: pd.DataFrame) -> pd.DataFrame:
    """Take the cells of fields that are not clipped; all of a table that does not say."""
    return _true(cells, t.COMPARABLE)


def _true(cells: pd.DataFrame, column: str) -> pd.DataFrame:
    return cells[cells[column].astype(bool)] if column in cells.columns else cells
