"""The table that is printed at the end of a run: the point of it, at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from imganalysis.words import GATE_REASONS, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imganalysis.classify.gates import Gate

LEADING = ("biopsy", "patient", "week")
NOT_AVAILABLE = "NA"
NO_BLEEDTHROUGH_CONTROL = "no_bleedthrough_control"


def summary_table(
    biopsies: pd.DataFrame, fractions: Sequence[tuple[str, bool]]
) -> tuple[list[str], list[list[str]]]:
    """Shorten ``biopsies.csv`` for the terminal.

    Parameters
    ----------
    biopsies
        One row per biopsy, columns as in ``biopsies.csv``.
    fractions
        (column, whether it is in percent already). Its interval stands in ``COLUMN_lo`` and
        ``COLUMN_hi``, why it is not to be had in ``reason`` as ``COLUMN: word``.

    Returns
    -------
    columns, rows
        Texts. A fraction reads ``38 % (24-56)``, or ``NA: reason``.
    """
    columns = [*LEADING, "fields", *(name for name, _ in fractions), "flags"]
    rows = []
    for _, row in biopsies.iterrows():
        cells = [_plain(row.get(name)) for name in LEADING]
        cells.append(_fields(row))
        cells += [_fraction(row, name, percent) for name, percent in fractions]
        cells.append(_by_word(_plain(row.get("flags"))))
        rows.append(cells)
    return columns, rows


def bleedthrough_note(fields: pd.DataFrame) -> str:
    """Say in how many fields of samples bleed-through was left in for want of controls.

    Parameters
    ----------
    fields
        One row per field, columns as in ``fields.csv``.

    Returns
    -------
    str
        One line; empty where there is nothing to say.
    """
    done = fields[fields["status"] == "analysed"]
    left_in = sum(NO_BLEEDTHROUGH_CONTROL in str(words).split(";") for words in done["flags"])
    if not left_in:
        return ""
    return (
        f"Bleed-through was not corrected in {left_in} of {plural(len(done), 'field')}: there is "
        "no single stain control. A strong one makes the fractions wrong; scan a control of each "
        "dye, or give the shares that you know (--calibration, docs/calibration.md)."
    )


def gates_note(gates: Iterable[Gate]) -> str:
    """Say which markers have no gate, why, and what to do.

    Parameters
    ----------
    gates
        Of a run.

    Returns
    -------
    str
        One line per reason; empty where every marker has a gate.
    """
    lacking: dict[str, dict[tuple[str, ...], dict[str, None]]] = {}
    for gate in gates:
        if gate.value is None:
            place = (gate.panel, gate.batch, gate.acquisition)
            lacking.setdefault(gate.reason, {}).setdefault(place, {})[gate.marker] = None
    lines = []
    for reason, places in lacking.items():
        said = [
            f"{', '.join(markers)} (panel {panel}, batch {batch}, acquisition {acquisition})"
            for (panel, batch, acquisition), markers in places.items()
        ]
        why = GATE_REASONS.get(reason, reason)
        lines.append(f"No gate, and no number that needs it, of {'; '.join(said)}: {why}.")
    if lines:
        lines[-1] += (
            " imganalysis gate RESULTS shows what each way to set one says (docs/gates.md)."
        )
    return "\n".join(lines)


def _by_word(flags: str) -> str:
    """Name each word once, with all that it is said of: ``low_count (pct_T, pct_NK), ...``."""
    said: dict[tuple[str, bool], list[str]] = {}
    for flag in flags.split(";"):
        of, colon, word = flag.rpartition(":")
        said.setdefault((word, bool(colon)), []).append(of)
    texts = (f"{word} ({', '.join(of)})" if named else word for (word, named), of in said.items())
    return ", ".join(texts)


def _missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


def _plain(value: Any) -> str:
    if _missing(value):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _fields(row: pd.Series[Any]) -> str:
    failed = row.get("n_fields_failed")
    lost = "" if _missing(failed) or not failed else f" ({int(failed)} failed)"
    return _plain(row.get("n_fields")) + lost


def _fraction(row: pd.Series[Any], name: str, percent: bool) -> str:
    value: Any = row.get(name)
    if _missing(value):
        reason = _reasons(row).get(name, "")
        return f"{NOT_AVAILABLE}: {reason}" if reason else NOT_AVAILABLE
    ends: list[Any] = [row.get(f"{name}_{end}") for end in ("lo", "hi")]
    scale = 1.0 if percent else 100.0
    text = f"{_percent(scale * float(value))} %"
    if any(_missing(end) for end in ends):
        return text
    low, high = (_percent(scale * float(end)) for end in ends)
    return f"{text} ({low}\N{EN DASH}{high})"


def _percent(value: float) -> str:
    """Whole percent, with a decimal under 10 where it tells something."""
    return f"{value:.1f}" if 0 < value < 9.95 else f"{value:.0f}"


def _reasons(row: pd.Series[Any]) -> dict[str, str]:
    text = row.get("reason")
    if _missing(text):
        return {}
    parts = (part.partition(":") for part in str(text).split(";"))
    return {name.strip(): word.strip() for name, _, word in parts if word}
