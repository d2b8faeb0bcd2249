"""Tables of readings per biopsy, ours and those of readers, read with suspicion."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.cohort.sheet import read_lines
from imganalysis.errors import TableError
from imganalysis.tables_biopsies import OF_ENDPOINT
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FRACTION, PERCENT = "fraction", "percent"
NOT_AVAILABLE = frozenset({"", "na", "n/a", "nan", "none", "-"})
"""What people write for a value that they do not have, in small letters."""

_COUNTS = (t.N_POSITIVE, t.N_TOTAL)


@dataclass(frozen=True)
class Readings:
    """One reading per biopsy and reader, in percent points.

    Parameters
    ----------
    values
        Index: biopsy; columns: readers; NaN where a reader gives none.
    patients
        Biopsy -> patient, where the table says it.
    reasons
        Biopsy -> why there is no value, where the table says it.
    source
        Column that was read and where, in words.
    column
        The column, of the last table.
    """

    values: pd.DataFrame
    patients: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    source: str = ""
    column: str = ""


def read_text(path: Path) -> pd.DataFrame:
    """Read a CSV with every cell as text, blanks around it cut off.

    Returns
    -------
    DataFrame
        The index is the number of the row in the spreadsheet.

    Raises
    ------
    TableError
        As `imganalysis.cohort.sheet.read_lines`.
    """
    head, rows = read_lines(path)
    at = [number for number, _ in rows]
    return pd.DataFrame(
        {name: [cells[i].strip() for _, cells in rows] for i, name in enumerate(head)},
        index=at,
        dtype=str,
    )


def numbers(table: pd.DataFrame, column: str, path: Path) -> pd.Series[float]:
    """Turn a column of text into numbers, NaN where it says that there is none.

    Raises
    ------
    TableError
        A text that is no number, with its rows as a spreadsheet counts them.
    """
    text = table[column]
    known = ~text.str.lower().isin(NOT_AVAILABLE)
    found = pd.to_numeric(text.where(known), errors="coerce").astype(float)
    bad = known & ~np.isfinite(found)
    if bad.any():
        where = _listed([f"row {i}: {v!r}" for i, v in text[bad].items()])
        raise TableError(
            f"{path}: {column}: expected numbers with a decimal point, or nothing; found {where}"
        )
    return found


def read_readings(
    paths: Sequence[Path],
    *,
    value: str | None = None,
    unit: str | None = None,
    name: str | None = None,
    also: str | None = None,
) -> Readings:
    """Read what one or more readers say of each biopsy.

    Parameters
    ----------
    paths
        Tables with the columns of `imganalysis.tables.READER_BIOPSY_COLUMNS`, or our
        ``biopsies.csv``.
    value
        Column to take; by default the endpoint of a ``biopsies.csv``, else the one of
        ``fraction``, ``percent`` or ``positive`` with ``total`` that is there.
    also
        Another name that the column may have: that of ours.
    unit
        ``fraction`` or ``percent``, where the column's name does not say it; a name that begins
        with ``pct_`` or is ``percent`` is in percent.
    name
        Of the one reader; by default what the table's own column says, else the file's name.

    Raises
    ------
    TableError
        A column is missing or there are two to choose from, a key is empty or stands twice, a
        value is no number or outside its range.
    """
    parts: list[pd.DataFrame] = []
    patients: dict[str, str] = {}
    reasons: dict[str, str] = {}
    sources: list[str] = []
    for path in paths:
        table = read_text(path)
        t.require(table, [t.BIOPSY], source=str(path))
        column, percent = _percent(table, path, value, unit, also)
        reader = name or path.stem
        if name is not None and t.READER in table and table[t.READER].nunique() > 1:
            raise TableError(
                f"{path}: holds the readings of {plural(table[t.READER].nunique(), 'reader')}; "
                "ours has one row per biopsy. Is it the readers' table? Ours comes first"
            )
        part = pd.DataFrame({t.BIOPSY: table[t.BIOPSY], t.READER: reader, t.PERCENT: percent})
        if name is None and t.READER in table:
            part[t.READER] = table[t.READER]
        _check_keys(part, path)
        parts.append(part)
        sources.append(f"{column} of {path.name}")
        if "patient" in table:
            patients |= {b: p for b, p in zip(part[t.BIOPSY], table["patient"], strict=True) if p}
        if "reason" in table:
            reasons |= _reasons(part, table["reason"], column)
    whole = pd.concat(parts, ignore_index=True)
    twice = whole[whole.duplicated([t.BIOPSY, t.READER])]
    if len(twice):
        keys = twice[[t.BIOPSY, t.READER]].itertuples(index=False)
        shown = _listed([f"{biopsy} by {reader}" for biopsy, reader in keys])
        raise TableError(
            f"{', '.join(map(str, paths))}: read twice: {shown}; each biopsy stands once per "
            "reader (a second reading is a reader of its own)"
        )
    values = whole.pivot(index=t.BIOPSY, columns=t.READER, values=t.PERCENT)
    order = list(dict.fromkeys(whole[t.BIOPSY]))
    values = values.loc[order, list(dict.fromkeys(whole[t.READER]))]
    return Readings(values, patients, reasons, "; ".join(sources), column)


def _check_keys(part: pd.DataFrame, path: Path) -> None:
    for column in (t.BIOPSY, t.READER):
        empty = part[part[column] == ""]
        if len(empty):
            rows = _listed([str(i) for i in empty.index])
            raise TableError(f"{path}: {column}: empty in row {rows}; every row needs one")


def _percent(
    table: pd.DataFrame, path: Path, value: str | None, unit: str | None, also: str | None
) -> tuple[str, pd.Series[float]]:
    """Take the readings of a table in percent, and the name of their column."""
    if value is not None:
        if value not in table:
            raise TableError(f"{path}: no column {value}{_meant(table, value)}")
        column = value
    else:
        endpoints = [str(c) for c in table if f"{c}{OF_ENDPOINT}" in table]
        known = dict.fromkeys([*endpoints, *([also] if also else []), t.FRACTION, t.PERCENT])
        there = [c for c in known if c in table]
        if set(_COUNTS) <= set(table.columns):
            there.append(" / ".join(_COUNTS))
        if len(there) != 1:
            first = also or "the endpoint of biopsies.csv"
            wanted = f"{first}, {t.FRACTION} (0 to 1), {t.PERCENT} (0 to 100) or "
            wanted += f"{_COUNTS[0]} and {_COUNTS[1]} (counts)"
            could = [str(column) for column in table if _is_reading(table, str(column))]
            found = ", ".join(there or could) or ", ".join(map(str, table.columns))
            what = "more than one column of readings" if there else "no column of readings"
            raise TableError(
                f"{path}: {what}; expected one of {wanted}, found {found}; name another with "
                "--ours-column or --theirs-column"
            )
        column = there[0]
    if column == " / ".join(_COUNTS):
        return column, _from_counts(table, path)
    values = numbers(table, column, path)
    of_name = PERCENT if _is_percent(column) else FRACTION
    used, most = (unit or of_name), (100.0 if (unit or of_name) == PERCENT else 1.0)
    outside = (values < 0) | (values > most)
    if outside.any():
        shown = _listed([f"row {i}: {v:g}" for i, v in values[outside].items()])
        hint = "; are these percent? Then name the column percent, or say so with --unit"
        raise TableError(
            f"{path}: {column}: a {used} lies between 0 and {most:g}, found {shown}"
            + (hint if used == FRACTION and bool((values[outside] <= 100).all()) else "")
        )
    return column, values * (1.0 if used == PERCENT else 100.0)


def _meant(table: pd.DataFrame, name: str) -> str:
    """Columns that hold readings, the one most like a name first."""
    could = [str(column) for column in table if _is_reading(table, str(column))]
    close = get_close_matches(name.casefold(), [one.casefold() for one in could], n=1)
    meant = next((one for one in could if one.casefold() in close), None)
    hint = f"; is {meant} meant?" if meant else "."
    return f"{hint} Columns of fractions or percents: {', '.join(could) or 'none'}"


def _is_reading(table: pd.DataFrame, column: str) -> bool:
    """Whether a column holds shares; in a table of ours those have an interval beside them."""
    ends = any(f"{other}_lo" in table for other in table)
    if column.endswith(("_lo", "_hi")) or (ends and f"{column}_lo" not in table):
        return False
    text = table[column][~table[column].str.lower().isin(NOT_AVAILABLE)]
    values = pd.to_numeric(text, errors="coerce")
    most = 1.0 if ends and not _is_percent(column) else 100.0
    return bool(len(values)) and bool(values.between(0, most).all())


def _is_percent(column: str) -> bool:
    return column == t.PERCENT or column.startswith("pct_")


def _from_counts(table: pd.DataFrame, path: Path) -> pd.Series[float]:
    x, n = (numbers(table, column, path) for column in _COUNTS)
    bad = (x < 0) | (x > n) | (x.isna() != n.isna())
    if bad.any():
        rows = _listed([str(i) for i in bad[bad].index])
        raise TableError(
            f"{path}: row {rows}: {_COUNTS[0]} must be counts from 0 to {_COUNTS[1]}, both given"
        )
    return (100 * x / n.where(n > 0)).astype(float)


def _reasons(part: pd.DataFrame, reason: pd.Series[str], column: str) -> dict[str, str]:
    """Why a column of biopsies.csv is empty, from ``value: word`` in its column of reasons."""
    found = {}
    empty = part[t.PERCENT].isna()
    for biopsy, text in zip(part[t.BIOPSY][empty], reason[empty], strict=True):
        words = dict(item.split(": ", 1) for item in str(text).split("; ") if ": " in item)
        found[str(biopsy)] = words.get(column, "")
    return {biopsy: word for biopsy, word in found.items() if word}


def check_scale(ours: Readings, theirs: Readings) -> None:
    """Refuse readings of which one side is in percent and the other in fractions.

    Raises
    ------
    TableError
        The medians of the biopsies that both give differ by a factor near 100; or a reading of
        1 or less beside others above 1 fits the other side only as a fraction.
    """
    own = ours.values.iloc[:, 0]
    for reader in theirs.values:
        both = pd.concat([own, theirs.values[reader]], axis=1, join="inner").dropna()
        a, b = both.iloc[:, 0], both.iloc[:, 1]
        middle = float(a.median()), float(b.median())
        if len(both) >= 2 and min(middle) > 0 and 40 <= max(middle) / min(middle) <= 250:
            raise TableError(
                f"{theirs.source}: the median of {reader} is {middle[1]:.3g} %, ours "
                f"{middle[0]:.3g} % of the same biopsies: about 100 times apart. Is one in "
                "percent and the other a "
                "fraction? If both are right, say the unit of theirs with --unit"
            )
        # 0.4 among values like 35: written as a fraction by mistake?
        odd = both[(b > 0) & (b <= 1) & (a >= 10) & ((100 * b - a).abs() < (a - b) / 2)]
        if len(odd) and bool((b > 1).any()):
            shown = _listed([f"{i}: {v:g} %, ours {u:.3g} %" for i, u, v in odd.itertuples()])
            raise TableError(
                f"{theirs.source}: fractions among percents? {shown}. Write 40, not 0.4; if "
                "they are right, say the unit of theirs with --unit"
            )


def _listed(items: Sequence[Any], most: int = 5) -> str:
    shown = ", ".join(map(str, items[:most]))
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"
