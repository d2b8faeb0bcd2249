"""What the command line prints: lists of series, the plan, progress, the table at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from imganalysis.study import clean_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from imganalysis.settings import Settings
    from imganalysis.study import Study


SERIES_COLUMNS = (
    "#", "name", "tile", "axes", "size", "type", "channels",
    "pixel um (Z x Y x X)", "from", "field", "notes",
)  # fmt: skip


class Progress:
    """A bar on the terminal's error stream, called with (step, done, total)."""

    def __init__(self) -> None:
        self._bar = RichProgress(
            TextColumn("{task.description:<22}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, step: str, done: int, total: int) -> None:
        """Move the bar of a step, which is shown from its first call on."""
        if step not in self._tasks:
            self._tasks[step] = self._bar.add_task(step, total=total)
        self._bar.update(self._tasks[step], completed=done, total=total)


def _console() -> Console:
    # Into a file or pipe the table keeps its full width; a terminal wraps it.
    console = Console()
    return console if console.is_terminal else Console(width=160)


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> Table:
    table = Table(title=escape(title) or None, title_justify="left")
    for name in columns:
        table.add_column(escape(name), overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row))
    return table


def print_series(found: Sequence[dict[str, Any]]) -> None:
    """Print the series of files, as given by `imganalysis.io.describe`."""
    console = _console()
    for entry in found:
        if "error" in entry:
            console.print(f"{escape(entry['error'])} \\[{entry['reason']}]", soft_wrap=True)
            continue
        rows = []
        for item in entry["series"]:
            sizes = item["pixel_size_um"]
            shown = " x ".join("?" if v is None else f"{v:.4g}" for v in sizes)
            what = "yes" if item["is_field"] else f"no: {item['reason']}"
            tile = "" if item["tile"] is None else item["tile"]
            size = " x ".join(str(n) for n in item["shape"])
            said = item["pixel_size_note"]
            notes = "; ".join([*item["flags"], *([said] if said else [])])
            names = ", ".join(item["channels"])
            start = (item["series"], item["name"], tile, item["axes"], size, item["dtype"])
            rows.append((*start, names, shown, item["pixel_size_origin"], what, notes))
        console.print(_table(SERIES_COLUMNS, rows, entry["file"]))


def print_plan(study: Study, settings: Settings, out: Path) -> None:
    """Print what a run would do."""
    console = _console()
    rows = [
        (
            f.biopsy,
            f.name,
            f.role,
            f.panel,
            f.batch,
            clean_text(f.path.name),
            f.problem or "analyse",
        )
        for f in study.fields
    ]
    columns = ("biopsy", "field", "role", "panel", "batch", "file", "what is done")
    console.print(_table(columns, rows, f"{study.root} -> {out}"))
    console.print("Settings:")
    console.print_json(settings.model_dump_json())


def print_results(
    biopsies: pd.DataFrame,
    problems: Sequence[tuple[str, str, str]],
    fractions: Sequence[tuple[str, bool]],
    out: Path,
    note: str = "",
) -> None:
    """Print the per-biopsy table, what was not analysed, and where the results lie.

    Parameters
    ----------
    biopsies
        As in ``biopsies.csv``.
    problems
        (field, what, message) of everything listed but not analysed.
    fractions
        (column, whether it is in percent already).
    out
        Folder of the results.
    note
        What to know about all of it.
    """
    from imganalysis.report.summary import summary_table

    console = _console()
    columns, rows = summary_table(biopsies, fractions)
    console.print(_table(columns, rows))
    if problems:
        console.print(_table(("field", "not analysed", "why"), problems))
    if note:
        console.print(escape(note), soft_wrap=True)
    console.print(f"Results: {escape(str(out))}", soft_wrap=True)
    console.print("Research use only.", style="dim")
