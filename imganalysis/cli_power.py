"""The command `imganalysis power`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - read by typer
from typing import Annotated

import typer

from imganalysis.errors import SettingsError


def power(
    p: Annotated[float | None, typer.Option(help="Share, 0 to 1; 0.4 else.")] = None,
    p2: Annotated[
        float | None, typer.Option(help="Share in the other group or week; 0.2 else.")
    ] = None,
    rho: Annotated[
        float | None, typer.Option(help="Correlation of cells of one field; 0.05 else.")
    ] = None,
    fields: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Numbers of fields to try.")
    ] = None,
    cells: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Numbers of cells per field to try.")
    ] = None,
    patients: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Numbers of patients to try.")
    ] = None,
    within: Annotated[
        float | None, typer.Option(help="Wanted half width for one biopsy, points; 6 else.")
    ] = None,
    wanted: Annotated[float | None, typer.Option("--power", help="Wanted power; 0.8 else.")] = None,
    rare: Annotated[float | None, typer.Option(help="Share of a rare class; 0.03 else.")] = None,
    floor: Annotated[
        float | None, typer.Option(help="Share that false calls alone give; 0.01 else.")
    ] = None,
    patient_sd: Annotated[
        float | None, typer.Option(help="SD of patients' logits; 0.8 else.")
    ] = None,
    field_sd: Annotated[
        float | None,
        typer.Option(help="SD of fields' logits; from p and rho where rho is given, 0.5 else."),
    ] = None,
    correlation: Annotated[
        float | None, typer.Option(help="Of the logits of a patient's two weeks; 0.5 else.")
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option("--from", metavar="RESULTS", help="Estimate from the results of a run."),
    ] = None,
    fraction: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of these results; the endpoint else.")
    ] = None,
    week: Annotated[
        str | None,
        typer.Option(
            metavar="W[,W]",
            help="Week of these results that p is of, and that p2 is of; p of the first else.",
        ),
    ] = None,
    bootstrap: Annotated[
        bool, typer.Option(help="Show what a bootstrap of fields would give, too.")
    ] = False,
    repeats: Annotated[int | None, typer.Option(help="Draws of each; 1000 else.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same tables; 2003 else.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for tables and a figure.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace earlier tables and figure.")] = False,
) -> None:
    """Say how many fields, cells and patients are needed, by simulation.

    What is not given is estimated from the results of a run (--from), or taken from the
    defaults; the table of what was assumed says which.

    Example:  imganalysis power --from my_results --p2 0.2 --out my_power

    What is drawn, and what it leaves out: docs/power.md
    """
    from imganalysis.agreeing import check_folder
    from imganalysis.powering import NAMES, answer, make_question, write_power
    from imganalysis.report.power import print_power
    from imganalysis.report.terminal import Progress

    if out is not None:
        check_folder(out, [], names=NAMES, overwrite=overwrite)
    asked, assumptions = make_question(
        {
            "p": p,
            "p_second": p2,
            "rho": rho,
            "fields": _numbers("--fields", fields),
            "cells": _numbers("--cells", cells),
            "patients": _numbers("--patients", patients),
            "within": within,
            "power": wanted,
            "rare": rare,
            "floor": floor,
            "patient_sd": patient_sd,
            "field_sd": field_sd,
            "correlation": correlation,
            "repeats": repeats,
            "seed": seed,
        },
        results=from_,
        fraction=fraction,
        weeks=_weeks(week),
    )
    with Progress() as progress:
        found = answer(asked, assumptions, bootstrap=bootstrap, progress=progress)
    print_power(found.assumptions, found.precision, found.rare, found.patients, found.answers)
    if out is not None:
        write_power(out, found)
        typer.echo(f"Written: {out}")


def _numbers(option: str, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise SettingsError(
            f"{option}: expected whole numbers with commas between, such as 5,10,20; got {text!r}"
        ) from None


def _weeks(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(
            f"--week: expected a week, or two with a comma between, such as 0,1; got {text!r}"
        ) from None
