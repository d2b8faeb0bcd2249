"""What every benchmark shares: its options, its clock, and the form of its table.

A benchmark is a file ``benchmarks/NAME.py`` that takes ``--quick`` (under 50 s) and
``--json FILE``, and writes there a title, notes, names of columns, and rows.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parents[1]


def options(
    description: str | None, add: Callable[[argparse.ArgumentParser], object] | None = None
) -> argparse.Namespace:
    """Options of a benchmark: ``quick``, ``json``, and those of its own that ``add`` puts in."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="once only, in under 50 s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table as JSON")
    if add is not None:
        add(parser)
    return parser.parse_args()


def best_seconds(
    call: Callable[[], object], *, repeats: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Shortest of several runs: what else the machine does only ever adds time."""
    times = []
    for _ in range(repeats):
        start = clock()
        call()
        times.append(clock() - start)
    return min(times)


def report(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    notes: str,
    target: Path | None,
    figures: dict[str, Any] | None = None,
) -> None:
    """Print a table, and write it as JSON where asked for, with figures by name beside it."""
    table = {"title": title, "notes": notes, "columns": list(columns), "rows": [*map(list, rows)]}
    table |= figures or {}
    print(markdown(table))
    if target is not None:
        target.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def markdown(table: dict[str, Any]) -> str:
    """Lay out the table of a benchmark, with its title and notes."""

    def shown(value: object) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = [f"## {table['title']}", "", table["notes"], ""]
    lines += ["| " + " | ".join(table["columns"]) + " |", "| --- " * len(table["columns"]) + "|"]
    lines += ["| " + " | ".join(map(shown, row)) + " |" for row in table["rows"]]
    return "\n".join(lines) + "\n"
