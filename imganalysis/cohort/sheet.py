"""A table that a person typed into a spreadsheet: read as text, every cell with its row."""

from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imganalysis.cohort.separators import (
    SEPARATORS,
    is_with_comma,
    point_for,
    separator_of,
    with_points,
)
from imganalysis.errors import TableError
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from imganalysis.cohort.separators import Line

_MONTH = r"(?:jan|feb|m[aä]?r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-zä]*"
_DATE = re.compile(
    rf"\d{{1,4}}[-./ ]+(?:\d{{1,2}}|{_MONTH})[-./ ]+\d{{1,4}}(?: .*)?"
    rf"|\d{{1,2}}[-./ ]+{_MONTH}|{_MONTH}[-./ ]+\d{{1,4}}",
    re.IGNORECASE,
)
_UNIT = re.compile(r"[^\d+.,-]*([+-]?\d+(?:[.,]\d+)?)\s*[a-zµ.]*", re.IGNORECASE)
AS_NUMBER = "a spreadsheet has made a date of it: format the column as number and type it again"


@dataclass(frozen=True)
class Sheet:
    """Rows of a CSV as texts.

    Parameters
    ----------
    path
        The file.
    columns
        Its head.
    rows
        (number of the row in the spreadsheet, column -> text); wholly empty rows are left out.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]

    def error(self, row: int, column: str, said: str) -> TableError:
        """Say what is wrong with one cell, and where that is."""
        return TableError(f"{self.path}, row {row}, column {column}: {said}")


def read_lines(path: Path) -> tuple[list[str], list[Line]]:
    """Read a CSV with commas, semicolons or tabs as texts.

    Decimal commas become points where the cells are not parted by commas; wholly empty rows are
    left out.

    Returns
    -------
    head, rows
        Names of the columns; number of each row in the spreadsheet, and as many cells.

    Raises
    ------
    TableError
        Not there, not UTF-8, not a table, a column without a name or twice, a row of another
        length, or decimals of which it is not sure what they mean.
    """
    lines, separator = _lines(path)
    while len(lines[0]) > 1 and not any(
        row[-1].strip() for row in lines if len(row) == len(lines[0])
    ):
        lines = [row[:-1] if len(row) == len(lines[0]) else row for row in lines]
    head = [name.strip() for name in lines[0]]
    for i, name in enumerate(head):
        if not name:
            raise TableError(f"{path}: column {i + 1} has no name in the first row; give it one")
        if head.count(name) > 1:
            raise TableError(
                f"{path}: the column {name} stands {plural(head.count(name), 'time')}; keep one"
            )
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in line):
            continue
        if len(line) != len(head):
            part = {",": "comma", ";": "semicolon", "\t": "tab"}[separator]
            raise TableError(
                f"{path}, row {number}: {plural(len(line), 'cell')}, but the first row names "
                f"{plural(len(head), 'column')}; is there a {part} within a cell that needs "
                "quotes, or is one missing?"
            )
        rows.append((number, [_plain(cell) for cell in line]))
    if not rows:
        raise TableError(f"{path}: no row under the names of the columns")
    with_points(path, head, rows, separator)
    return head, rows


def _lines(path: Path) -> tuple[list[list[str]], str]:
    if path.suffix.casefold() in (".xlsx", ".xls", ".ods", ".numbers"):
        raise TableError(f"{path}: a workbook; save the sheet as 'CSV UTF-8' and give that file")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise TableError(f"{path}: no such file") from None
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise TableError(
            f"{path}: not UTF-8 text; save it as 'CSV UTF-8' in the spreadsheet"
        ) from None
    separator = separator_of(re.split(r"[\r\n]", text, maxsplit=1)[0])
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise TableError(f"{path}: not a table with {SEPARATORS[separator]} ({error})") from None
    if not lines or not any(cell.strip() for cell in lines[0]):
        raise TableError(f"{path}: the first row is empty; it must name the columns")
    return lines, separator


def read_sheet(path: Path) -> Sheet:
    """Read a clinical table as texts.

    Raises
    ------
    TableError
        As `read_lines`.
    """
    head, rows = read_lines(path)
    cells = tuple((number, dict(zip(head, line, strict=True))) for number, line in rows)
    return Sheet(path, tuple(head), cells)


def _plain(text: str) -> str:
    """Take off the mark by which a text is kept from being a formula."""
    return text[1:] if re.match(r"'[=+\-@\t\r]", text) else text


def need(sheet: Sheet, columns: Iterable[str]) -> None:
    """Check that columns are there under exactly these names.

    Raises
    ------
    TableError
        One is missing; says which column is likely meant.
    """
    for name in columns:
        if name in sheet.columns:
            continue
        alike = [other for other in sheet.columns if alike_key(other) == alike_key(name)]
        hint = f"; write {alike[0]!r} as {name}" if alike else ""
        raise TableError(f"{sheet.path}: no column {name}{hint}; found: {', '.join(sheet.columns)}")


def key_text(sheet: Sheet, row: int, column: str, text: str) -> str:
    """Check a text by which rows are joined.

    Raises
    ------
    TableError
        Empty, or with blanks that cannot be seen in a spreadsheet.
    """
    if not text.strip():
        raise sheet.error(row, column, f"empty; every row needs its {column}")
    tidy = " ".join(text.split())
    if tidy != text:
        raise sheet.error(
            row,
            column,
            f"{text!r} has a blank at its end or start, or a double or special one; "
            f"write it as {tidy!r}",
        )
    return text


def number(sheet: Sheet, row: int, column: str, text: str) -> float:
    """Read a number; NaN where the cell is empty.

    Raises
    ------
    TableError
        Not a plain number: says what to write instead.
    """
    tidy = text.strip()
    if not tidy:
        return float("nan")
    try:
        value = float(tidy)
    except ValueError:
        pass
    else:
        if math.isfinite(value) and "_" not in tidy:
            return value
    said = f"expected a number, found {text!r}"
    if _DATE.fullmatch(tidy):
        raise sheet.error(row, column, f"{said}; {AS_NUMBER}")
    if is_with_comma(tidy):
        raise sheet.error(row, column, f"{said}; {point_for(tidy)}")
    inner = _UNIT.fullmatch(tidy)
    if inner:
        plain = inner[1].replace(",", ".").lstrip("+")
        raise sheet.error(row, column, f"{said}; write the number alone: {plain}")
    raise sheet.error(row, column, f"{said}; leave the cell empty where it is not known")


def is_unknown(text: str) -> bool:
    """Whether a cell of the clinical table says that there is no value."""
    return text.strip().casefold() in ("", "na", "n/a", "nan")


def number_of(text: str) -> float:
    """Give the number that a text is, NaN where it is none."""
    try:
        value = float(text)
    except ValueError:
        return float("nan")
    return value if math.isfinite(value) else float("nan")


def looks_like_date(text: str) -> bool:
    """Whether a text is what spreadsheets make of something that looks like a date."""
    return bool(_DATE.fullmatch(text.strip()))


def alike_key(text: str) -> str:
    """Give what two spellings of one name have in common: case, blanks, zeros, a decimal 0."""
    plain = re.sub(r"[\s_]+", "", unicodedata.normalize("NFKC", text).casefold())
    plain = re.sub(r"^(\d+)\.0+$", r"\1", plain)
    return re.sub(r"(?<!\d)0+(?=\d)", "", plain)
