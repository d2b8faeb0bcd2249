"""Which fields a person has looked through, as the log of corrections says it. No window."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imganalysis import corrections as c
from imganalysis.results import cells_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

OLD_MARKS = "review.json"
"""Where earlier versions kept marks, beside the results; read, and never written."""

REVIEWED, TO_LOOK_AT, CHANGED = "reviewed", "to look at", "changed since"
"""States of a field; an empty text for one that nobody has looked through."""


@dataclass(frozen=True)
class Mark:
    """What a person said of a field, and at which table of cells they looked."""

    user: str
    time: str
    cells: str = ""  # SHA-256 of the field's table; empty where it was not kept
    state: str = c.REVIEWED  # as the log has it
    note: str = ""


class Reviews:
    """The review states of a folder of results.

    The log of corrections is the record. A mark of an earlier version holds until the log says
    something of its field. Results that are computed anew with other cells make a mark ``changed
    since``: it names the table that was looked at.

    Parameters
    ----------
    folder
        Of the results; None for a study that was not analysed.
    edits
        All lines of the log.
    """

    def __init__(self, folder: Path | None, edits: Sequence[c.Edit] = ()) -> None:
        self._folder = folder
        self._hashes: dict[str, str] = {}
        self._marks: dict[str, Mark] = {}
        self.problem = ""
        """Why marks of an earlier version cannot be read; empty for nothing."""
        if folder is not None and (folder / OLD_MARKS).is_file():
            self._read_old(folder / OLD_MARKS)
        for field in {edit.field for edit in edits if edit.kind == c.REVIEW}:
            said = c.review_of(edits, field)
            if said is not None:
                after = {key: str(value) for key, value in said.after.items()}
                self._marks[field] = Mark(
                    said.user, said.time, after.get("cells", ""), after["state"],
                    after.get("note", ""),
                )  # fmt: skip

    def _read_old(self, path: Path) -> None:
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
            self._marks = {str(name): Mark(**mark) for name, mark in read["fields"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.problem = f"{path}: cannot be read ({error}); move it away to begin anew"

    def said(self, field: str) -> str:
        """State of a field as the log has it."""
        mark = self._marks.get(field)
        return c.OPEN if mark is None else mark.state

    def state(self, field: str) -> str:
        """``reviewed``, ``to look at``, ``changed since``, or an empty text."""
        mark = self.mark_of(field)
        if mark is None:
            return ""
        if mark.state == c.TO_LOOK_AT:
            return TO_LOOK_AT
        return REVIEWED if mark.cells in ("", self._hash(field)) else CHANGED

    def mark_of(self, field: str) -> Mark | None:
        """Who judged a field, and when; None where nobody did, or it is open again."""
        mark = self._marks.get(field)
        return None if mark is None or mark.state == c.OPEN else mark

    def _hash(self, field: str) -> str:
        if field not in self._hashes:
            self._hashes[field] = "" if self._folder is None else cells_hash(self._folder, field)
        return self._hashes[field]


def cells_hash(folder: Path, field: str) -> str:
    """SHA-256 of a field's table of cells, that a mark is of."""
    path = cells_path(folder, field)
    return hashlib.sha256(path.read_bytes() if path.is_file() else b"").hexdigest()
