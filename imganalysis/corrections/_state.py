"""What of a log holds: undo and redo are lines too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imganalysis.corrections._edits import REDO, REVIEW, UNDO, Edit
from imganalysis.errors import CorrectionsError

if TYPE_CHECKING:
    from collections.abc import Sequence


def active_edits(edits: Sequence[Edit], field: str | None = None) -> tuple[Edit, ...]:
    """List the edits that hold, in the order in which they were made.

    Parameters
    ----------
    edits
        All lines of a log.
    field
        Of this field only.

    Raises
    ------
    CorrectionsError
        An undo or redo of a line that is not there, that is none to undo, or of another field.
    """
    done, _ = stacks(edits)
    held = {edit.id for edit in done}
    return tuple(e for e in edits if e.id in held and field in (None, e.field))


def stacks(edits: Sequence[Edit], user: str | None = None) -> tuple[list[Edit], list[Edit]]:
    """List what can be undone, and what can be redone; the next one is the last of each.

    Parameters
    ----------
    edits
        All lines of a log.
    user
        Of this user only.
    """
    done: dict[str, Edit] = {}
    undone: dict[str, Edit] = {}
    for edit in edits:
        if edit.kind not in (UNDO, REDO):
            done[edit.id] = edit
            # A new edit ends what its user could redo in the field, as everywhere.
            ended = [i for i, e in undone.items() if (e.user, e.field) == (edit.user, edit.field)]
            for old in ended:
                del undone[old]
            continue
        source, to = (done, undone) if edit.kind == UNDO else (undone, done)
        target = source.pop(edit.what["edit"], None)
        if target is None or target.field != edit.field:
            raise CorrectionsError(
                f"line with the id {edit.id}: {edit.kind} of {edit.what['edit']}, which is no "
                f"edit of {edit.field} that could be; was a line removed from the log?"
            )
        to[target.id] = target
    return (
        [e for e in done.values() if user in (None, e.user)],
        [e for e in undone.values() if user in (None, e.user)],
    )


def review_of(edits: Sequence[Edit], field: str) -> Edit | None:
    """Find the line that says the state of review of a field; None where nobody said it."""
    said = [e for e in active_edits(edits, field) if e.kind == REVIEW]
    return said[-1] if said else None
