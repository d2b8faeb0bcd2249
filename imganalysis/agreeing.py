"""Agreement with readers from files to files: read, compare, write tables and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from imganalysis import results
from imganalysis import tables as t
from imganalysis.cohort.biopsy_agreement import BiopsyAgreement, compare_biopsies
from imganalysis.cohort.cell_agreement import CellAgreement, compare_cells
from imganalysis.cohort.cell_tables import (
    check_classes,
    read_cells,
    read_clicks,
    rename_classes,
)
from imganalysis.cohort.matching import DISTANCE_UM
from imganalysis.cohort.readings import check_scale, read_readings, read_text
from imganalysis.errors import OutputError, SettingsError, TableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from imganalysis.cohort.agreement import Statistic
    from imganalysis.cohort.biopsy_agreement import Comparison
    from imganalysis.report.agreement import PairPanel

AGREEMENT, PAIRS = "agreement.csv", "pairs.csv"
CONFUSION, PER_CLASS = "confusion.csv", "per_class.csv"
BLAND_ALTMAN, SCATTER, HEAT = "bland_altman.png", "scatter.png", "confusion.png"
NAMES = (AGREEMENT, PAIRS, CONFUSION, PER_CLASS, BLAND_ALTMAN, SCATTER, HEAT)
"""Files that are written."""


def is_of_cells(paths: Sequence[Path]) -> bool:
    """Whether readers' tables are of cells and not of biopsies, by their columns.

    Raises
    ------
    TableError
        They are of neither, or some of one and some of the other.
    """
    kinds = []
    for path in paths:
        columns = list(read_text(path).columns)
        of_cells = {t.FIELD, t.CLASS} <= set(columns)
        if not of_cells and t.BIOPSY not in columns:
            named = {t.BIOPSY, t.FIELD, t.CLASS}
            alike = [f"{one!r} as {one.casefold()}" for one in columns if one.casefold() in named]
            hint = f"; write {', '.join(alike)}" if alike else ""
            raise TableError(
                f"{path}: expected a table of biopsies ({t.BIOPSY} and {t.FRACTION}, "
                f"{t.PERCENT} or {t.N_POSITIVE} and {t.N_TOTAL}) or of cells ({t.FIELD}, "
                f"{t.CLICK_X}, {t.CLICK_Y}, {t.CLASS}); found: {', '.join(columns)}{hint}"
            )
        kinds.append(of_cells)
    if len(set(kinds)) > 1:
        raise TableError(
            f"{', '.join(map(str, paths))}: some are of cells and some of biopsies; "
            "compare them apart"
        )
    return kinds[0]


def agree_on_biopsies(
    ours: Path,
    theirs: Sequence[Path],
    *,
    column: str | None = None,
    their_column: str | None = None,
    unit: str | None = None,
    confidence: float = 0.95,
) -> BiopsyAgreement:
    """Compare our fraction of each biopsy with readers'.

    Parameters
    ----------
    ours
        ``biopsies.csv``, or a folder of results.
    theirs
        Tables with the columns of `imganalysis.tables.READER_BIOPSY_COLUMNS`.
    column, their_column
        To compare, where the names do not tell.
    unit
        Of the readers' column, ``fraction`` or ``percent``; then it is not questioned.
    confidence
        Of the intervals.

    Raises
    ------
    SettingsError
        An unknown unit.
    TableError
        A table is not as it must be.
    """
    if unit not in (None, t.FRACTION, t.PERCENT):
        raise SettingsError(f"--unit is {t.FRACTION} or {t.PERCENT}, got {unit}")
    own = ours / results.BIOPSIES if ours.is_dir() else ours
    mine = read_readings([own], value=column, name="imganalysis")
    also = None if mine.column in (t.FRACTION, t.PERCENT) else mine.column
    readers = read_readings(theirs, value=their_column, unit=unit, also=also)
    if unit is None:
        check_scale(mine, readers)
    return compare_biopsies(mine, readers, confidence=confidence)


def agree_on_cells(
    ours: Path,
    theirs: Sequence[Path],
    *,
    distance_um: float = DISTANCE_UM,
    same: Mapping[str, str] | None = None,
    confidence: float = 0.95,
    progress: Callable[[str, int, int], None] | None = None,
) -> CellAgreement:
    """Compare our class of each cell with readers'.

    Parameters
    ----------
    ours
        A table as in ``cells/``, a folder of them, or a folder of results.
    theirs
        Tables with the columns of `imganalysis.tables.READER_CELL_COLUMNS`.
    distance_um
        Farthest that a click may lie from the centroid of its cell.
    same
        Class -> class that it is taken for, on both sides.
    confidence
        Of the intervals.
    progress
        Called with (step, done, total).

    Raises
    ------
    SettingsError
        An impossible distance, or a class that no side has.
    TableError
        A table is not as it must be.
    """
    if not 0 < distance_um < np.inf:
        raise SettingsError(f"--distance is a length in um above 0, got {distance_um}")
    clicks = read_clicks(theirs)
    cells = read_cells(_cell_files(ours, set(clicks[t.FIELD])))
    for name in same or {}:
        if name not in set(cells[t.PHENOTYPE]) | set(clicks[t.CLASS]):
            raise SettingsError(f"--same {name}=...: no cell of either side is of that class")
    cells = rename_classes(cells, t.PHENOTYPE, same or {})
    clicks = rename_classes(clicks, t.CLASS, same or {})
    notes = check_classes(cells[t.PHENOTYPE], clicks[t.CLASS])
    found = compare_cells(
        cells, clicks, distance_um=distance_um, confidence=confidence, progress=progress
    )
    more = (*notes, *(f"{a} was taken for {b}" for a, b in (same or {}).items()))
    return CellAgreement(
        found.agreement, found.per_class, found.confusions, found.pairs, (*found.notes, *more)
    )


def _cell_files(ours: Path, fields: set[str]) -> list[Path]:
    """Our tables of the fields that were read; of a folder without one of them, all."""
    if not ours.is_dir():
        return [ours]
    folder = ours / results.CELLS if (ours / results.CELLS).is_dir() else ours
    files = sorted(folder.glob("*.parquet")) or sorted(folder.glob("*.csv"))
    if not files:
        raise TableError(f"{folder}: holds no table of cells (.parquet or .csv)")
    return [path for path in files if path.stem in fields] or files


def check_folder(
    out: Path, inputs: Sequence[Path], *, names: Sequence[str] = NAMES, overwrite: bool
) -> None:
    """Check early that tables and figures may be written into a folder.

    Raises
    ------
    OutputError
        It is a file, holds files of these names (and `overwrite` is not asked for), or one of
        them is read.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; --out names a folder")
    there = [name for name in names if (out / name).exists()]
    read = {path.resolve() for path in inputs}
    if lost := [name for name in there if (out / name).resolve() in read]:
        raise OutputError(f"{out / lost[0]}: is read, and would be replaced; choose another --out")
    if there and not overwrite:
        raise OutputError(
            f"{out}: holds {', '.join(there)}; give --overwrite to replace them, or another --out"
        )


