"""What the list of biopsies and fields shows, and which of it a filter leaves. No window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from imganalysis import tables as t
from imganalysis.study import SAMPLE
from imganalysis.words import FLAGS, REASONS

if TYPE_CHECKING:
    from napari_imganalysis._results import Opened
    from napari_imganalysis._review import Reviews

ANY, FLAGGED = "any", "any flag"


@dataclass(frozen=True)
class Row:
    """A biopsy or a field in the list.

    Parameters
    ----------
    name, kind
        Its name; ``biopsy``, ``field`` or ``control``.
    panel
        Of a field.
    status
        As in ``fields.csv``.
    cells
        Number of evaluable cells; of a biopsy the tumour cells; empty where there is none.
    fraction
        The endpoint: of a biopsy as in ``biopsies.csv`` with its interval, or why it is NA; of a
        field the counts it adds.
    flags
        Fixed words.
    review
        State of a field.
    counts
        Class -> evaluable cells, of a field.
    """

    name: str
    kind: str
    panel: str = ""
    status: str = ""
    cells: str = ""
    fraction: str = ""
    flags: tuple[str, ...] = ()
    review: str = ""
    counts: tuple[tuple[str, int], ...] = ()
    children: tuple[Row, ...] = ()


def rows_of(opened: Opened, reviews: Reviews) -> tuple[Row, ...]:
    """List the biopsies with their fields, then the controls."""
    fields = opened.fields[opened.fields["field"].isin(opened.names)]
    samples, rows = fields[fields["role"] == SAMPLE], []
    for biopsy in opened.biopsies.to_dict("records"):
        mine = samples[samples["biopsy"] == biopsy["biopsy"]]
        children = tuple(_field(row, opened, reviews) for row in mine.to_dict("records"))
        rows.append(_biopsy(biopsy, opened, children))
    controls = fields[fields["role"] != SAMPLE]
    if not controls.empty:
        found = tuple(_field(row, opened, reviews) for row in controls.to_dict("records"))
        rows.append(Row("controls", "control", children=found))
    return tuple(rows)


def _biopsy(row: dict[Any, Any], opened: Opened, children: tuple[Row, ...]) -> Row:
    flags = _words(row.get("flags"))
    # What a field is flagged for shows on its biopsy too: folded up, it must still be seen.
    totals: dict[str, int] = {}
    for child in children:
        for name, n in child.counts:
            totals[name] = totals.get(name, 0) + n
    week = row.get("week")
    name = str(row["biopsy"])
    endpoint = opened.endpoint
    cells = "" if endpoint is None else _whole(row.get(endpoint.count))
    return Row(
        name, "biopsy", cells=cells, fraction=_fraction(row, opened), flags=flags,
        counts=tuple(totals.items()), children=children,
        status="" if week is None or pd.isna(week) else f"week {week:g}",
    )  # fmt: skip


def _fraction(row: dict[Any, Any], opened: Opened) -> str:
    """Tell the endpoint of a biopsy with its interval, or why there is none."""
    endpoint = opened.endpoint
    if endpoint is None or endpoint.name not in row:
        return ""
    value = row[endpoint.name]
    if pd.isna(value):
        reasons = dict(part.split(": ", 1) for part in _words(row.get("reason")) if ": " in part)
        return f"NA: {reasons.get(endpoint.name, 'no reason given')}"
    factor = 1 if endpoint.percent else 100
    low, high = row.get(f"{endpoint.name}_lo"), row.get(f"{endpoint.name}_hi")
    text = f"{factor * value:.1f} %"
    if low is not None and high is not None and low == low and high == high:
        text += f" ({factor * low:.1f}\N{EN DASH}{factor * high:.1f})"
    return text


def _field(row: dict[Any, Any], opened: Opened, reviews: Reviews) -> Row:
    panel = opened.panels.get(str(row["panel"]))
    counts = []
    for name in (*(panel.classes if panel is not None else ()), t.UNRESOLVED):
        value = row.get(f"n_class_{name}")
        if value is not None and not pd.isna(value):
            counts.append((name, int(value)))
    name = str(row["field"])
    status = str(row["status"])
    if status == "failed" and isinstance(row.get("reason"), str):
        status = f"failed: {row['reason']}"
    return Row(
        name,
        "field" if row["role"] == SAMPLE else "control",
        panel="" if pd.isna(row["panel"]) else str(row["panel"]),
        status=status,
        cells=_whole(row.get("n_evaluable")),
        fraction=_share(dict(counts), opened) if row["role"] == SAMPLE else str(row["role"]),
        flags=_words(row.get("flags")),
        review=reviews.state(name),
        counts=tuple(counts),
    )


def _share(counts: dict[str, int], opened: Opened) -> str:
    """Tell what a field adds to the endpoint: an interval belongs to the biopsy."""
    endpoint = opened.endpoint
    if endpoint is None or not set(endpoint.denominator) & set(counts):
        return ""
    upper = sum(counts.get(name, 0) for name in endpoint.numerator)
    lower = sum(counts.get(name, 0) for name in endpoint.denominator)
    return f"{upper} of {lower}"


def flags_in(rows: tuple[Row, ...]) -> list[str]:
    """List the flags that occur, each once, in alphabetical order."""
    return sorted({flag for row in rows for one in (row, *row.children) for flag in one.flags})


def filtered(
    rows: tuple[Row, ...], text: str = "", flag: str = ANY, review: str = ANY
) -> tuple[Row, ...]:
    """Leave the fields that fit, under their biopsies.

    Parameters
    ----------
    rows
        From `rows_of`.
    text
        Words that must all occur in the names (of biopsy or field), panel, status, or in flags.
    flag
        A word; `FLAGGED` for any; `ANY` for fields without one too. A biopsy's own flag keeps
        all its fields.
    review
        `ANY`, or a state; an empty text for fields not reviewed.
    """
    wanted = text.casefold().split()
    found = []
    for row in rows:
        all_of_it = flag != ANY and _flagged(row, flag)
        kept = tuple(
            one
            for one in row.children
            if _fits(row, one, wanted)
            and (flag == ANY or all_of_it or _flagged(one, flag))
            and review in (ANY, one.review)
        )
        if kept:
            found.append(Row(**{**vars(row), "children": kept}))
    return tuple(found)


def _flagged(row: Row, flag: str) -> bool:
    return bool(row.flags) if flag == FLAGGED else flag in row.flags


def _fits(parent: Row, row: Row, wanted: list[str]) -> bool:
    text = " ".join((parent.name, row.name, row.panel, row.status, *row.flags)).casefold()
    return all(word in text for word in wanted)


def explained(word: str) -> str:
    """Give a flag or reason with what it means."""
    plain = word.rpartition(":")[2].strip()
    meaning = FLAGS.get(plain) or REASONS.get(plain) or ""
    return f"{word}: {meaning}" if meaning else word


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, str):
        return ()
    return tuple(part.strip() for part in value.split(";") if part.strip())


def _whole(value: Any) -> str:
    return "" if value is None or pd.isna(value) else str(int(value))
