"""What is told of a biopsy, a field, a cell: short HTML for labels and tooltips. No window."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from imganalysis import tables as t
from imganalysis.classify.gates import select_gate
from imganalysis.words import EXCLUSIONS, plural
from napari_imganalysis._colours import class_names, legend_of
from napari_imganalysis._review import CHANGED, TO_LOOK_AT
from napari_imganalysis._study_rows import explained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imganalysis.classify.gates import Gate
    from napari_imganalysis._fields import OpenField
    from napari_imganalysis._results import Opened
    from napari_imganalysis._review import Reviews
    from napari_imganalysis._study_rows import Row

SIGNS = {
    t.POSITIVE: "+",
    t.NEGATIVE: "\N{MINUS SIGN}",
    t.INDETERMINATE: "?",
    t.NOT_MEASURED: "not measured",
}


def swatch(colour: str) -> str:
    """Draw a square of a colour, on a dark ground so that white ones are seen in a light theme."""
    return f'<span style="background-color:#222222; color:{colour};">&nbsp;&#9632;&nbsp;</span>'


def study_text(row: Row, opened: Opened, reviews: Reviews) -> str:
    """All of a row of the list: class counts, fraction, flags and reasons with their meaning."""
    parts = [f"<b>{escape(row.name)}</b>"]
    if row.panel:
        parts[0] += f" &nbsp; {escape(row.panel)}"
    if row.status:
        parts[0] += f" &nbsp; {escape(row.status)}"
    if row.kind == "biopsy":
        parts += _biopsy_lines(row, opened)
    elif row.fraction and row.kind == "field":
        endpoint = opened.endpoint
        name = escape(endpoint.name) if endpoint is not None else ""
        parts.append(f"{row.fraction} cells of {name} (the interval is the biopsy's)")
    if row.counts:
        parts.append(_counts(row, opened))
    if row.kind == "biopsy":
        parts += _missing_lines(row, opened)
    elif row.name:
        parts += _field_lines(row, opened, reviews)
    parts += [f"&#9873; {escape(explained(word))}" for word in row.flags]
    return "<br>".join(parts)


def _biopsy_lines(row: Row, opened: Opened) -> list[str]:
    found = opened.biopsies[opened.biopsies["biopsy"] == row.name]
    lines = []
    for panel in opened.panels.values():
        for fraction in panel.fractions:
            if found.empty or fraction.name not in found.columns:
                continue
            value = found.iloc[0][fraction.name]
            if pd.isna(value):
                continue
            factor = 1 if fraction.percent else 100
            low = found.iloc[0].get(f"{fraction.name}_lo", float("nan"))
            high = found.iloc[0].get(f"{fraction.name}_hi", float("nan"))
            n = found.iloc[0].get(fraction.count)
            text = f"{escape(fraction.name)}: <b>{factor * value:.1f} %</b>"
            if pd.notna(low) and pd.notna(high):
                text += f" ({factor * low:.1f}\N{EN DASH}{factor * high:.1f}, 95 %)"
            if n is not None and pd.notna(n):
                text += f" of {plural(int(n), 'cell')}"
            if text not in lines:
                lines.append(text)
    return lines


def _missing_lines(row: Row, opened: Opened) -> list[str]:
    """Say why a fraction is NA."""
    found = opened.biopsies[opened.biopsies["biopsy"] == row.name]
    reason = found.iloc[0].get("reason") if not found.empty else None
    if not (isinstance(reason, str) and reason):
        return []
    return [f"NA {escape(explained(part.strip()))}" for part in reason.split(";")]


def _counts(row: Row, opened: Opened) -> str:
    colours: dict[str, str] = {}
    for panel in opened.panels.values():
        legend = legend_of(panel)
        colours |= dict(zip(legend.names, legend.colours, strict=True))
    shown = [
        f"{swatch(colours.get(name, '#999999'))}&nbsp;{escape(name)}&nbsp;<b>{n}</b>"
        for name, n in row.counts
        if n
    ]
    return " &nbsp; ".join(shown)


def _field_lines(row: Row, opened: Opened, reviews: Reviews) -> list[str]:
    lines = []
    found = opened.fields[opened.fields["field"] == row.name]
    message = found.iloc[0].get("message") if not found.empty else None
    if isinstance(message, str) and message:
        lines.append(escape(message))
    mark = reviews.mark_of(row.name)
    if mark is not None:
        changed = "; its cells were computed anew since" if row.review == CHANGED else ""
        what = "To look at, says" if row.review == TO_LOOK_AT else "Reviewed by"
        when = mark.time[:16].replace("T", " ")
        note = f": {escape(mark.note)}" if mark.note else ""
        lines.append(f"{what} {escape(mark.user)}, {escape(when)} UTC{changed}{note}")
    return lines


def cell_text(row: pd.Series[Any], field: OpenField, gates: Sequence[Gate] = ()) -> str:
    """One cell: number, class, whether it counts, calls with what they were made on, and why."""
    panel = field.panel
    legend = legend_of(panel)
    name = str(class_names(row.to_frame().T).iloc[0])
    kind = str(row[t.PHENOTYPE]) or "no class"
    colour = legend.colours[legend.code(name) - 1]
    head = f"{swatch(colour)} <b>{int(row[t.LABEL])}</b> &nbsp; <b>{escape(kind)}</b>"
    fragments = row.get(t.FRAGMENTS)
    if fragments is not None and pd.notna(fragments) and int(fragments) > 1:
        head += f" &nbsp; cell {int(row[t.CELL_ID])}, {plural(int(fragments), 'fragment')}"
    lines = [head]
    if not row[t.EVALUABLE]:
        word = str(row[t.EXCLUSION])
        lines.append(f"not counted: {escape(word)}, {escape(EXCLUSIONS.get(word, ''))}")
    for channel in panel.gated if panel is not None else ():
        call = row.get(t.call_column(channel.marker))
        if isinstance(call, str) and call:
            line = f"{escape(channel.marker)} <b>{SIGNS.get(call, call)}</b>"
            lines.append(line + _measures(row, channel.columns, channel.marker, gates))
    lines.append(_shape(row))
    why = row.get(t.WHY)
    if isinstance(why, str) and why:
        lines.append(f"<i>{escape(why)}</i>")
    return "<br>".join(line for line in lines if line)


def _measures(
    row: pd.Series[Any], columns: Sequence[str], marker: str, gates: Sequence[Gate]
) -> str:
    """List the values that a marker is called on, with their gates."""
    texts = []
    place = {name: str(row.get(name, "")) for name in (t.PANEL, t.BATCH, t.ACQUISITION)}
    for column in columns:
        value = row.get(column)
        if value is None or pd.isna(value):
            continue
        gate = select_gate(gates, marker, column, **place) if gates else None
        limit = f", gate {gate.value:.3g}" if gate is not None and gate.value is not None else ""
        texts.append(f"{value:.3g}{limit}")
    return f" &nbsp; {'; '.join(texts)}" if texts else ""


def _shape(row: pd.Series[Any]) -> str:
    parts = []
    diameter = row.get(t.DIAMETER)
    if diameter is not None and pd.notna(diameter):
        parts.append(f"{diameter:.1f} um across")
    region = row.get(t.REGION)
    if isinstance(region, str) and region:
        parts.append(region)
    if row.get(t.CAP) is True or str(row.get(t.CAP)) == "True":
        parts.append("cap")
    return ", ".join(parts)
