"""The folder of a cohort: its tables, workbook, figures and record."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

from imganalysis import __version__
from imganalysis import tables_cohort as c
from imganalysis.errors import OutputError
from imganalysis.io import file_hash
from imganalysis.report.cohort_figures import (
    groups_figure,
    na_figure,
    survival_figure,
    weeks_figure,
)
from imganalysis.results import BIOPSIES, write_json
from imganalysis.run_file import RUN
from imganalysis.tables import write_atomic, write_csv, write_xlsx

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from imganalysis.cohorting import Asked, CohortResult

RECORD, WORKBOOK, FIGURES = "cohort.json", "cohort.xlsx", "figures"
OUR_KEY = "imganalysis_cohort"
TABLES = (
    "cohort.csv", "by_week.csv", "tests.csv", "na_by_week.csv", "marker_loss.csv",
    "response.csv", "response_rates.csv", "survival.csv",
)  # fmt: skip


def check_cohort_target(out: Path, *, overwrite: bool) -> None:
    """Check early that a cohort may be written to a folder.

    Raises
    ------
    OutputError
        It is a file, or holds something that is no earlier cohort, or `overwrite` is not given.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; --out names a folder")
    if not out.is_dir() or not any(out.iterdir()):
        return
    try:
        ours = OUR_KEY in json.loads((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        ours = False
    if not ours:
        raise OutputError(
            f"{out}: is not empty and holds no cohort of imganalysis ({RECORD}), so nothing in it "
            "is replaced; choose another folder with --out"
        )
    if not overwrite:
        raise OutputError(
            f"{out}: holds a cohort; give --overwrite to replace it, or another --out"
        )


def write_cohort(
    out: Path,
    result: CohortResult,
    asked: Asked,
    folders: Sequence[Path],
    clinical: Path,
    *,
    figures: bool = True,
    overwrite: bool = False,
) -> None:
    """Write tables, workbook, figures and the record of a cohort.

    Parameters
    ----------
    out
        Folder; what is left of an earlier cohort in it is removed.
    result, asked, folders, clinical
        What was found, what was asked, and of what.
    figures
        Whether to draw.
    overwrite
        As in `check_cohort_target`.

    Raises
    ------
    OutputError
        The folder cannot be written, or holds something.
    """
    check_cohort_target(out, overwrite=overwrite)
    found: dict[str, pd.DataFrame | None] = dict(
        zip(
            TABLES,
            (
                result.cohort, result.by_week, result.tests, result.na, result.losses,
                result.responses, result.rates, result.survival,
            ),
            strict=True,
        )
    )  # fmt: skip
    tables = {name: table for name, table in found.items() if table is not None}
    drawn = cohort_figures(result) if figures else {}
    try:
        for name in (*TABLES, WORKBOOK):
            (out / name).unlink(missing_ok=True)
        shutil.rmtree(out / FIGURES, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be replaced ({error.strerror or error})") from None
    # First, so that what is written next is known for ours.
    write_json(
        out / RECORD,
        {
            OUR_KEY: __version__,
            "results": [
                {"folder": str(p), BIOPSIES: file_hash(p / BIOPSIES), RUN: file_hash(p / RUN)}
                for p in folders
            ],
            "clinical": {"file": str(clinical), "sha256": file_hash(clinical)},
            "asked": vars(asked),
            "notes": list(result.notes),
        },
    )
    for name, table in tables.items():
        write_csv(out / name, table)
    write_xlsx(out / WORKBOOK, {name.removesuffix(".csv"): t for name, t in tables.items()})
    for name, data in drawn.items():
        _write_bytes(out / FIGURES / name, data)


def _write_bytes(path: Path, data: bytes) -> None:
    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    write_atomic(path, write)


def cohort_figures(result: CohortResult) -> dict[str, bytes]:
    """Draw everything there is to see of a cohort: file name -> PNG."""
    out: dict[str, bytes] = {}
    for endpoint in result.endpoints:
        name, (factor, title) = endpoint.name, endpoint.shown
        if result.cohort[name].notna().any():
            out[f"{_file(name)}_by_week.png"] = weeks_figure(
                result.cohort, result.biopsies, result.na, name, title, factor
            )
            for groups in result.groups:
                if len(groups.groups) > 1 and not groups.numbers:
                    of = [groups.of.get(p, "") for p in result.cohort[c.PATIENT]]
                    out[f"{_file(name)}_by_{_file(groups.name)}.png"] = groups_figure(
                        result.cohort, name, title, factor, groups.name, of, groups.groups
                    )
    fractions = [e.name for e in result.endpoints if e.count] or [result.endpoints[0].name]
    out["na_by_week.png"] = na_figure(result.na, fractions)
    if result.survival is not None:
        for key, table in result.survival.groupby(c.GROUP_BY, sort=False):
            by = str(key)
            title = f"survival by {by}" if by else "survival of all patients"
            name = f"survival_by_{_file(by)}.png" if by else "survival.png"
            out[name] = survival_figure(table, title)
    return out


def _file(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text)


def rates_shown(rates: pd.DataFrame | None) -> list[list[Any]]:
    """Rows of the printed table of responses."""
    if rates is None:
        return []
    return [
        [row[c.LEVEL], row[c.RESPONSE], f"{row['n']} of {row['of']}",
         f"{row['percent']:.0f} % ({row[c.LO]:.0f}\N{EN DASH}{row[c.HI]:.0f})"]
        for _, row in rates.iterrows()
    ]  # fmt: skip
