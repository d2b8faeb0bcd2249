"""The commands `imganalysis panel ...`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - read by typer
from typing import Annotated

import typer

from imganalysis.words import plural

_MOST_STATES = 20
"""Combinations of calls that are printed."""

panel_app = typer.Typer(
    help="Panels: which channel shows which marker, and what a set of calls means.",
    no_args_is_help=True,
)


@panel_app.command("list")
def panel_list() -> None:
    """List the built-in panels."""
    from imganalysis.panel import builtin_panels, load_panel

    for name in builtin_panels():
        typer.echo(f"{name:12} {load_panel(name).title}")


@panel_app.command("show")
def panel_show(name: Annotated[str, typer.Argument(help="Built-in name or a file.")]) -> None:
    """Print a panel file, to copy and change."""
    from imganalysis.panel import load_panel, panel_path

    load_panel(name)
    typer.echo(panel_path(name).read_text(encoding="utf-8"), nl=False)


@panel_app.command("check")
def panel_check(name: Annotated[str, typer.Argument(help="Built-in name or a file.")]) -> None:
    """Check a panel file: dyes that clash, and a phenotype table with gaps or overlaps."""
    from imganalysis.panel import load_panel, panel_notes

    panel = load_panel(name)
    for note in panel_notes(panel):
        typer.echo(f"note: {note}")
    typer.echo(
        f"{panel.name}: sound. {plural(len(panel.channels), 'channel')}, "
        f"{plural(len(panel.phenotypes), 'row')} in the phenotype table, "
        f"{plural(len(panel.fractions), 'fraction')}."
    )


@panel_app.command("from-scimap")
def panel_from_scimap(
    workflow: Annotated[
        Path,
        typer.Argument(
            metavar="WORKFLOW.csv",
            help="Columns parent, phenotype, then one per marker with pos, neg, anypos, anyneg, "
            "allpos or allneg.",
        ),
    ],
    panel: Annotated[
        str, typer.Option("--panel", "-p", metavar="NAME|FILE", help="Panel with the channels.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Panel file to write (YAML).")],
    undecided: Annotated[
        str,
        typer.Option(
            metavar="own|first",
            help="Calls with which the intensities decide in scimap. own: a class of its own, "
            "named after all phenotypes that it may be. first: what scimap gives on a table of "
            "0 and 1, the first of equal scores.",
        ),
    ] = "own",
    overwrite: Annotated[bool, typer.Option(help="Replace the file.")] = False,
) -> None:
    """Turn a phenotype workflow of scimap into a panel file."""
    from imganalysis.classify.workflow import flatten, read_workflow
    from imganalysis.classify.workflow_panel import open_states, workflow_panel, write_panel
    from imganalysis.errors import OutputError, SettingsError
    from imganalysis.panel import load_panel

    if undecided not in ("own", "first"):
        raise SettingsError(f"--undecided: expected own or first, found {undecided!r}")
    if out.exists() and not overwrite:
        raise OutputError(f"{out}: is there already; give --overwrite to replace it")
    binary = undecided == "first"
    base = load_panel(panel)
    read = read_workflow(workflow)
    made = workflow_panel(read, base, _panel_name(out), binary=binary, source=str(workflow))
    left_open = open_states(made, flatten(read, binary=binary))
    how = "as scimap has it on 0 and 1" if binary else "classes named A_or_B leave it open"
    write_panel(
        out,
        made,
        [
            f"Channels of the panel {base.name}; phenotypes of {workflow.name}, {how}.",
            "Roles (tumour, infiltrate, ...), apoptotic classes and fractions are yours to add.",
        ],
    )
    typer.echo(
        f"{out}: {plural(len(made.phenotypes), 'row')}, {plural(len(made.classes), 'class')}."
    )
    settled = [name for name in made.classes if name not in left_open]
    typer.echo(f"Told by calls alone: {', '.join(settled) or 'none'}")
    for line in _open_lines(left_open):
        typer.echo(line)
    typer.echo(
        f"Add roles and fractions to the file (docs/panels.md), then: imganalysis panel check {out}"
    )


def _open_lines(states: dict[str, list[str]]) -> list[str]:
    """List the calls that are not decided, no more than can be read at once."""
    if not states:
        return []
    lines = ["Not decided by calls: scimap goes by the intensities, or finds nothing."]
    left = _MOST_STATES
    for name, calls in states.items():
        lines.append(f"  {name}, {plural(len(calls), 'combination')} of calls:")
        shown = calls[:left]
        lines += [f"    {one}" for one in shown]
        if more := len(calls) - len(shown):
            lines.append(f"    {more} more, in the file" if shown else "    in the file")
        left -= len(shown)
    return lines


def _panel_name(out: Path) -> str:
    import re

    return re.sub(r"[^A-Za-z0-9_-]+", "_", out.stem).strip("_") or "workflow"
