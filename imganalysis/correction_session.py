"""Corrections while somebody makes them: what a viewer holds, without a window.

A session opens the log of a study, takes edits, keeps each one on the disk before it returns, and
knows the labels of the fields that are open as they are after all edits.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imganalysis import __version__
from imganalysis.annotations import KINDS
from imganalysis.correction_state import CorrectionState
from imganalysis.corrections import (
    CLASS,
    DELETE,
    DRAW,
    MERGE,
    OUTLINE,
    REDO,
    REGIONAL,
    REMOVE,
    REVIEW,
    SPLIT,
    UNDO,
    Cell,
    Edit,
    append,
    apply_corrections,
    check_edit,
    points_of,
    seal,
)
from imganalysis.errors import CorrectionsError
from imganalysis.io import file_hash
from imganalysis.outlining import (
    changed_outlines,
    check_inside,
    file_mark,
    outline_path,
    text_mark,
    write_outlines,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imganalysis.corrections import Point


class CorrectionSession(CorrectionState):
    """A person's corrections of one study, and the edits that make them.

    Parameters and what can be asked are those of `CorrectionState`. Each edit is on the disk when
    its method returns, or it raises and changes nothing.

    Raises
    ------
    CorrectionsError
        An edit does not fit its field (reason: a word of `imganalysis.words.LOST`), another user
        changed the field meanwhile (``conflict``; call `refresh` and repeat), or another program
        holds the log (``locked``).
    OutputError
        The log cannot be written.
    """

    def change_class(
        self, name: str, cell: Cell, to: str, *, before: str = "", why: str = ""
    ) -> Edit:
        """Give a cell another class; `before` is the one that it had."""
        return self._edit(name, CLASS, {"cell": cell.as_json()}, {"class": before},
                          {"class": to}, why)  # fmt: skip

    def delete(self, name: str, cell: Cell, *, why: str = "") -> Edit:
        """Delete a nucleus that is none."""
        return self._edit(name, DELETE, {"cell": cell.as_json()}, why=why)

    def merge(self, name: str, cells: Sequence[Cell], *, why: str = "") -> Edit:
        """Make one nucleus of several; it gets the number of the first."""
        return self._edit(name, MERGE, {"cells": [cell.as_json() for cell in cells]}, why=why)

    def split(
        self,
        name: str,
        cell: Cell,
        *,
        line: Sequence[Point] | None = None,
        markers: Sequence[Point] | None = None,
        why: str = "",
    ) -> Edit:
        """Split a nucleus along a line, or between markers."""
        what: dict[str, Any] = {"cell": cell.as_json()}
        what |= {} if line is None else {"line": points_of(line)}
        what |= {} if markers is None else {"markers": points_of(markers)}
        return self._edit(name, SPLIT, what, why=why)

    def draw(self, name: str, polygon: Sequence[Point], *, why: str = "") -> Edit:
        """Add a nucleus by its outline."""
        return self._edit(name, DRAW, {"polygon": points_of(polygon)}, why=why)

    def outline(self, name: str, region: str, polygon: Sequence[Point], *, why: str = "") -> Edit:
        """Outline a region: ``tumour``, ``vessel``, ``pigment`` or ``exclude``."""
        return self._region(name, OUTLINE, region, polygon, why)

    def remove_outline(
        self, name: str, region: str, polygon: Sequence[Point], *, why: str = ""
    ) -> Edit:
        """Take away the outline of a region."""
        return self._region(name, REMOVE, region, polygon, why)

    def review(self, name: str, state: str, *, note: str = "", cells: str = "") -> Edit:
        """Say that a field was reviewed, is to be looked at, or is open again.

        `cells` is the SHA-256 of the table of cells that was looked at, where there is one.
        """
        old, old_note = self.review_state(name)
        after = {"state": state, "note": note} | ({"cells": cells} if cells else {})
        return self._keep(name, REVIEW, {}, {"state": old, "note": old_note}, after, note)

    def undo(self, name: str | None = None) -> Edit | None:
        """Take back this user's last edit (of a field); gives the line, None for nothing."""
        return self._turn(UNDO, self.next_undo(name))

    def redo(self, name: str | None = None) -> Edit | None:
        """Make again what was taken back last; gives the line, None for nothing."""
        return self._turn(REDO, self.next_redo(name))

    def _edit(
        self, name: str, kind: str, what: dict[str, Any], before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None, why: str = "",
    ) -> Edit:  # fmt: skip
        """Try an edit, keep it if it fits, and show it."""
        opened = self._opened(name)
        edit = Edit(kind, name, what, before or {}, after or {}, why)
        check_edit(edit, name)
        numbers = [n for e in self._log.edits if e.field == name for n in e.new_labels]
        above = max([int(opened.base.max(initial=0)), *numbers])
        replay = apply_corrections(
            opened.replay.labels, [edit], opened.spacing_um, self._classes(opened.field),
            earlier=opened.replay, above=above,
        )  # fmt: skip
        tried = replay.outcomes[-1]
        if tried.lost:
            raise CorrectionsError(f"{name}: {tried.message}", reason=tried.lost)
        given = {**edit.after, "new": list(tried.new)} if tried.new else edit.after
        kept = self._keep(name, kind, what, edit.before, given, why)
        outcomes = (*opened.replay.outcomes, replace(tried, edit=kept))
        classes = {n: kept if e is edit else e for n, e in replay.classes.items()}
        self._open[name] = replace(
            opened, replay=replace(replay, outcomes=outcomes, classes=classes)
        )
        return kept

    def _keep(
        self, name: str, kind: str, what: dict[str, Any], before: dict[str, Any],
        after: dict[str, Any], why: str,
    ) -> Edit:  # fmt: skip
        """Write a line."""
        field = self._field(name)
        opened = self._open.get(name)
        digest = opened.digest if opened is not None else file_hash(field.path)
        time = datetime.now(UTC).isoformat(timespec="microseconds")
        edit = seal(
            Edit(kind, name, what, before, after, why, self.user, time, digest, __version__)
        )
        check_edit(edit, name)
        self._log = append(self._log, [edit])
        return edit

    def _region(
        self, name: str, kind: str, region: str, polygon: Sequence[Point], why: str
    ) -> Edit:
        if region not in KINDS:
            raise CorrectionsError(
                f"{name}: unknown region {region!r}; expected {', '.join(KINDS)}"
            )
        opened = self._opened(name)
        spacing = opened.spacing_um[-2:]
        edit = Edit(kind, name, {"region": region, "polygon": points_of(polygon),
                                 "pixel_um": list(spacing)})  # fmt: skip
        check_edit(edit, name)
        size = [n * step for n, step in zip(opened.base.shape[-2:], spacing, strict=True)]
        if kind == OUTLINE:
            check_inside(edit.what["polygon"], (size[0], size[1]), name)
        return self._with_outlines(name, edit, edit, turned=False, why=why)

    def _turn(self, kind: str, target: Edit | None) -> Edit | None:
        if target is None:
            return None
        edit = Edit(kind, target.field, {"edit": target.id})
        if target.kind in REGIONAL:
            return self._with_outlines(target.field, edit, target, turned=kind == UNDO, why="")
        kept = self._keep(target.field, kind, edit.what, {}, {}, "")
        if target.field in self._open:
            self._replayed(target.field)
        return kept

    def _with_outlines(
        self, name: str, edit: Edit, target: Edit, *, turned: bool, why: str
    ) -> Edit:
        """Keep an edit of outlines, then write their file: a crash between is mended at start."""
        path = outline_path(self.study, self._field(name))
        text = changed_outlines(path, target, turned=turned, unit=self._unit)
        before, after = ({"annotations": m} for m in (file_mark(path), text_mark(text)))
        kept = self._keep(name, edit.kind, edit.what, before, after, why)
        write_outlines(path, text)
        return kept
