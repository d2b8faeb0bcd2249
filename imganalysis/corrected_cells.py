"""A person's corrections of cells, joined to the results that they are of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.classify.phenotypes import Classified, classify_cells
from imganalysis.errors import TableError
from imganalysis.quantify.merging import merged_cells
from imganalysis.results import FIELDS, cells_path
from imganalysis.run_file import read_panels
from imganalysis.study import SAMPLE

if TYPE_CHECKING:
    from pathlib import Path

    from imganalysis.panel import Panel


@dataclass(frozen=True)
class Corrected:
    """Corrected cells of one panel.

    Parameters
    ----------
    panel
        Their panel, as the run had it.
    cells
        One row per cell, as in ``cells/`` with fragments put together, and ``patient`` and
        ``class`` (the reader's).
    rules
        What the rules say of them.
    dropped
        Why corrections are left out -> how many.
    """

    panel: Panel
    cells: pd.DataFrame
    rules: Classified
    dropped: dict[str, int]


def read_corrections(path: Path) -> pd.DataFrame:
    """Read a table of corrections.

    Parameters
    ----------
    path
        CSV with ``field``, ``label`` or ``cell_id``, ``class``, and if wanted ``reader`` and
        ``time`` (ISO, e.g. 2024-05-01T10:30).

    Returns
    -------
    DataFrame
        As read, texts stripped, ``reader`` and ``time`` filled; in the file's order.

    Raises
    ------
    TableError
        A column is missing, or a value in it is empty or of a wrong form.
    """
    table = t.read_csv(path, dtype=str, keep_default_na=False)
    key = t.LABEL if t.LABEL in table.columns else t.CELL_ID
    t.require(table, [t.FIELD, t.CORRECT_CLASS], source=str(path))
    if key not in table.columns:
        raise TableError(f"{path}: expected a column {t.LABEL}, or {t.CELL_ID}; found neither")
    if table.empty:
        raise TableError(f"{path}: no correction in it")
    for column in (t.READER, t.TIME):
        if column not in table.columns:
            table[column] = ""
    wanted = [t.FIELD, key, t.CORRECT_CLASS, t.READER, t.TIME]
    table = pd.DataFrame({column: table[column].str.strip() for column in wanted})
    for column in wanted[:3]:
        empty = table.index[table[column] == ""]
        if len(empty):
            raise TableError(f"{path}: line {empty[0] + 2}: {column} is empty")
    numbers = pd.to_numeric(table[key], errors="coerce")
    wrong = table.index[~(numbers > 0) | (numbers % 1 != 0)]
    if len(wrong):
        raise TableError(
            f"{path}: line {wrong[0] + 2}: {key} is the number of a cell; "
            f"found {table[key][wrong[0]]!r}"
        )
    times = pd.to_datetime(table[t.TIME], errors="coerce", utc=True, format="ISO8601")
    wrong = table.index[times.isna() & (table[t.TIME] != "")]
    if len(wrong):
        raise TableError(
            f"{path}: line {wrong[0] + 2}: time: expected a date or time like 2024-05-01T10:30; "
            f"found {table[t.TIME][wrong[0]]!r}"
        )
    table[key] = numbers.astype("int64")
    return table


def corrected_cells(results: Path, corrections: Path, panel: str | None = None) -> Corrected:
    """Join corrections to the cells that they are of.

    Of several corrections of a cell by one reader the latest holds (of equal times the lower in
    the file). Left out, and counted: cells that are not counted, and cells on which readers
    disagree.

    Parameters
    ----------
    results
        Folder of a run.
    corrections
        As in `read_corrections`.
    panel
        Of whose cells; may be left out where the corrections are of one panel.

    Raises
    ------
    StudyError
        No results of a run.
    TableError
        A field, cell or class that the results do not have, a control, or several panels.
    """
    panels = read_panels(results)
    table = read_corrections(corrections)
    fields = t.read_csv(results / FIELDS, dtype=str, keep_default_na=False)
    t.require(fields, [t.FIELD, t.PANEL, t.ROLE, "patient"], source=str(results / FIELDS))
    fields = fields.set_index(t.FIELD)
    for line, name in enumerate(table[t.FIELD], start=2):
        if name not in fields.index:
            raise TableError(
                f"{corrections}: line {line}: the results in {results} have no field {name!r}"
            )
        if fields[t.ROLE][name] != SAMPLE:
            raise TableError(f"{corrections}: line {line}: {name} is a control; it has no classes")
    own = table[t.FIELD].map(fields[t.PANEL])
    names = sorted(set(own))
    if panel is None and len(names) > 1:
        raise TableError(
            f"{corrections}: corrections of several panels ({', '.join(names)}); a classifier is "
            "of one: choose it with --panel"
        )
    chosen = panel or names[0]
    if chosen not in panels:
        raise TableError(f"{results}: no panel {chosen}; it has {', '.join(panels)}")
    if chosen not in names:
        raise TableError(f"{corrections}: no correction of a cell of the panel {chosen}")
    mine = table[own == chosen]
    _check_classes(mine, panels[chosen], corrections)
    parts, dropped = [], {"not counted": 0, "readers disagree": 0}
    for name in sorted(set(mine[t.FIELD])):
        group = mine[mine[t.FIELD] == name]
        cells, members = _cells(results, name, panels[chosen])
        joined = _joined(cells, members, group, corrections, dropped)
        patient = str(fields["patient"][name]).strip()
        if not patient:
            raise TableError(
                f"{results / FIELDS}: {name} has no patient, and the patient is the unit here; "
                "name the patients in manifest.csv and run again"
            )
        parts.append(joined.assign(patient=patient))
    cells = pd.concat(parts, ignore_index=True)
    return Corrected(panels[chosen], cells, classify_cells(cells, panels[chosen]), dropped)


def _check_classes(table: pd.DataFrame, panel: Panel, path: Path) -> None:
    known = {*panel.classes, t.UNRESOLVED}
    for line, name in zip(table.index + 2, table[t.CORRECT_CLASS], strict=True):
        if name not in known:
            raise TableError(
                f"{path}: line {line}: {name!r} is no class of the panel {panel.name}; it has "
                f"{', '.join(panel.classes)}"
            )


def _cells(results: Path, field: str, panel: Panel) -> tuple[pd.DataFrame, dict[int, int]]:
    """Cells of a field, and the row of the cell that each object is a piece of."""
    path = cells_path(results, field)
    if not path.is_file():
        raise TableError(f"{path}: no such file; was the field analysed?")
    objects = pd.read_parquet(path)
    cells = merged_cells(objects, [channel.marker for channel in panel.channels])
    row = {number: i for i, number in enumerate(cells[t.CELL_ID].tolist())}
    pairs = zip(objects[t.LABEL].tolist(), objects[t.CELL_ID].tolist(), strict=True)
    return cells.reset_index(drop=True), {label: row[number] for label, number in pairs}


def _joined(
    cells: pd.DataFrame,
    members: dict[int, int],
    table: pd.DataFrame,
    path: Path,
    dropped: dict[str, int],
) -> pd.DataFrame:
    """Corrected cells of a field with the reader's class."""
    if t.LABEL in table.columns:
        key, owner = t.LABEL, members
    else:
        key = t.CELL_ID
        owner = {number: i for i, number in enumerate(cells[t.CELL_ID].tolist())}
    rows = []
    for line, number in zip(table.index + 2, table[key].tolist(), strict=True):
        if number not in owner:
            raise TableError(f"{path}: line {line}: {table[t.FIELD].iloc[0]} has no cell {number}")
        rows.append(owner[number])
    times = pd.to_datetime(table[t.TIME], errors="coerce", utc=True, format="ISO8601")
    said = table.assign(_row=rows, _time=times).sort_values(
        "_time", kind="stable", na_position="first"
    )
    latest: dict[int, dict[str, str]] = {}
    for place, reader, name in said[["_row", t.READER, t.CORRECT_CLASS]].itertuples(index=False):
        latest.setdefault(int(place), {})[str(reader)] = str(name)
    counted = cells[t.EVALUABLE].to_numpy(bool)
    agreed: dict[int, str] = {}
    for place in sorted(latest):
        names = set(latest[place].values())
        if not counted[place]:
            dropped["not counted"] += 1
        elif len(names) > 1:
            dropped["readers disagree"] += 1
        else:
            agreed[place] = names.pop()
    chosen = cells.iloc[list(agreed)]
    return chosen.assign(**{t.CORRECT_CLASS: np.array(list(agreed.values()), dtype=object)})
