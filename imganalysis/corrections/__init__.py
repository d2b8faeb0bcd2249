"""A person's edits as an append-only log, replayed.

A log is a file of one JSON object per line (`read_log`, `append`). What of it holds, after undo
and redo, is `active_edits`; `apply_corrections` replays that on a label image.
"""

from __future__ import annotations

from imganalysis.corrections._classes import (
    GIVEN,
    NOTE,
    give_classes,
    rules_column,
    with_given,
)
from imganalysis.corrections._edits import (
    APPLIED,
    CLASS,
    DELETE,
    DRAW,
    KINDS,
    MERGE,
    NUCLEAR,
    OPEN,
    OUTLINE,
    REDO,
    REGIONAL,
    REMOVE,
    REVIEW,
    REVIEWED,
    SPLIT,
    STATES,
    TO_LOOK_AT,
    UNDO,
    Cell,
    Edit,
    Point,
    check_edit,
    points_of,
    seal,
)
from imganalysis.corrections._log import NAME, Log, append, log_path, read_log
from imganalysis.corrections._replay import Outcome, Replay, apply_corrections
from imganalysis.corrections._state import active_edits, review_of, stacks

__all__ = [
    "APPLIED", "CLASS", "DELETE", "DRAW", "GIVEN", "KINDS", "MERGE", "NAME", "NOTE", "NUCLEAR",
    "OPEN", "OUTLINE", "REDO", "REGIONAL", "REMOVE", "REVIEW", "REVIEWED", "SPLIT", "STATES",
    "TO_LOOK_AT", "UNDO", "Cell", "Edit", "Log", "Outcome", "Point", "Replay", "active_edits",
    "append", "apply_corrections", "check_edit", "give_classes", "log_path", "points_of",
    "read_log", "review_of", "rules_column", "seal", "stacks", "with_given",
]  # fmt: skip
