"""The command `imganalysis gate`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - read by typer
from typing import TYPE_CHECKING, Annotated

import typer

from imganalysis.errors import SettingsError
from imganalysis.words import plural

if TYPE_CHECKING:
    from imganalysis.gate_review import Review


def gate(
    results: Annotated[Path, typer.Argument(help="Folder of results of imganalysis run.")],
    gates: Annotated[
        Path | None,
        typer.Option(help="Look at the gates of this file (JSON, or scimap's CSV) instead."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for the figures; RESULTS/gates, or FILE_figures, by default.",
        ),
    ] = None,
    figures: Annotated[bool, typer.Option(help="Draw a figure per marker.")] = True,
    json_: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the table as JSON.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table as CSV.")
    ] = None,
    scimap: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the gates as scimap's CSV, one column per field."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="MARKER=VALUE", help="Set a gate by hand, in grey levels; repeatable."
        ),
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; needed with --set.")] = "",
    panel: Annotated[str | None, typer.Option(help="Set the gate of this panel only.")] = None,
    batch: Annotated[str | None, typer.Option(help="Of this staining batch only.")] = None,
    acquisition: Annotated[str | None, typer.Option(help="Of this acquisition only.")] = None,
    column: Annotated[str | None, typer.Option(help="On this column, of several.")] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Gates file that --set adds to; RESULTS/gates_by_hand.json by default.",
        ),
    ] = None,
) -> None:
    """Show each gate of a run, and what every rung of the ladder says of it.

    No image is read and no result changed. A gate set with --set goes into a gates file of its
    own, with its reason and what it was before; imganalysis run --gates FILE then uses it.

    Example:  imganalysis gate my_results --set CD3=3.1 --reason "lower gain in B1" --batch B1

    What each rung is, and what the words mean: docs/gates.md
    """
    from imganalysis.gate_review import review_gates, rung_table
    from imganalysis.report.gate_table import print_rungs
    from imganalysis.results import GATE_FIGURES, write_json
    from imganalysis.tables import write_csv

    place = {"panel": panel, "batch": batch, "acquisition": acquisition, "column": column}
    if not set_ and (reason or to or any(place.values())):
        raise SettingsError(
            "--reason, --to, --panel, --batch, --acquisition and --column belong to --set"
        )
    if set_:
        target = to or results / "gates_by_hand.json"
        begin = _checked_target(target, results, gates)
        _set_gates(results, begin, set_, reason, place, target)
        gates = target
    review = review_gates(results, gates)
    table = rung_table(review)
    print_rungs(table)
    if csv is not None:
        write_csv(csv, table)
    if json_ is not None:
        write_json(json_, {"gates": [g.model_dump(mode="json") for g in review.gates]})
    if scimap is not None:
        _write_scimap(scimap, review)
    if figures:
        own = results / GATE_FIGURES if gates is None else gates.with_name(f"{gates.stem}_figures")
        _draw(out or own, review)


def _checked_target(target: Path, results: Path, gates: Path | None) -> Path | None:
    """Check that gates set by hand may be written to a file; gives those to begin with."""
    from imganalysis.results import GATES

    if target.resolve() == (results / GATES).resolve():
        raise SettingsError(
            f"{target}: says which gates these results rest on, and is left as it is; "
            "give --to another file"
        )
    if target.suffix.lower() != ".json":
        raise SettingsError(f"{target}: --to names a gates file, .json")
    if not target.exists():
        return gates
    if gates is not None and gates.resolve() != target.resolve():
        raise SettingsError(
            f"{target}: is there already and is added to; give --to a new file to begin with "
            f"the gates of {gates}"
        )
    return target


def _set_gates(
    results: Path,
    begin: Path | None,
    changes: list[str],
    reason: str,
    place: dict[str, str | None],
    target: Path,
) -> None:
    """Set gates by hand and write them; says what they were, and which lie beyond all cells."""
    from imganalysis.classify.gates import Gate
    from imganalysis.classify.gates_file import write_gates
    from imganalysis.gate_changes import parse_change, set_by_hand
    from imganalysis.gate_review import outside_values, rated_gates, review_gates
    from imganalysis.report.gate_table import print_changes

    wanted = [parse_change(text) for text in changes]
    if len({marker for marker, _ in wanted}) < len(wanted):
        raise SettingsError("--set: a marker stands twice; the second would win in silence")
    review = review_gates(results, begin)
    held, changed = review.gates, list[Gate]()
    for marker, value in wanted:
        held, new = set_by_hand(held, marker, value, reason, **place)
        changed += new
    for said in outside_values(review, changed):
        typer.echo(f"imganalysis: warning: {said}", err=True)
    write_gates(target, rated_gates(review, held))
    print_changes(rated_gates(review, changed), target)


def _write_scimap(path: Path, review: Review) -> None:
    from imganalysis.classify.scimap_gates import write_scimap_gates

    log = review.settings.gating.scimap_log
    write_scimap_gates(path, review.gates, review.panels.values(), review.samples, log=log)
    scale = "log1p of grey levels" if log else "grey levels"
    typer.echo(f"{path}: written, values are {scale}")


def _draw(folder: Path, review: Review) -> None:
    from imganalysis.gate_review import shown_values
    from imganalysis.report.gate_figures import draw_gates

    band = review.settings.gating.indeterminate_band
    shown = [(s.gate, s.samples, s.controls, s.reference, band) for s in shown_values(review)]
    written = draw_gates(folder, shown)
    typer.echo(f"{folder}: {plural(len(written), 'figure')}")
