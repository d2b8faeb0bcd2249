"""The log as a list for people: one row per edit of a field, with what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from imganalysis.corrections import (
    CLASS,
    DELETE,
    DRAW,
    MERGE,
    OUTLINE,
    REDO,
    REVIEW,
    SPLIT,
    UNDO,
    Edit,
)

if TYPE_CHECKING:
    from napari_imganalysis._editing import Editor

HOLDS, UNDONE, LOST = "holds", "undone", "no longer fits"
STATES = {"reviewed": "reviewed", "to_look_at": "to look at", "open": "open again"}


@dataclass(frozen=True)
class Row:
    """One edit.

    Parameters
    ----------
    what, why
        What was done, and the person's reason.
    user, time
        Who, and when on this computer's clock.
    state
        `HOLDS`, `UNDONE` or `LOST`.
    tip
        All of it, and why an edit no longer fits.
    labels
        Nuclei that it names or made.
    """

    what: str
    why: str
    user: str
    time: str
    state: str
    tip: str
    labels: tuple[int, ...]


def rows_of(editor: Editor) -> list[Row]:
    """List the edits of the field, the latest first."""
    core, name = editor.core, editor.name
    if core is None or not name:
        return []
    held = {edit.id for edit in core.edits(name)}
    lost = {o.edit.id: o.message for o in core.replay(name).lost}
    rows = []
    for edit in reversed(core.log.edits):
        if edit.field != name or edit.kind in (UNDO, REDO):
            continue
        state = LOST if edit.id in lost else HOLDS if edit.id in held else UNDONE
        time = local_time(edit.time)
        tip = f"{time}  {edit.user}: {what_of(edit)}"
        tip += f"\nWhy: {edit.why}" if edit.why else ""
        tip += f"\n{state}: {lost[edit.id]}" if state == LOST else f"\n{state}"
        labels = (*(cell.label for cell in edit.cells), *edit.new_labels)
        rows.append(Row(what_of(edit), edit.why, edit.user, time, state, tip, labels))
    return rows


def local_time(text: str) -> str:
    """Give a time of the log by this computer's clock."""
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%d %b %H:%M")
    except ValueError:
        return text


def what_of(edit: Edit) -> str:
    """Say what an edit did."""
    labels = ", ".join(str(cell.label) for cell in edit.cells)
    new = ", ".join(map(str, edit.new_labels))
    if edit.kind == CLASS:
        before = edit.before.get("class") or "none"
        return f"{labels}: {before} \N{RIGHTWARDS ARROW} {edit.after['class']}"
    if edit.kind == REVIEW:
        return f"field {STATES.get(edit.after['state'], edit.after['state'])}"
    return {
        DELETE: f"{labels}: deleted",
        MERGE: f"{labels}: merged",
        SPLIT: f"{labels}: split, new {new}",
        DRAW: f"{new}: drawn",
        OUTLINE: f"{edit.what.get('region')} outlined",
    }.get(edit.kind, f"{edit.what.get('region')} outline removed")
