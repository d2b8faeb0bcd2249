"""The field that is edited: its log, and the nuclei and the table that follow. No window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from psygnal import Signal

from imganalysis.correcting import load_corrections
from imganalysis.corrections import REGIONAL, log_path
from imganalysis.errors import CorrectionsError, ImganalysisError
from imganalysis.outlining import outline_path, outlines_of
from imganalysis.regiving import regive_classes
from imganalysis.results import made_with_classifier, user_name
from napari_imganalysis._edit_study import Begun, begin, core_of, study_of
from napari_imganalysis._measuring import Measuring, measure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.correction_session import CorrectionSession
    from imganalysis.corrections import Replay
    from napari_imganalysis._fields import OpenField
    from napari_imganalysis._session import Session

NOT_FOLLOWING = (
    "These results were made with a classifier: nuclei that you edit are kept and drawn, and their "
    "table follows when the analysis is run with the log"
)


@dataclass(frozen=True)
class _Field:
    """The field that is edited."""

    shown: OpenField
    begun: Begun
    found: pd.DataFrame
    """Its table as the results have it."""


class Following:
    """The corrections of a session's field, and what follows from them.

    Signals: ``changed`` when there are other edits, another field or another user; ``wanted`` when
    the field must be measured before its table can follow; ``regions`` when outlines changed.
    """

    changed = Signal()
    wanted = Signal()
    regions = Signal()

    def __init__(self, session: Session) -> None:
        self._session = ref(session)
        name = user_name()
        self._user = "" if name == "unknown" else name
        self._log: Path | None = None
        self._core: CorrectionSession | None = None
        self._field: _Field | None = None
        self._measuring: Measuring | None = None
        self._stale = False  # it was made with other outlines
        self._put_off = False  # the table that is shown lacks something
        self._edition = 0  # counts tables, so that a late one is known for old
        self._turn = 0  # counts fields and outlines, so that a late measurement is known for old
        self._told = False
        self.problem = ""
        session.opened_changed.connect(self._opened)
        session.field_changed.connect(self._show)
        session.gates_changed.connect(self._other_gates)
        self._opened(session.opened)

    # What is edited

    @property
    def session(self) -> Session:
        """The session that it is of."""
        found = self._session()
        assert found is not None  # noqa: S101  it is kept by the viewer
        return found

    @property
    def core(self) -> CorrectionSession | None:
        """Corrections of the study that is opened; None where there can be none."""
        return self._core

    @property
    def name(self) -> str:
        """Name of the field that can be edited; empty for none."""
        return self._field.shown.name if self._field is not None else ""

    @property
    def user(self) -> str:
        """Who edits."""
        return self._user

    def set_user(self, name: str) -> None:
        """Say who edits; each edit is in this name from now on."""
        self._user = name.strip()
        if self._core is not None:
            self._core.user = self._user
        self.changed.emit()

    def keep_log(self, place: Path) -> None:
        """Keep the log elsewhere: a file, or a folder that holds it or shall.

        Raises
        ------
        CorrectionsError
            It is a log of another study, or damaged; the log before stays.
        """
        opened = self.session.opened
        if opened is None or opened.folder is None:
            raise CorrectionsError("Open the results of a study first; a log belongs to one")
        path = log_path(place)
        if path.is_file():
            load_corrections(path, study_of(opened))
        core = self._make_core(path)
        self._log, self._core = path, core
        self._show(self.session.field)
        self.session.reviewed.emit(self.name)  # of all fields, as the other log has it

    def _opened(self, _opened: Any) -> None:
        self._log, self._core = None, None
        if self.session.opened is not None and self.session.opened.folder is not None:
            try:
                self._core = self._make_core(None)
            except ImganalysisError as error:
                self.session.tell("error", error.message)
        self._show(self.session.field)

    def _make_core(self, log: Path | None) -> CorrectionSession:
        opened = self.session.opened
        assert opened is not None  # noqa: S101  by the callers
        core = core_of(opened, log)
        core.user = self._user
        for note in core.notes:
            self.session.tell("warning", note)
        return core

    def _show(self, field: OpenField | None) -> None:
        """Begin with a field; what edits made of it before is shown."""
        self._field, self._measuring, self._stale = None, None, False
        self._turn, self._edition, self._put_off = self._turn + 1, self._edition + 1, False
        opened = self.session.opened
        if field is None or opened is None:
            self.problem = "Open a field of a study's results in the Study widget."
        elif self._core is None:
            self.problem = (
                f"{field.name}: was not analysed; run the analysis, and open its results"
                if opened.folder is None
                else "The log of corrections cannot be used; choose another one with Log..."
            )
        else:
            self.problem = self._begin(field)
        self.changed.emit()
        self.regions.emit()

    def _begin(self, field: OpenField) -> str:
        core, opened = self._core, self.session.opened
        assert core is not None and opened is not None  # noqa: S101  by the caller
        try:
            begun = begin(opened, field)
            core.open_field(field.name, begun.labels, begun.spacing_um, begun.digest)
        except ImganalysisError as error:
            return error.message
        assert field.cells is not None  # noqa: S101  begin() looked
        self._field = _Field(field, begun, field.cells)
        for lost in core.replay(field.name).lost:
            self.session.tell("warning", f"An edit no longer fits {field.name}: {lost.message}")
        if self._edited():
            self._follow()
        return ""

    def _edited(self) -> bool:
        """Whether the field's table is another than the run's."""
        core = self._core
        return core is not None and bool(core.edits(self.name) or core.pending(self.name))

    def _other_gates(self, _gates: Any) -> None:
        """Let the table follow gates that were moved; without edits that is who moved them."""
        if self._field is not None and (self._edited() or self._measuring is not None):
            self._follow()

    # What was done

    @property
    def log(self) -> Path | None:
        """The log's file."""
        return None if self._core is None else self._core.log.path

    @property
    def replay(self) -> Replay | None:
        """What the edits make of the field."""
        return None if self._core is None or not self.name else self._core.replay(self.name)

    def outlined(self) -> list[tuple[str, list[list[float]]]]:
        """Regions of the field with their outlines, [x, y] in um from the upper left corner."""
        core, field = self._core, self._field
        if core is None or field is None:
            return []
        flat = (field.begun.spacing_um[-2], field.begun.spacing_um[-1])
        try:
            return outlines_of(self._outline_file(), flat, self._unit)
        except ImganalysisError as error:
            self.session.tell("error", error.message)
            return []

    @property
    def _unit(self) -> str | None:
        opened = self.session.opened
        return None if opened is None else opened.settings.space.annotation_unit

    def _outline_file(self) -> Path:
        assert self._core is not None  # noqa: S101  by the callers
        study = self._core.study
        return outline_path(study, next(f for f in study.fields if f.name == self.name))

    # What follows

    @property
    def behind(self) -> bool:
        """Whether the table is of nuclei that are no longer, or puts something off."""
        return self._is_old() or self._put_off

    def _is_old(self) -> bool:
        core, replay, field = self._core, self.replay, self._field
        if core is None or replay is None or field is None:
            return False
        if self._measuring is not None:
            return self._stale
        outlined = any(e.kind in REGIONAL for e in core.pending(self.name))
        return outlined or not _same(replay.labels, field.shown.labels)

    def _follow(self) -> None:
        """Show what the edits make of the field."""
        replay, field, session = self.replay, self._field, self.session
        if replay is None or field is None or session.field is None:
            return
        self._edition, self._put_off = self._edition + 1, False
        if self._measuring is not None:
            table = self._measuring.update(replay, session.gates, hurry=True)
            self._put_off = self._measuring.behind
        else:
            table = regive_classes(session.recalled(field.found), replay)
        if _same(replay.labels, session.field.labels):
            session.set_cells(table)
        else:
            session.set_labels(replay.labels, table)
        if session.label and not (replay.labels == session.label).any():
            session.select(0)
        if self._is_old():
            self.wanted.emit()

    def finish(self) -> None:
        """Make up for what an edit put off; the table is what a run writes then."""
        job = self.finish_job()
        if job is not None:
            self.adopt_table(job[0], job[1]())

    def finish_job(self) -> tuple[int, Callable[[], pd.DataFrame]] | None:
        """Give what makes up for it, for a thread, with its number; None for nothing to do."""
        measuring, replay, gates = self._measuring, self.replay, self.session.gates
        if measuring is None or replay is None or not self._put_off:
            return None
        return self._edition, lambda: measuring.finish(replay, gates)

    def adopt_table(self, edition: int, table: pd.DataFrame) -> None:
        """Show a table that `finish_job` made; one that an edit overtook is dropped."""
        if edition == self._edition and self._field is not None:
            self._put_off = False
            self.session.set_cells(table)
            self.changed.emit()

    def job(self) -> tuple[int, Callable[[], Measuring]] | None:
        """Give what measures the field, for a thread, with its number; None where nothing can.

        The call touches nothing of the session.
        """
        field, replay, opened = self._field, self.replay, self.session.opened
        if field is None or replay is None or opened is None:
            return None
        if self._measuring is not None and not self._stale:
            return None
        if opened.folder is not None and made_with_classifier(opened.folder):
            if not self._told:
                self._told = True
                self.session.tell("warning", NOT_FOLLOWING)
            return None
        path = self._outline_file()
        outlines = path if path.is_file() else None
        return self._turn, lambda: measure(opened, field.shown, field.begun, outlines, replay)

    def adopt(self, turn: int, measuring: Measuring) -> None:
        """Let the table follow a measurement that `job` made; an old one is dropped."""
        if turn != self._turn or self._field is None:
            return
        self._measuring, self._stale = measuring, False
        self._follow()
        self.finish()
        self.changed.emit()


def _same(one: NDArray[np.uint32], other: NDArray[np.uint32] | None) -> bool:
    return other is not None and bool(np.array_equal(one, other))
