"""The clinical table: its keys, and what it says of each patient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imganalysis.cohort.sheet import (
    Sheet,
    alike_key,
    is_unknown,
    key_text,
    need,
    number,
    number_of,
    read_sheet,
)
from imganalysis.errors import TableError
from imganalysis.tables_cohort import DIAMETERS, EVENT, KEYS, LESION, PATIENT, TIMES, WEEK

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CENTURY = 36525.0
"""Days; nobody is followed for longer, and a spreadsheet counts the days since 1900."""

Key = tuple[str, str, float]
"""Patient, lesion ('' where the table has none), week (NaN where it has none)."""


@dataclass(frozen=True)
class Row:
    """One row of a clinical table."""

    number: int
    patient: str
    lesion: str
    week: float
    values: dict[str, str]


@dataclass(frozen=True)
class Clinical:
    """A clinical table whose keys were checked.

    Parameters
    ----------
    sheet
        As read.
    keys
        Those of patient, lesion and week that are columns: what a row is about.
    rows
        In the order of the file; `values` hold every other column.
    """

    sheet: Sheet
    keys: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def patients(self) -> tuple[str, ...]:
        """Patients in the order of the file."""
        return tuple(dict.fromkeys(row.patient for row in self.rows))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are no keys."""
        return tuple(name for name in self.sheet.columns if name not in KEYS)

    def of_patient(self, column: str) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
        """Give what a column says of each patient, empty where it says nothing, or `NA`.

        Returns
        -------
        values, differing
            patient -> text; patient -> two rows that say different things, where they do: such
            a patient has no value.
        """
        values: dict[str, str] = {}
        first: dict[str, int] = {}
        differing: dict[str, tuple[int, int]] = {}
        for row in self.rows:
            text = row.values[column].strip()
            values.setdefault(row.patient, "")
            if is_unknown(text) or row.patient in differing:
                continue
            before = values[row.patient]
            if before == text or number_of(before) == number_of(text):
                continue  # 3 and 3.0 are one value
            if before:
                differing[row.patient] = (first[row.patient], row.number)
                values[row.patient] = ""
            else:
                first[row.patient], values[row.patient] = row.number, text
        return values, differing


def read_clinical(path: Path) -> Clinical:
    """Read a clinical table.

    Parameters
    ----------
    path
        CSV with a column ``patient``. With ``lesion`` a row is a lesion, with ``week`` a visit.

    Raises
    ------
    TableError
        A key is missing, spelt in two ways, or stands twice; a week is no number.
    """
    sheet = read_sheet(path)
    need(sheet, [PATIENT])
    for name in (LESION, WEEK):
        if any(alike_key(column) == name and column != name for column in sheet.columns):
            need(sheet, [name])
    keys = tuple(name for name in KEYS if name in sheet.columns)
    rows = []
    seen: dict[tuple[str, ...], int] = {}
    for at, cells in sheet.rows:
        patient = key_text(sheet, at, PATIENT, cells[PATIENT])
        lesion = key_text(sheet, at, LESION, cells[LESION]) if LESION in keys else ""
        week = float("nan")
        if WEEK in keys:
            week = number(sheet, at, WEEK, cells[WEEK])
            if math.isnan(week):
                raise sheet.error(at, WEEK, "empty; a row of a table with weeks is a visit")
            _no_date(sheet, at, WEEK, week, 7.0)
        key = (patient, lesion, f"{week:g}")
        if key in seen:
            what = ", ".join(f"{n} {v}" for n, v in zip(KEYS, key, strict=True) if n in keys)
            raise TableError(
                f"{path}, row {at}: {what} stands in row {seen[key]} already; keep one row per "
                f"{' and '.join(keys)}"
                + ("" if WEEK in keys else ", or add a column week if rows are visits")
            )
        seen[key] = at
        rows.append(
            Row(at, patient, lesion, week, {c: t for c, t in cells.items() if c not in KEYS})
        )
    _one_spelling(sheet, [(row.number, row.patient) for row in rows])
    return Clinical(sheet, keys, tuple(rows))


def _one_spelling(sheet: Sheet, found: Iterable[tuple[int, str]]) -> None:
    first: dict[str, tuple[int, str]] = {}
    for at, patient in found:
        before, other = first.setdefault(patient.casefold().replace(" ", ""), (at, patient))
        if other != patient:
            raise sheet.error(
                at,
                PATIENT,
                f"{patient!r}, but {other!r} in row {before}: one patient, or two? Spell one "
                "patient in one way, and two by more than case and blanks",
            )


