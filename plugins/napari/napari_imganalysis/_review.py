"""Which fields a person has looked through, kept beside the results. No window."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imganalysis.results import cells_path, now, user_name, write_json

if TYPE_CHECKING:
    from pathlib import Path

REVIEW = "review.json"
REVIEWED, CHANGED = "reviewed", "changed since"
"""States of a field; an empty text for one that nobody has looked through."""


@dataclass(frozen=True)
class Mark:
    """That a person has looked through a field, and at which table of cells."""

    user: str
    time: str
    cells: str  # SHA-256 of the field's table


class Reviews:
    """The marks of a folder of results; written with every change.

    Results that are computed anew with other calls make a mark ``changed since``: a mark names
    the table that was looked at.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._marks: dict[str, Mark] = {}
        self._hashes: dict[str, str] = {}
        if folder is not None and (folder / REVIEW).is_file():
            try:
                read = json.loads((folder / REVIEW).read_text(encoding="utf-8"))
                self._marks = {str(name): Mark(**mark) for name, mark in read["fields"].items()}
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                from imganalysis.errors import TableError

                raise TableError(
                    f"{folder / REVIEW}: cannot be read ({error}); move it away to begin anew"
                ) from None

    def state(self, field: str) -> str:
        """``reviewed``, ``changed since``, or an empty text."""
        mark = self._marks.get(field)
        if mark is None:
            return ""
        return REVIEWED if mark.cells == self._hash(field) else CHANGED

    def mark_of(self, field: str) -> Mark | None:
        """Who looked through a field, and when; None where nobody did."""
        return self._marks.get(field)

    def set(self, field: str, reviewed: bool) -> None:
        """Mark a field as looked through, or not.

        Raises
        ------
        OutputError
            The folder cannot be written; the marks stay as they were.
        """
        if self._folder is None:
            return
        marks = dict(self._marks)
        marks.pop(field, None)
        if reviewed:
            marks[field] = Mark(user_name(), now(), self._hash(field))
        content: dict[str, Any] = {name: vars(mark) for name, mark in sorted(marks.items())}
        write_json(self._folder / REVIEW, {"fields": content})
        self._marks = marks

    def _hash(self, field: str) -> str:
        if field not in self._hashes and self._folder is not None:
            path = cells_path(self._folder, field)
            data = path.read_bytes() if path.is_file() else b""
            self._hashes[field] = hashlib.sha256(data).hexdigest()
        return self._hashes.get(field, "")
