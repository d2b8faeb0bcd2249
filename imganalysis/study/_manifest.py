"""manifest.csv, read: the table that says what each image is."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from imganalysis.errors import StudyError, TableError
from imganalysis.study._model import ROLES, SAMPLE, Entry
from imganalysis.study._names import clean_text
from imganalysis.tables import read_csv
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MANIFEST = "manifest.csv"
MANIFEST_COLUMNS = (
    "biopsy", "patient", "lesion", "week", "section", "panel", "batch", "acquisition", "role",
    "stain", "section_um", "annotations", "path", "scene",
)  # fmt: skip
"""Columns with a meaning; any further one is carried to the results."""

RESERVED = re.compile(
    r"field|file|status|reason|message|flags|tile|n_planes|time_point|segmentation|"
    r"nuclear_contrast|focus|sha256|bleedthrough|flatfield|channel_shift|calibration|"
    r"death_marker_form|positive_control_ok_.*|"
    r"(n_|projection|pixel_size_).*|.*(_mm2|_per_mm2)",
    re.IGNORECASE,
)
"""Names of columns of the results, which no further column of a manifest may have."""

REQUIRED = ("biopsy", "path")
_OF_BIOPSY = ("patient", "lesion", "week")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First letters that make a spreadsheet take a text for a formula."""

_AT_ONCE = 20


def read_manifest(path: Path) -> tuple[list[Entry], tuple[str, ...]]:
    """Read a manifest.

    Commas, semicolons (as spreadsheets write them in many countries) and tabs separate alike.

    Parameters
    ----------
    path
        UTF-8, with or without a byte order mark. Paths in it are relative to its folder.

    Returns
    -------
    entries, columns
        One entry per row; names of the further columns.

    Raises
    ------
    StudyError
        A column or a file is missing, or a row cannot be understood.
    """
    header, rows = _cells(path)
    columns = tuple(name for name in header if name and name not in MANIFEST_COLUMNS)
    refuse_reserved(path, [name for name in columns if RESERVED.fullmatch(name)])
    entries = [
        _entry(path, line, dict(zip(header, cells, strict=True)), columns) for line, cells in rows
    ]
    if not entries:
        raise StudyError(f"{path}: no rows; expected one per image file or series")
    _check_files(path, entries)
    _check_repeats(path, entries)
    return _complete(path, entries), columns


def refuse_reserved(path: Path, taken: Iterable[str]) -> None:
    """Refuse columns of a manifest that have names of the results.

    Raises
    ------
    StudyError
        There are such columns; it names them.
    """
    names = ", ".join(taken)
    if names:
        raise StudyError(
            f"{path}: column(s) {names}: the results have columns of such names; rename them"
        )


