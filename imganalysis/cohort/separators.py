"""What parts cells and decimals in a table that a spreadsheet wrote."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from imganalysis import tables as t
from imganalysis.errors import TableError
from imganalysis.tables_cohort import LESION, PATIENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
NAMES = frozenset({PATIENT, LESION, t.BIOPSY, t.FIELD, t.READER, t.CLASS})
"""Columns of names, in which nothing is taken for a number."""

_COMMA = re.compile(r"[+-]?\d+,\d+")
_POINT = re.compile(r"[+-]?\d+\.\d+")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?")

Line = tuple[int, list[str]]
"""Number of the row in the spreadsheet, and its cells."""


def separator_of(head: str) -> str:
    """Find what parts the names of the columns: commas, semicolons or tabs."""
    found = {sep: len(next(csv.reader([head], delimiter=sep), [])) for sep in SEPARATORS}
    return max(found, key=lambda sep: found[sep])


def with_points(path: Path, head: Sequence[str], rows: Iterable[Line], separator: str) -> None:
    """Put decimal points for decimal commas, where the cells are not parted by commas.

    Parameters
    ----------
    path
        For messages.
    head
        Names of the columns.
    rows
        Changed in place; each as long as the head.
    separator
        Where it is a comma nothing is changed: there ``1,500`` may be 1500.

    Raises
    ------
    TableError
        A column has decimal commas and points, or points that may part thousands.
    """
    if separator == ",":
        return
    rows = list(rows)
    kinds = {name: _kinds(i, rows) for i, name in enumerate(head) if name not in NAMES}
    commas = any("comma" in found for found in kinds.values())
    points = any("point" in found for found in kinds.values())
    for i, name in enumerate(head):
        found = kinds.get(name, {})
        doubtful = commas or (separator == ";" and not points)
        if "thousands" in found and ("comma" in found or ("point" not in found and doubtful)):
            at, text = found["thousands"]
            raise TableError(
                f"{path}, row {at}, column {name}: does the point in {text!r} part thousands, or "
                f"decimals? Write {text.replace('.', '').replace(',', '.')}, or the decimals with "
                "a comma"
            )
        if "comma" in found and "point" in found:
            (at, text), (other, point) = found["comma"], found["point"]
            raise TableError(
                f"{path}, column {name}: decimal comma in row {at} ({text}), decimal point in row "
                f"{other} ({point}); write all numbers in one way"
            )
        if "comma" in found:
            for _, cells in rows:
                if _COMMA.fullmatch(cells[i].strip()):
                    cells[i] = cells[i].replace(",", ".")


def _kinds(column: int, rows: Iterable[Line]) -> dict[str, tuple[int, str]]:
    """How numbers are written in a column: the first row and text of each way."""
    found: dict[str, tuple[int, str]] = {}
    for at, cells in rows:
        text = cells[column].strip()
        for kind, pattern in (("comma", _COMMA), ("thousands", _THOUSANDS), ("point", _POINT)):
            if pattern.fullmatch(text):
                found.setdefault(kind, (at, text))
                break
    return found


def is_with_comma(text: str) -> bool:
    """Whether a text is a number with a comma: decimals, or thousands."""
    return bool(_COMMA.fullmatch(text.strip()))


def point_for(text: str) -> str:
    """Say how to write a number with a comma where commas part the cells."""
    tidy = text.strip()
    said = f"write a dot: {tidy.replace(',', '.')}"
    if re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", tidy):
        return f"{said}, or {tidy.replace(',', '')} if the comma parts thousands"
    return said
