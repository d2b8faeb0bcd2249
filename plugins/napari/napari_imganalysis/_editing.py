"""Edits of the field that is shown. No window.

An edit is on the disk before anything is drawn. A class is put into the table at once; nuclei are
drawn at once, and their table follows by `Measuring`, which takes seconds to begin with: a widget
makes it in a thread (`Editor.job`, `Editor.adopt`), so that the viewer stays free.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from imganalysis import tables as t
from imganalysis.corrections import REVIEW
from imganalysis.errors import CorrectionsError
from napari_imganalysis._edit_study import core_of
from napari_imganalysis._following import Following
from napari_imganalysis._review import Reviews, cells_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imganalysis.correction_session import CorrectionSession
    from imganalysis.corrections import Edit, Point
    from napari_imganalysis._session import Session

_EDITORS: WeakKeyDictionary[Session, Editor] = WeakKeyDictionary()


def editor_of(session: Session) -> Editor:
    """Editor of a session; the first call makes it."""
    if session not in _EDITORS:
        _EDITORS[session] = Editor(session)
    return _EDITORS[session]


def reviews_of(session: Session) -> Reviews:
    """Review states of the fields of what is opened.

    Raises
    ------
    CorrectionsError
        The log is damaged, or of a later version.
    """
    opened = session.opened
    if opened is None or opened.folder is None:
        return Reviews(None)
    # An editor would draw edits that wait, which is the Corrections widget's to ask for.
    editor = _EDITORS.get(session)
    core = core_of(opened) if editor is None else editor.core
    return Reviews(opened.folder, () if core is None else core.log.edits)


def review(session: Session, state: str, note: str = "") -> None:
    """Say in the log how far the field that is shown is.

    Raises
    ------
    CorrectionsError
        Nobody is named, or the log is damaged.
    OutputError
        The log cannot be written; the state stays as it was.
    """
    opened, field, editor = session.opened, session.field, _EDITORS.get(session)
    if editor is not None:
        editor.review(state, note)
    elif opened is not None and opened.folder is not None and field is not None:
        cells = cells_hash(opened.folder, field.name)
        core_of(opened).review(field.name, state, note=note, cells=cells)
        session.reviewed.emit(field.name)


class Editor(Following):
    """Takes edits of the session's field.

    Every method raises `CorrectionsError` where an edit does not fit, nobody is named or nothing
    can be edited, and `OutputError` where the log cannot be written; nothing is changed then.
    """

    # Edits

    def change_class(self, label: int, to: str, why: str = "") -> None:
        """Give a cell another class, ``unresolved`` for one that cannot be told."""
        core, name = self._able()
        row = self.session.field.cell(label) if self.session.field is not None else None
        before = "" if row is None else str(row[t.PHENOTYPE])
        if before == to:
            self.session.tell("info", f"Cell {label} is {to} already")
            return
        cell = core.cell(name, label)
        self._do(lambda: core.change_class(name, cell, to, before=before, why=why))

    def delete(self, label: int, why: str = "") -> None:
        """Delete a nucleus that is none."""
        core, name = self._able()
        cell = core.cell(name, label)
        self._do(lambda: core.delete(name, cell, why=why))

    def merge(self, labels: Sequence[int], why: str = "") -> None:
        """Make one nucleus of several."""
        core, name = self._able()
        cells = [core.cell(name, label) for label in labels]
        self._do(lambda: core.merge(name, cells, why=why))

    def split_by_line(self, label: int, line: Sequence[Point], why: str = "") -> None:
        """Split a nucleus along a line; of 0, the one that most of the line crosses."""
        core, name = self._able()
        cell = core.cell(name, label or self._crossed(line))
        self._do(lambda: core.split(name, cell, line=line, why=why))

    def split_by_points(self, points: Sequence[Point], why: str = "") -> None:
        """Split the nucleus in which two points lie, at its waist between them.

        Raises
        ------
        CorrectionsError
            They do not lie in one nucleus.
        """
        core, name = self._able()
        cells = [core.cell_at(name, x, y, self._deep()) for x, y in points]
        labels = {0 if cell is None else cell.label for cell in cells}
        if len(labels) != 1 or 0 in labels:
            raise CorrectionsError(
                f"{name}: the points lie in {self._named(labels)}; click twice into one nucleus"
            )
        cell = core.cell(name, labels.pop())
        self._do(lambda: core.split(name, cell, markers=points, why=why))

    def draw(self, polygon: Sequence[Point], why: str = "") -> None:
        """Add a nucleus by its outline."""
        core, name = self._able()
        self._do(lambda: core.draw(name, polygon, why=why))

    def outline(self, region: str, polygon: Sequence[Point], why: str = "") -> None:
        """Outline a region, in the file that the batch reads."""
        core, name = self._able()
        self._do(lambda: core.outline(name, region, polygon, why=why))

    def remove_outline(self, region: str, polygon: Sequence[Point], why: str = "") -> None:
        """Take an outline away."""
        core, name = self._able()
        self._do(lambda: core.remove_outline(name, region, polygon, why=why))

    def review(self, state: str, note: str = "") -> None:
        """Say that the field was reviewed, is to be looked at, or is open again."""
        opened, field = self.session.opened, self.session.field
        if opened is None or opened.folder is None or field is None or self._core is None:
            raise CorrectionsError(self.problem)
        core, name = self._named_core(self._core), field.name
        cells = cells_hash(opened.folder, name)
        self._do(lambda: core.review(name, state, note=note, cells=cells))

    def undo(self) -> None:
        """Take back the user's last edit of the field."""
        core, name = self._able()
        if self._do(lambda: core.undo(name)) is None:
            self.session.tell("info", f"{self._user} has nothing to undo in {name}")

    def redo(self) -> None:
        """Make again what was taken back last."""
        core, name = self._able()
        if self._do(lambda: core.redo(name)) is None:
            self.session.tell("info", f"{self._user} has nothing to redo in {name}")

    def _able(self) -> tuple[CorrectionSession, str]:
        if self._core is None or self._field is None:
            raise CorrectionsError(self.problem)
        return self._named_core(self._core), self.name

    def _named_core(self, core: CorrectionSession) -> CorrectionSession:
        if not self._user:
            raise CorrectionsError(
                "Say who you are first: every edit is kept with a name (field 'Name')"
            )
        return core

    def _do(self, act: Callable[[], Edit | None]) -> Edit | None:
        """Make an edit; where another user was first, read what they did."""
        assert self._core is not None  # noqa: S101  by _able
        before = len(self.outlined())
        try:
            kept = act()
        except CorrectionsError as error:
            if error.reason == "conflict":
                self._core.refresh()
                self._follow()
                self.changed.emit()
            raise
        if kept is not None:
            outlined = len(self.outlined()) != before
            if outlined:
                self._stale, self._turn = True, self._turn + 1
            self._follow()
            if outlined:
                self.regions.emit()
            self.changed.emit()
            if REVIEW in (kept.kind, *(e.kind for e in self._core.log.edits
                                       if e.id == kept.what.get("edit"))):  # fmt: skip
                self.session.reviewed.emit(kept.field)
        return kept

    def _crossed(self, line: Sequence[Point]) -> int:
        """Nucleus that most of a line lies in."""
        assert self._core is not None  # noqa: S101  by _able
        ends = np.asarray(line, dtype=float)
        steps = np.linspace(0.0, 1.0, 40)[:, None]
        pieces = [a + steps * (b - a) for a, b in pairwise(ends)]
        cells = [
            self._core.cell_at(self.name, float(x), float(y), self._deep())
            for x, y in np.concatenate(pieces)
        ]
        labels = [cell.label for cell in cells if cell is not None]
        if not labels:
            raise CorrectionsError(f"{self.name}: the line crosses no nucleus")
        return int(np.bincount(labels).argmax())

    def _deep(self) -> float | None:
        """Middle of the stack in um, for stacks left in 3-D."""
        assert self._field is not None  # noqa: S101  by _able
        begun = self._field.begun
        return None if begun.labels.ndim == 2 else begun.spacing_um[0] * len(begun.labels) / 2

    @staticmethod
    def _named(labels: set[int]) -> str:
        return " and ".join(f"nucleus {n}" if n else "background" for n in sorted(labels))