def _clear(out: Path) -> None:
    """Take away what an earlier comparison left, so that no old file stands beside new ones."""
    for name in NAMES:
        (out / name).unlink(missing_ok=True)


def write_biopsy_agreement(out: Path, found: BiopsyAgreement, level: str = "95 %") -> None:
    """Write agreement.csv, pairs.csv and the figures.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    from imganalysis.report.agreement import draw_bland_altman, draw_scatter

    _clear(out)
    t.write_csv(out / AGREEMENT, found.agreement)
    t.write_csv(out / PAIRS, found.pairs)
    panels = [_panel(one) for one in found.comparisons]
    draw_bland_altman(out / BLAND_ALTMAN, panels, level)
    draw_scatter(out / SCATTER, panels)


def _panel(one: Comparison) -> PairPanel:
    from imganalysis.report.agreement import PairPanel

    both = one.pairs[one.pairs["status"] == "paired"]
    icc = "NA" if np.isnan(one.icc.value) else f"{one.icc.value:.2f}"
    if np.isfinite(one.icc.lo):
        icc += f" ({one.icc.lo:.2f} to {one.icc.hi:.2f})"
    return PairPanel(
        one.first,
        one.second,
        both["first_percent"].to_numpy(dtype=float),
        both["second_percent"].to_numpy(dtype=float),
        _limits(one.bland_altman.bias),
        _limits(one.bland_altman.lower),
        _limits(one.bland_altman.upper),
        (one.bland_altman.slope.value, one.bland_altman.intercept),
        f"n = {len(both)}, ICC(2,1) {icc}",
    )


def _limits(value: Statistic) -> tuple[float, float, float]:
    return value.value, value.lo, value.hi


def write_cell_agreement(out: Path, found: CellAgreement) -> None:
    """Write agreement.csv, per_class.csv, confusion.csv, pairs.csv and the figure.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    from imganalysis.report.agreement import draw_confusions

    _clear(out)
    t.write_csv(out / AGREEMENT, found.agreement)
    t.write_csv(out / PER_CLASS, found.per_class)
    t.write_csv(out / PAIRS, found.pairs)
    long = [
        {"comparison": name, "first_class": i, "second_class": j, "n_cells": int(crossed.loc[i, j])}
        for name, crossed in found.confusions.items()
        for i in crossed.index
        for j in crossed.columns
    ]
    columns = ["comparison", "first_class", "second_class", "n_cells"]
    t.write_csv(out / CONFUSION, pd.DataFrame(long, columns=columns))
    draw_confusions(out / HEAT, found.confusions)
