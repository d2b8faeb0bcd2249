"""The table of cells as it is shown: which columns, which rows, in which order. No window."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from imganalysis.panel import Panel

COMPARE: dict[str, Callable[[NDArray[np.float64], float], NDArray[np.bool_]]] = {
    "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge,
    "=": operator.eq, "!=": operator.ne,
}  # fmt: skip
TEXTS = (t.PHENOTYPE, t.EXCLUSION, t.REGION, t.WHY)
_COMPARED = re.compile(r"^\s*(\S+)\s*(<=|>=|!=|=|<|>)\s*(.+?)\s*$")


def main_columns(cells: pd.DataFrame, panel: Panel | None) -> list[str]:
    """Columns that say what a cell is and why; the others are there on demand."""
    wanted = [t.LABEL, t.PHENOTYPE]
    for channel in panel.gated if panel is not None else ():
        wanted += [t.call_column(channel.marker), *channel.columns]
    wanted += [t.DIAMETER, t.ASPECT, t.REGION, t.EXCLUSION, t.CELL_ID, t.FRAGMENTS, t.WHY]
    return [name for name in dict.fromkeys(wanted) if name in cells.columns]


def filter_rows(cells: pd.DataFrame, text: str) -> NDArray[np.bool_]:
    """Rows that a filter leaves.

    Parameters
    ----------
    cells
        One row per object.
    text
        Conditions with ``and`` or ``,`` between them, all of which must hold. One is a
        comparison ``COLUMN < NUMBER`` (or ``<= > >= = !=``; ``=`` and ``!=`` of texts too), or
        words that must all occur in the class, exclusion, region or reason, or be the label.

    Raises
    ------
    TableError
        A column is not there, or a text is compared as a number.
    """
    keep = np.ones(len(cells), dtype=bool)
    for part in re.split(r"\s+and\s+|,", text.strip()):
        if not part.strip():
            continue
        found = _COMPARED.match(part)
        keep &= _compared(cells, *found.groups()) if found else _worded(cells, part)
    return keep


def _compared(cells: pd.DataFrame, name: str, sign: str, value: str) -> NDArray[np.bool_]:
    by_name = {str(column).casefold(): column for column in cells.columns}
    column = by_name.get(name.casefold())
    if column is None:
        near = [c for key, c in by_name.items() if name.casefold() in key][:4]
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise TableError(f"filter: no column {name}{hint}")
    values = cells[column]
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        try:
            number = float(value)
        except ValueError:
            raise TableError(f"filter: {column} holds numbers, {value!r} is none") from None
        numbers = values.to_numpy(dtype=float, na_value=np.nan)
        return COMPARE[sign](numbers, number) & ~np.isnan(numbers)
    if sign not in ("=", "!="):
        raise TableError(f"filter: {column} holds texts; compare it with = or !=")
    same = _text(values).str.casefold() == value.casefold()
    return np.asarray(same if sign == "=" else ~same, dtype=bool)


def _worded(cells: pd.DataFrame, words: str) -> NDArray[np.bool_]:
    labels = cells[t.LABEL].astype(str)
    everything = labels
    for column in TEXTS:
        if column in cells.columns:
            everything = everything + " " + _text(cells[column]).str.casefold()
    keep = np.ones(len(cells), dtype=bool)
    for word in words.casefold().split():
        if word.isdecimal():
            keep &= (labels == word).to_numpy(dtype=bool)
        else:
            keep &= everything.str.contains(word, regex=False).to_numpy(dtype=bool)
    return keep


def _text(values: pd.Series[Any]) -> pd.Series[str]:
    return values.astype(object).where(values.notna(), "").astype(str)


def sort_rows(
    cells: pd.DataFrame, rows: NDArray[np.intp], column: str | None, *, descending: bool = False
) -> NDArray[np.intp]:
    """Bring rows into the order of a column; what is empty goes last, ties stay as they are.

    Parameters
    ----------
    cells
        One row per object.
    rows
        Positions of rows in `cells`.
    column
        By which; None for the table's own order.
    descending
        Largest first.
    """
    if column is None or column not in cells.columns:
        return np.sort(rows)
    values = cells[column].iloc[np.sort(rows)].reset_index(drop=True)
    if not pd.api.types.is_numeric_dtype(values.dtype):
        values = values.astype(object).where(values.notna() & (values != ""), None)
    order = values.sort_values(ascending=not descending, kind="stable", na_position="last").index
    return np.sort(rows)[order.to_numpy()]


def shown(value: Any) -> str:
    """Give a value as the table shows it: numbers to four digits, empty for missing."""
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    return str(value)