def _cells(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header, and the rows that hold something with their line numbers."""
    try:
        table = read_csv(
            path,
            sep=_separator(path),
            header=None,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
        )
    except (TableError, OSError) as error:
        raise StudyError(f"{error}") from None
    lines = [
        (i + 1, [_text(cell) for cell in row])
        for i, row in enumerate(table.fillna("").itertuples(index=False))
    ]
    lines = [(line, cells) for line, cells in lines if any(cells)]
    expected = (
        f"expected {', '.join(MANIFEST_COLUMNS)}, of which {' and '.join(REQUIRED)} are needed"
    )
    if not lines:
        raise StudyError(f"{path}: empty; {expected}")
    known = {name.casefold(): name for name in MANIFEST_COLUMNS}
    header = [clean_text(name) for name in lines[0][1]]
    header = [known.get(name.casefold(), name) for name in header]
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        found = ", ".join(name for name in header if name)
        raise StudyError(
            f"{path}: missing column(s) {', '.join(missing)}; {expected}; found: {found}"
        )
    twice = [name for name, n in Counter(header).items() if name and n > 1]
    if twice:
        raise StudyError(f"{path}: column(s) named twice: {', '.join(twice)}; keep one of each")
    for line, cells in lines[1:]:
        stray = [cell for name, cell in zip(header, cells, strict=True) if cell and not name]
        if stray:
            raise StudyError(
                f"{path}, line {line}: {stray[0]!r} stands in a column without a name; "
                "name the column or empty it"
            )
    return header, lines[1:]


def _separator(path: Path) -> str:
    """Find what separates the cells of the first line that holds any."""
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        first = next((line for line in stream if line.strip(" ,;\t\r\n")), "")
    # A lone column without any separator is read as one with commas.
    return max(",;\t", key=first.count)


def _text(cell: object) -> str:
    text = str(cell).strip()
    # An apostrophe that keeps spreadsheets from computing a text is none of its own.
    return text[1:] if text[:1] == "'" and text[1:2] in FORMULA else text


def _entry(source: Path, line: int, row: dict[str, str], columns: Iterable[str]) -> Entry:
    where = f"{source}, line {line}"
    role = row.get("role", "").casefold().replace(" ", "_").replace("-", "_") or SAMPLE
    if role not in ROLES:
        raise StudyError(
            f"{where}: unknown role {row['role']!r}; expected one of {', '.join(ROLES)}"
        )
    if not row["path"]:
        raise StudyError(f"{where}: no path; expected an image file relative to {source.parent}")
    if role == SAMPLE and not row["biopsy"]:
        raise StudyError(f"{where}: a sample without a biopsy; give the biopsy or another role")
    section_um = _number(where, "section_um", row.get("section_um", ""))
    if section_um is not None and section_um <= 0:
        raise StudyError(f"{where}: section_um is a thickness in um, found {row['section_um']!r}")
    annotations = row.get("annotations", "")
    texts = ("patient", "lesion", "section", "panel", "batch", "acquisition", "stain", "scene")
    return Entry(
        _locate(source.parent, row["path"]),
        biopsy=row["biopsy"],
        week=_number(where, "week", row.get("week", "")),
        role=role,
        section_um=section_um,
        annotations=_locate(source.parent, annotations) if annotations else None,
        extra={name: row[name] for name in columns},
        line=line,
        **{name: row.get(name, "") for name in texts},  # type: ignore[arg-type]
    )


def _number(where: str, column: str, text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise StudyError(f"{where}: {column} is a number, or empty where unknown; found {text!r}")
    return value


def _locate(folder: Path, text: str) -> Path:
    """Find the file that a manifest means; its text may come from another operating system."""
    candidates = [
        folder / form
        for slashes in (text, text.replace("\\", "/"))
        for form in (slashes, *(unicodedata.normalize(f, slashes) for f in ("NFC", "NFD")))
    ]
    return next((path for path in candidates if path.exists()), folder / text)


def _check_files(source: Path, entries: list[Entry]) -> None:
    missing: dict[Path, int] = {}
    for entry in entries:
        for path in (entry.path, entry.annotations):
            if path is not None and not path.exists():
                missing.setdefault(path, entry.line)
    if missing:
        shown = [f"{path} (line {line})" for path, line in missing.items()]
        rest = f"; and {len(shown) - _AT_ONCE} more" * (len(shown) > _AT_ONCE)
        raise StudyError(
            f"{source}: {plural(len(missing), 'file')} not found: "
            f"{'; '.join(shown[:_AT_ONCE])}{rest}. Paths are relative to {source.parent}"
        )


def _check_repeats(source: Path, entries: list[Entry]) -> None:
    seen: dict[tuple[Path, str], int] = {}
    for entry in entries:
        key = (entry.path.resolve(), entry.scene)
        if key in seen:
            what = f", scene {entry.scene!r}," if entry.scene else ""
            raise StudyError(
                f"{source}, lines {seen[key]} and {entry.line}: {entry.path.name}{what} stands "
                "twice; remove one row, or give each its scene"
            )
        seen[key] = entry.line


def _complete(source: Path, entries: list[Entry]) -> list[Entry]:
    """Give every row of a biopsy its patient, lesion and week, and check that they agree."""
    told: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        if entry.role != SAMPLE:
            continue
        for name in _OF_BIOPSY:
            value = getattr(entry, name)
            if value in ("", None):
                continue
            first = told.setdefault((entry.biopsy, name), entry)
            if getattr(first, name) != value:
                raise StudyError(
                    f"{source}, lines {first.line} and {entry.line}: two biopsies are called "
                    f"'{entry.biopsy}', one of {name} '{_shown(getattr(first, name))}' and one of "
                    f"{name} '{_shown(value)}'; give each biopsy a name of its own"
                )
    complete = []
    for entry in entries:
        if entry.role == SAMPLE:
            own = {n: told[entry.biopsy, n] for n in _OF_BIOPSY if (entry.biopsy, n) in told}
            entry = replace(entry, **{n: getattr(other, n) for n, other in own.items()})
            entry = entry if entry.patient else replace(entry, patient=entry.biopsy)
        complete.append(entry)
    return complete


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
