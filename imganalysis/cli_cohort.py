"""The command `imganalysis cohort`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - read by typer
from typing import Annotated

import typer

from imganalysis.errors import SettingsError


def cohort(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS...", help="Folders that imganalysis run wrote."),
    ],
    clinical: Annotated[
        Path,
        typer.Option(
            metavar="TABLE.csv",
            help="Clinical table: a column patient, and any others; with lesion a row is a "
            "lesion, with week a visit.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for tables and figures.")],
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of the clinical table that makes groups; may be repeated. response and "
            "dose by default.",
        ),
    ] = None,
    endpoint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of biopsies.csv to compare; may be repeated. All fractions and densities "
            "by default. Fewer endpoints, fewer tests to adjust for.",
        ),
    ] = None,
    survival_by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column by which survival is shown; as --by."),
    ] = None,
    landmark: Annotated[
        float | None,
        typer.Option(
            metavar="WEEK",
            help="Show survival by response too, of those still followed at this week.",
        ),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    allow_unmatched: Annotated[
        bool,
        typer.Option(
            "--allow-unmatched",
            help="Keep patients that have no biopsy, or no row in the clinical table.",
        ),
    ] = False,
    figures: Annotated[bool, typer.Option(help="Draw figures/.")] = True,
    overwrite: Annotated[
        bool, typer.Option(help="Replace an earlier cohort in the folder.")
    ] = False,
) -> None:
    """Compare biopsies over weeks and between groups of patients; the unit is the patient.

    Writes cohort.csv, by_week.csv, tests.csv, na_by_week.csv and, where the tables have what it
    takes, marker_loss.csv, response.csv and survival.csv, a workbook and figures.

    Example:  imganalysis cohort my_results --clinical clinical.csv --by dose --out my_cohort

    The clinical table, and what is tested how: docs/cohort.md
    """
    if not 0.5 <= confidence < 1:
        raise SettingsError(f"--confidence: expected 0.5 to 1, e.g. 0.95; found {confidence:g}")
    from imganalysis.cohort_results import check_cohort_target, rates_shown, write_cohort
    from imganalysis.cohorting import Asked, analyse_cohort
    from imganalysis.report.cohort_terminal import print_cohort

    check_cohort_target(out, overwrite=overwrite)
    asked = Asked(
        by=tuple(by or ()),
        endpoints=tuple(endpoint or ()),
        survival_by=tuple(survival_by or ()),
        landmark=landmark,
        confidence=confidence,
        allow_unmatched=allow_unmatched,
    )
    result = analyse_cohort(results, clinical, asked)
    write_cohort(out, result, asked, results, clinical, figures=figures, overwrite=overwrite)
    fractions = [e for e in result.endpoints if e.count] or list(result.endpoints)
    print_cohort(
        result.by_week,
        result.na,
        result.tests,
        rates_shown(result.rates),
        [(e.name, *e.shown) for e in fractions],
        [e.name for e in result.endpoints if e.main or len(result.endpoints) == 1],
        result.notes,
        out,
        confidence,
    )
