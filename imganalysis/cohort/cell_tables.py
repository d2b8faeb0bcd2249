"""Tables of cells, ours and those of readers, checked before anything is matched."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.cohort.readings import numbers, read_text
from imganalysis.errors import TableError
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

POSITION = (t.Y, t.X)
CLICK = (t.CLICK_Y, t.CLICK_X)
_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no"}


def read_cells(paths: Sequence[Path]) -> pd.DataFrame:
    """Read our cells, one row per object.

    Parameters
    ----------
    paths
        Tables as in ``cells/``: CSV, or parquet.

    Returns
    -------
    DataFrame
        ``field``, ``biopsy`` (empty if not told), ``label``, ``cell_id``, ``centroid_y_um``,
        ``centroid_x_um``, ``phenotype``, ``evaluable``.

    Raises
    ------
    TableError
        A column is missing, a number is none, an object stands twice, or no class is known.
    """
    parts = [_cells(path) for path in paths]
    if not parts:
        raise TableError("no table of cells was given")
    table = pd.concat(parts, ignore_index=True)
    twice = table[table.duplicated([t.FIELD, t.LABEL])]
    if len(twice):
        first = twice.iloc[0]
        raise TableError(
            f"{paths[0]}: {plural(len(twice), 'object')} there more than once, first label "
            f"{first[t.LABEL]} of field {first[t.FIELD]}"
        )
    return table


def _cells(path: Path) -> pd.DataFrame:
    table = _read_any(path)
    t.require(table, [t.FIELD, t.PHENOTYPE, *POSITION], source=str(path))
    if t.LABEL not in table and t.CELL_ID not in table:
        raise TableError(f"{path}: missing column {t.LABEL}, the number of the nucleus")
    one = pd.DataFrame({t.FIELD: table[t.FIELD], t.PHENOTYPE: table[t.PHENOTYPE]})
    one[t.BIOPSY] = table[t.BIOPSY] if t.BIOPSY in table else ""
    for column in POSITION:
        one[column] = numbers(table, column, path)
    if one[list(POSITION)].isna().any(axis=None):
        raise TableError(f"{path}: {t.Y}, {t.X}: empty in some rows; every object has a centroid")
    label = t.LABEL if t.LABEL in table else t.CELL_ID
    one[t.LABEL] = _whole(table, label, path)
    one[t.CELL_ID] = _whole(table, t.CELL_ID if t.CELL_ID in table else label, path)
    one[t.EVALUABLE] = True
    if t.EVALUABLE in table:
        words = table[t.EVALUABLE].str.lower()
        if not words.isin(_TRUE | _FALSE).all():
            raise TableError(f"{path}: {t.EVALUABLE}: expected True or False")
        one[t.EVALUABLE] = words.isin(_TRUE)
    if (one[t.PHENOTYPE] == "").any():
        raise TableError(
            f"{path}: {t.PHENOTYPE}: empty in {plural((one[t.PHENOTYPE] == '').sum(), 'row')}; "
            f"a cell without a class is '{t.UNRESOLVED}'"
        )
    return one


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a table of ``cells/``.

    Raises
    ------
    TableError
        Not there, or damaged.
    """
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise TableError(
            f"{path}: no such file; the results are not whole: copy all of cells/, or run again"
        ) from None
    except (OSError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise TableError(f"{path}: no parquet table, or damaged ({said}); run again") from None


def _read_any(path: Path) -> pd.DataFrame:
    if path.suffix.lower() != ".parquet":
        return read_text(path)
    table = read_parquet(path)
    wanted = (t.FIELD, t.BIOPSY, t.LABEL, t.CELL_ID, *POSITION, t.PHENOTYPE, t.EVALUABLE)
    kept = table[[name for name in wanted if name in table]]
    # float64 to text and back keeps every digit.
    found = pd.DataFrame({name: kept[name].astype(str) for name in kept})
    return found.set_axis(range(2, len(found) + 2))


def _whole(table: pd.DataFrame, column: str, path: Path) -> pd.Series[int]:
    found = numbers(table, column, path)
    bad = found.isna() | (found < 1) | (found % 1 != 0)
    if bad.any():
        row, text = table.index[bad][0], table.loc[bad, column].iloc[0]
        raise TableError(
            f"{path}: {column}: expected whole numbers from 1; found row {row}: {text!r}"
        )
    return found.astype(np.int64)


def read_clicks(paths: Sequence[Path], *, name: str | None = None) -> pd.DataFrame:
    """Read what readers say of single cells.

    Parameters
    ----------
    paths
        Tables with the columns of `imganalysis.tables.READER_CELL_COLUMNS`.
    name
        Of the reader, for tables without such a column; the file's name by default.

    Returns
    -------
    DataFrame
        ``field``, ``reader``, ``y_um``, ``x_um``, ``label`` (0 where told by position), ``class``.

    Raises
    ------
    TableError
        A column is missing, a number is none, or a cell is read twice by one reader.
    """
    table = pd.concat([_clicks(path, name) for path in paths], ignore_index=True)
    by_label = table[t.LABEL] > 0
    keys = [t.FIELD, t.READER, t.LABEL]
    places = [t.FIELD, t.READER, *CLICK]
    twice = (by_label & table[by_label].duplicated(keys).reindex(table.index, fill_value=False)) | (
        ~by_label & table[~by_label].duplicated(places).reindex(table.index, fill_value=False)
    )
    if twice.any():
        first = table[twice].iloc[0]
        where = (
            f"label {first[t.LABEL]}"
            if first[t.LABEL]
            else f"x {first[t.CLICK_X]:g}, y {first[t.CLICK_Y]:g} um"
        )
        raise TableError(
            f"{', '.join(map(str, paths))}: {plural(int(twice.sum()), 'cell')} read twice by one "
            f"reader, first {where} of field {first[t.FIELD]} by {first[t.READER]}; a second "
            "reading is a reader of its own"
        )
    return table


def _clicks(path: Path, name: str | None) -> pd.DataFrame:
    table = read_text(path)
    t.require(table, [t.FIELD, t.CLASS], source=str(path))
    placed = set(CLICK) <= set(table.columns)
    if not placed and t.LABEL not in table:
        raise TableError(
            f"{path}: expected {t.CLICK_X} and {t.CLICK_Y} (um), or {t.LABEL}; found: "
            + ", ".join(map(str, table.columns))
        )
    one = table[[t.FIELD, t.CLASS]].copy()
    one[t.READER] = name or path.stem
    if name is None and t.READER in table:
        one[t.READER] = table[t.READER]
    for column in CLICK:
        one[column] = numbers(table, column, path) if placed else np.nan
    one[t.LABEL] = 0
    if t.LABEL in table:
        told = table[t.LABEL] != ""
        one.loc[told, t.LABEL] = _whole(table[told], t.LABEL, path)
    for column in (t.FIELD, t.CLASS, t.READER):
        if (one[column] == "").any():
            row = one.index[one[column] == ""][0]
            raise TableError(f"{path}: {column}: empty in row {row}; every row needs one")
    nowhere = (one[t.LABEL] == 0) & one[list(CLICK)].isna().any(axis=1)
    if nowhere.any():
        row = one.index[nowhere][0]
        raise TableError(f"{path}: row {row} has neither a position nor a label")
    return one


def check_classes(ours: pd.Series[str], theirs: pd.Series[str]) -> list[str]:
    """Name classes of readers that ours never gives, and refuse those that look misspelt.

    Raises
    ------
    TableError
        A class is written nearly as one of ours, or none of the classes is one of ours.
    """
    known = sorted(set(ours) | {t.UNRESOLVED})
    unknown = sorted(set(theirs) - set(known))
    plain = {"".join(filter(str.isalnum, name)).lower(): name for name in known}
    for name in unknown:
        short = "".join(filter(str.isalnum, name)).lower()
        close = get_close_matches(name.lower(), [k.lower() for k in known], n=1, cutoff=0.85)
        meant = plain.get(short) or next((k for k in known if k.lower() in close), None)
        if meant:
            raise TableError(
                f"class '{name}' of a reader is none of ours; is '{meant}' meant? Write it so, or "
                f"give --same '{name}={meant}'"
            )
    if unknown and not set(theirs) & set(known):
        raise TableError(
            f"no class of the readers is one of ours: theirs are {', '.join(unknown)}, ours "
            f"{', '.join(known)}; say which are the same with --same THEIRS=OURS"
        )
    if not unknown:
        return []
    return [
        f"classes of readers that ours never gives: {', '.join(unknown)}; every such cell counts "
        "as a disagreement"
    ]


def rename_classes(table: pd.DataFrame, column: str, same: Mapping[str, str]) -> pd.DataFrame:
    """Take classes for others, where a reader cannot tell them apart."""
    return table.assign(**{column: table[column].replace(dict(same))}) if same else table