def _no_date(sheet: Sheet, row: int, column: str, value: float, days: float) -> None:
    """Refuse a time of more than a century: a date as the number that it is to a spreadsheet."""
    if abs(value) * days > CENTURY:
        unit = column.removeprefix("time_")
        raise sheet.error(
            row, column, f"{value:g}, which would be {abs(value) * days / 365.25:.0f} years; is it "
            f"a date as a number? Write the {unit.removesuffix('s')}s since the start of treatment",
        )  # fmt: skip


@dataclass(frozen=True)
class Followed:
    """How long a patient was followed, and whether the event came."""

    time: float
    event: bool


def follow_up(clinical: Clinical) -> tuple[str, dict[str, Followed]] | None:
    """Read how long each patient was followed.

    Returns
    -------
    column, followed
        The time's column; patient -> what is known, patients without a time left out. None
        where the table has no such column.

    Raises
    ------
    TableError
        Two such columns, a time without the column ``event`` or the other way round, a time
        that is negative or no number, an event that is not 0 or 1, or rows of one patient that
        differ.
    """
    sheet = clinical.sheet
    times = [name for name in TIMES if name in sheet.columns]
    if not times and EVENT not in sheet.columns:
        return None
    if len(times) != 1 or EVENT not in sheet.columns:
        found = ", ".join([*times, *([EVENT] if EVENT in sheet.columns else [])])
        raise TableError(
            f"{sheet.path}: survival needs one of {', '.join(TIMES)} and the column {EVENT} (1 = "
            f"happened, 0 = last seen without it); found: {found}"
        )
    (column,) = times
    for name in (column, EVENT):
        _, differing = clinical.of_patient(name)
        for patient, (one, other) in differing.items():
            raise TableError(
                f"{sheet.path}, rows {one} and {other}, column {name}: different values for "
                f"patient {patient}; a patient has one"
            )
    out: dict[str, Followed] = {}
    known: dict[str, dict[str, tuple[int, float]]] = {}
    for row in clinical.rows:
        for name in (column, EVENT):
            value = number(sheet, row.number, name, row.values[name])
            if not math.isnan(value):
                known.setdefault(row.patient, {})[name] = (row.number, value)
    for patient, values in known.items():
        if len(values) == 1:
            ((name, (at, _)),) = values.items()
            lacking = EVENT if name == column else column
            raise sheet.error(at, lacking, f"empty, but {name} is given for patient {patient}")
        at, time = values[column]
        _no_date(sheet, at, column, time, TIMES[column])
        if time < 0:
            raise sheet.error(at, column, f"{time:g}; a time followed cannot be negative")
        at, event = values[EVENT]
        if event not in (0, 1):
            raise sheet.error(at, EVENT, f"{event:g}; write 1 = happened, 0 = last seen without it")
        out[patient] = Followed(time, bool(event))
    return column, out


@dataclass(frozen=True)
class Visit:
    """Size of one lesion at one visit: the product of its perpendicular diameters."""

    patient: str
    lesion: str
    week: float
    mm2: float


def visits(clinical: Clinical) -> list[Visit] | None:
    """Read the diameters of lesions.

    Returns
    -------
    list of Visit
        None where the table has no diameters. A visit without diameters is left out: not
        measured; a lesion that is gone has 0 and 0.

    Raises
    ------
    TableError
        Diameters without lesion or week, one of two missing, negative or no numbers.
    """
    sheet = clinical.sheet
    if not any(name in sheet.columns for name in DIAMETERS):
        return None
    need(sheet, (*DIAMETERS, LESION, WEEK))
    out = []
    for row in clinical.rows:
        sizes = [number(sheet, row.number, name, row.values[name]) for name in DIAMETERS]
        for name, size in zip(DIAMETERS, sizes, strict=True):
            if size < 0:
                raise sheet.error(row.number, name, f"{size:g}; a diameter cannot be negative")
        missing = [n for n, size in zip(DIAMETERS, sizes, strict=True) if math.isnan(size)]
        if len(missing) == 1:
            raise sheet.error(
                row.number, missing[0], "empty, but the other diameter is given; both are needed, "
                "or neither where the lesion was not measured",
            )  # fmt: skip
        if (sizes[0] == 0) != (sizes[1] == 0):
            raise sheet.error(
                row.number, DIAMETERS[0], f"{sizes[0]:g} and {sizes[1]:g}; of a lesion that is "
                "gone both diameters are 0",
            )  # fmt: skip
        if not missing:
            out.append(Visit(row.patient, row.lesion, row.week, sizes[0] * sizes[1]))
    return out
