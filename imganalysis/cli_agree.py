"""The command `imganalysis agree`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - read by typer
from typing import Annotated

import typer

from imganalysis.errors import SettingsError


def agree(
    ours: Annotated[
        Path,
        typer.Argument(
            metavar="OURS",
            help="Our biopsies.csv or table of cells, or the folder of results that holds both.",
        ),
    ],
    theirs: Annotated[
        list[Path],
        typer.Argument(
            metavar="THEIRS...",
            help="Tables of readers: of biopsies (biopsy, and fraction, percent, or positive and "
            "total) or of cells (field, x_um, y_um, class). Several readers as a column `reader` "
            "or as several files.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for tables and figures.")
    ] = None,
    ours_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column of ours; the panel's endpoint else."),
    ] = None,
    theirs_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of theirs, if of another name.")
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(metavar="fraction|percent", help="Unit of theirs; then not questioned."),
    ] = None,
    distance: Annotated[
        float | None,
        typer.Option(metavar="UM", help="Farthest from a centroid that a click means the cell."),
    ] = None,
    same: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS=CLASS",
            help="Take one class for another, on both sides; may be repeated.",
        ),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    overwrite: Annotated[bool, typer.Option(help="Replace earlier tables and figures.")] = False,
) -> None:
    """Compare our numbers with what pathologists read: per biopsy, or cell by cell.

    Readers are compared with each other first: ours is judged by how far they differ.

    Example:  imganalysis agree my_results readers.csv --out my_agreement

    The tables of readers, and what is asked of agreement: docs/agreement.md
    """
    from imganalysis.agreeing import check_folder, is_of_cells

    if not 0.5 <= confidence < 1:
        raise SettingsError(f"--confidence lies from 0.5 to below 1, got {confidence}")
    if out is not None:
        check_folder(out, [ours, *theirs], overwrite=overwrite)
    if is_of_cells(theirs):
        if ours_column or theirs_column or unit:
            raise SettingsError(
                "--ours-column, --theirs-column and --unit are for tables of biopsies; "
                "these are of cells"
            )
        _agree_on_cells(ours, theirs, out, distance, same or [], confidence)
    else:
        if same or distance is not None:
            raise SettingsError(
                "--same and --distance are for tables of cells; these are of biopsies"
            )
        _agree_on_biopsies(ours, theirs, out, ours_column, theirs_column, unit, confidence)
    if out is not None:
        typer.echo(f"Written: {out}")


def _agree_on_cells(
    ours: Path,
    theirs: list[Path],
    out: Path | None,
    distance: float | None,
    same: list[str],
    confidence: float,
) -> None:
    from imganalysis.agreeing import agree_on_cells, write_cell_agreement
    from imganalysis.cohort.matching import DISTANCE_UM
    from imganalysis.report.agreement_text import print_cell_agreement
    from imganalysis.report.terminal import Progress

    with Progress() as progress:
        found = agree_on_cells(
            ours,
            theirs,
            distance_um=DISTANCE_UM if distance is None else distance,
            same=_classes(same),
            confidence=confidence,
            progress=progress,
        )
    print_cell_agreement(
        found.agreement, found.per_class, found.confusions, found.notes, _level(confidence)
    )
    if out is not None:
        write_cell_agreement(out, found)


def _agree_on_biopsies(
    ours: Path,
    theirs: list[Path],
    out: Path | None,
    column: str | None,
    their_column: str | None,
    unit: str | None,
    confidence: float,
) -> None:
    from imganalysis.agreeing import agree_on_biopsies, write_biopsy_agreement
    from imganalysis.report.agreement_text import print_biopsy_agreement

    found = agree_on_biopsies(
        ours, theirs, column=column, their_column=their_column, unit=unit, confidence=confidence
    )
    print_biopsy_agreement(found.agreement, found.notes, _level(confidence))
    if out is not None:
        write_biopsy_agreement(out, found, _level(confidence))


def _level(confidence: float) -> str:
    return f"{100 * confidence:g} %"


def _classes(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, other = (part.strip() for part in pair.partition("="))
        if not name or not equals or not other:
            raise SettingsError(f"--same is CLASS=CLASS, got {pair!r}")
        found[name] = other
    return found
