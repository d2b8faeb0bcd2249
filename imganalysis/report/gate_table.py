"""What `imganalysis gate` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from imganalysis.report.terminal import _console, _table
from imganalysis.words import GATE_FLAGS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imganalysis.classify.gates import Gate

COLUMNS = ("marker", "batch", "rung", "gate", "SE", "cells", "what it says")


def print_rungs(table: pd.DataFrame) -> None:
    """Print the gates in use, and what every rung of the ladder says of each.

    Parameters
    ----------
    table
        As `imganalysis.gate_review.rung_table` gives it.
    """
    console = _console()
    rows, before = [], None
    for line in table.to_dict("records"):
        place = (line["marker"], line["panel"], line["batch"], line["acquisition"], line["column"])
        start = ("", "") if place == before else (
            f"{line['marker']} ({line['column']})",
            f"{line['panel']}: {line['batch'] or '-'}, {line['acquisition'] or '-'}",
        )  # fmt: skip
        before = place
        rung = line["rung"].replace("_", " ") + (" *" if line["in_use"] else "")
        rows.append((
            *start, rung, _number(line["value"]), _number(line["se"], 2),
            "" if pd.isna(line["n"]) else f"{int(line['n'])}", _said(line),
        ))  # fmt: skip
    console.print(_table(COLUMNS, rows))
    console.print("* sets the gate. Values in the unit of the measure, grey levels.")


def print_changes(changed: tuple[Gate, ...], path: object) -> None:
    """Print what was set by hand, and where it stands."""
    console = _console()
    rows = []
    for g in changed:
        before = ("", "")
        if g.previous:
            old = g.previous[-1]
            before = (_number(old.value) or "none", old.method.replace("_", " "))
        place = (g.marker, g.panel, g.batch, g.acquisition)
        rows.append((*place, *before, _number(g.value), _blank(g), g.note))
    head = (
        "marker", "panel", "batch", "acquisition", "before", "by", "now", "false calls", "reason",
    )  # fmt: skip
    console.print(_table(head, rows))
    console.print(
        f"{path}: written. To use it: imganalysis run STUDY --out RESULTS --gates {path}",
        soft_wrap=True, markup=False,
    )  # fmt: skip


def _number(value: Any, digits: int = 4) -> str:
    return "" if value is None or pd.isna(value) else f"{value:.{digits}g}"


def _blank(gate: Gate) -> str:
    """Say what a gate calls positive of the control's cells."""
    rate = gate.control_fpr
    if rate is None:
        return "not known: fewer than two control fields"
    return f"{100 * rate.mean:.2g} %, limit of blank {100 * rate.blank_limit:.2g} %"


def _said(line: Mapping[Any, Any]) -> str:
    guards = [
        f"{name} {_number(line[key], 3)}"
        for name, key in (("BIC gain", "bic_gain"), ("D", "ashman_d"), ("weight", "weight"))
        if _number(line[key])
    ]
    parts = [", ".join(guards)] if guards else []
    if line["reason"]:
        parts.append(f"{line['reason']}: {line['what']}" if line["what"] else line["reason"])
    if line["note"]:
        parts.append(str(line["note"]))
    if line["flags"]:
        parts += [f"! {word}: {GATE_FLAGS[word]}" for word in str(line["flags"]).split(";")]
    return "; ".join(parts)
