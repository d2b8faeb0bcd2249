"""The Corrections widget: classes, nuclei and regions put right, each edit on record."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog

from imganalysis.corrections import OPEN, REVIEWED, TO_LOOK_AT
from imganalysis.errors import CorrectionsError, ImganalysisError
from imganalysis.tables import PHENOTYPE, UNRESOLVED
from imganalysis.words import plural
from napari_imganalysis._attach import session_of, told
from napari_imganalysis._corrections_form import LABELS, CorrectionsForm
from napari_imganalysis._drawing import HOW, LINE, POINTS, POLYGON, Drawn, Pen, show_regions
from napari_imganalysis._edit_keys import CLASS_KEY, DELETE_KEY, REDO_KEY, UNDO_KEY, Keys
from napari_imganalysis._edit_rows import rows_of
from napari_imganalysis._editing import editor_of, reviews_of
from napari_imganalysis._view import NUCLEI

if TYPE_CHECKING:
    from collections.abc import Callable

FINISH_AFTER = 800  # ms without an edit, after which what was put off is made up for
MOST_KEYS = 9


class CorrectionsWidget(CorrectionsForm):
    """Changes classes, nuclei and regions of the field that is shown."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._session = session_of(napari_viewer)
        self._editor = editor_of(self._session)
        self._worker: Any = None
        self._finisher: Any = None
        self._first = 0  # nucleus that the next one is merged with
        warn = partial(self._session.tell, "warning")
        self._pen = Pen(self._viewer, self._tools_off, warn, self)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(FINISH_AFTER)
        self._later.timeout.connect(self._finish)
        self._connect()
        self._keys = self._bind()
        session, editor = self._session, self._editor
        session.field_changed.connect(self._new_field)
        session.selected.connect(self._selected)
        session.cells_changed.connect(self._new_cells)
        editor.changed.connect(self._refresh)
        editor.wanted.connect(self._measure)
        editor.regions.connect(self._regions)
        self._new_field(session.field)

    def _connect(self) -> None:
        self.user.setText(self._editor.user)
        self.user.editingFinished.connect(lambda: self._editor.set_user(self.user.text()))
        self.log.clicked.connect(self._ask_log)
        self.delete.clicked.connect(self._delete)
        self.merge.toggled.connect(self._merging)
        for button, start in (
            (self.split_line, self._splitting_by_line),
            (self.split_points, self._splitting_by_points),
            (self.draw, self._drawing),
            (self.outline, self._outlining),
        ):
            button.toggled.connect(self._tool(button, start))
        self.shape.currentTextChanged.connect(self._other_shape)
        self.remove.clicked.connect(self._remove_region)
        self.undo.clicked.connect(lambda: self._act(self._editor.undo))
        self.redo.clicked.connect(lambda: self._act(self._editor.redo))
        for button, state in zip(self.reviews, (REVIEWED, TO_LOOK_AT, OPEN), strict=True):
            button.clicked.connect(self._reviewing(state))
        self.edits.itemClicked.connect(self._go)

    def _bind(self) -> Keys:
        me = ref(self)

        def on(act: Callable[[CorrectionsWidget], None]) -> Callable[[], None]:
            def pressed() -> None:
                widget = me()
                if widget is not None:
                    act(widget)

            return pressed

        actions = {
            UNDO_KEY: on(lambda w: w.undo.click()),
            REDO_KEY: on(lambda w: w.redo.click()),
            DELETE_KEY: on(lambda w: w.delete.click()),
        }
        for number in range(1, MOST_KEYS + 1):
            actions[CLASS_KEY.format(number)] = on(lambda w, i=number: w._class_key(i))  # type: ignore[misc]
        return Keys(self._viewer, actions)

    # What is shown

    def _new_field(self, field: Any) -> None:
        self._tools_off()
        names = [] if field is None or field.panel is None else [*field.panel.classes, UNRESOLVED]
        self.fill_classes(names, self._session.legend, self._change)
        nuclei = next((one for one in self._viewer.layers if one.name == NUCLEI), None)
        if nuclei is not None:
            nuclei.editable = False  # what is painted there would be on no record
        self._keys.on_layers()
        self._selected(self._session.label)
        self._refresh()
        self._regions()
        if self._editor.behind:
            self._measure()

    def _new_cells(self, _cells: Any) -> None:
        self._selected(self._session.label)

    def _selected(self, label: int) -> None:
        if self.merge.isChecked() and label and label != self._first:
            # What chose the cell goes on with it, and would not find it any more.
            QTimer.singleShot(0, self._merge_with(self._first, label))
            self.merge.setChecked(False)
            return
        field = self._session.field
        row = field.cell(label) if field is not None and label else None
        name = "" if row is None else str(row[PHENOTYPE])
        self.show_cell(label, name, known=row is not None)

    def _refresh(self) -> None:
        editor = self._editor
        if not self.user.hasFocus() and self.user.text() != editor.user:
            self.user.setText(editor.user)
        self.show_problem(editor.problem)
        self.log.setToolTip(f"The log: {editor.log or 'none'}")
        self.show_edits(rows_of(editor))
        core, name = editor.core, editor.name
        able = bool(name) and core is not None
        self.undo.setEnabled(able and core.next_undo(name) is not None)  # type: ignore[union-attr]
        self.redo.setEnabled(able and core.next_redo(name) is not None)  # type: ignore[union-attr]
        state = reviews_of(self._session).said(name) if able else ""
        for button, own in zip(self.reviews, (REVIEWED, TO_LOOK_AT, OPEN), strict=True):
            button.setChecked(state == own)
        self._tell_state()

    def _tell_state(self) -> None:
        editor, core = self._editor, self._editor.core
        if not editor.name or core is None:
            self.show_state("")
        elif self._worker is not None:
            self.show_state("Measuring the field; its table follows. You can go on editing.")
        elif editor.behind:
            self.show_state("The table is behind the edits.")
        else:
            many = len(core.pending(editor.name))
            n = core.n_corrections(editor.name)
            text = f"{plural(n, 'correction')}; table up to date."
            self.show_state(text + (f" {many} not yet in the results." if many else ""))

    def _regions(self) -> None:
        field = self._session.field
        able = self._editor.name
        show_regions(self._viewer, field if able else None, self._editor.outlined())

    # Edits

    def _act(self, act: Callable[[], Any]) -> bool:
        """Make an edit; what stands against it is told."""
        self._editor.set_user(self.user.text()) if self.user.text() != self._editor.user else None
        done = False
        with told(self._session):
            act()
            done = True
            self.why.clear()
        self._later.start()
        self._tell_state()
        return done

    def _chosen(self) -> int:
        label = self._session.label
        if not label:
            self._session.tell("info", "Choose a cell first: click it in the picture or a table")
        return label

    def _change(self, name: str) -> None:
        label = self._chosen()
        if label:
            self._act(lambda: self._editor.change_class(label, name, self.reason()))

    def _class_key(self, number: int) -> None:
        if number <= len(self.classes):
            list(self.classes.values())[number - 1].click()

    def _delete(self) -> None:
        label = self._chosen()
        if label:
            self._act(lambda: self._editor.delete(label, self.reason()))

    def _reviewing(self, state: str) -> Callable[[], None]:
        def mark() -> None:
            self._act(lambda: self._editor.review(state, self.reason()))
            self._refresh()

        return mark

    # Tools

    def _tool(self, button: Any, start: Callable[[], Drawn]) -> Callable[[bool], None]:
        def toggled(on: bool) -> None:
            field = self._session.field
            if not on:
                self._pen.stop()
                self.show_hint("")
                return
            self._tools_off(but=button)
            if field is None or not self._editor.name:
                button.setChecked(False)
                return
            self._pen.start(start(), field)
            self._measure()

        return toggled

    def _tools_off(self, but: Any = None) -> None:
        for button in self.tools:
            if button is not but and button.isChecked():
                button.setChecked(False)

    def _merging(self, on: bool) -> None:
        self._first = 0
        if on:
            self._tools_off(but=self.merge)
            self._first = self._chosen()
            if not self._first:
                self.merge.setChecked(False)
                return
            self.show_hint(f"Click the nucleus that belongs to {self._first}.")
            self._measure()
        else:
            self.show_hint("")

    def _merge_with(self, first: int, label: int) -> Callable[[], None]:
        me = ref(self)

        def merge() -> None:
            widget = me()
            if widget is not None and widget._act(
                lambda: widget._editor.merge([first, label], widget.reason())
            ):
                widget._session.select(first)

        return merge

    def _splitting_by_line(self) -> Drawn:
        self.show_hint("Drag a line across the nucleus.")

        def split(points: list[tuple[float, float]]) -> None:
            self._act(lambda: self._editor.split_by_line(0, points, self.reason()))

        return Drawn(LINE, split)

    def _splitting_by_points(self) -> Drawn:
        self.show_hint("Click the middle of each of the two nuclei that are one now.")

        def split(points: list[tuple[float, float]]) -> None:
            self._act(lambda: self._editor.split_by_points(points, self.reason()))

        return Drawn(POINTS, split)

    def _drawing(self) -> Drawn:
        shape = self.shape.currentText()
        self.show_hint(f"{HOW[shape]} a nucleus; pixels of other nuclei are left to them.")

        def draw(points: list[tuple[float, float]]) -> None:
            self._act(lambda: self._editor.draw(points, self.reason()))

        return Drawn(shape, draw)

    def _other_shape(self) -> None:
        if self.draw.isChecked():
            self.draw.click()
            self.draw.click()

    def _outlining(self) -> Drawn:
        region = self.region.currentText()
        self.show_hint("Click the corners of the region; a double click ends it.")

        def outline(points: list[tuple[float, float]]) -> None:
            self._act(lambda: self._editor.outline(region, points, self.reason()))

        return Drawn(POLYGON, outline)

    def _remove_region(self) -> None:
        wanted = self.region.currentText()
        mine = [ring for name, ring in self._editor.outlined() if name == wanted]
        if not mine:
            self._session.tell("info", f"No {wanted} is outlined in this field")
            return
        ring = [(x, y) for x, y in mine[-1][:-1]]
        self._act(lambda: self._editor.remove_outline(wanted, ring, self.reason()))

    # What follows

    def _finish(self) -> None:
        """Make up for what edits put off, in a thread."""
        job = self._editor.finish_job()
        if job is None or self._finisher is not None:
            self._tell_state()
            return
        from napari.qt.threading import create_worker

        me, (edition, work) = ref(self), job

        def over(table: Any = None, error: Exception | None = None) -> None:
            widget = me()
            if widget is not None:
                widget._finisher = None
                with told(widget._session):
                    if error is not None:
                        raise _mendable(error)
                    widget._editor.adopt_table(edition, table)
                if error is None and widget._editor.finish_job() is not None:
                    widget._later.start()
                widget._tell_state()

        self._finisher = create_worker(
            work, _connect={"returned": over, "errored": lambda error: over(error=error)}
        )

    def _measure(self) -> None:
        """Measure the field in a thread, so that its table can follow."""
        if self._worker is not None:
            return
        job = None
        with told(self._session):
            job = self._editor.job()
        if job is None:
            return
        from napari.qt.threading import create_worker

        turn, work = job
        me, editor = ref(self), self._editor

        def over(act: Callable[[], None] | None, error: Exception | None = None) -> None:
            widget = me()
            if widget is None:
                return
            widget._worker = None
            with told(widget._session):
                if error is not None:
                    raise _mendable(error)
                if act is not None:
                    act()
            widget._tell_state()
            if error is None and editor.behind:
                widget._measure()

        self._worker = create_worker(
            work,
            _connect={"returned": lambda made: over(lambda: editor.adopt(turn, made)),
                      "errored": lambda error: over(None, error)},
        )  # fmt: skip
        self._tell_state()

    # The rest

    def leave(self) -> None:
        """Give the keys back, and take what is being drawn away."""
        self._later.stop()
        self._pen.close()
        self._keys.release()
        session, editor = self._session, self._editor
        for signal, slot in (
            (session.field_changed, self._new_field), (session.selected, self._selected),
            (session.cells_changed, self._new_cells), (editor.changed, self._refresh),
            (editor.wanted, self._measure), (editor.regions, self._regions),
        ):  # fmt: skip
            signal.disconnect(slot)

    def _go(self, item: Any) -> None:
        field = self._session.field
        for label in item.data(0, LABELS):
            if field is not None and field.labels is not None and (field.labels == label).any():
                self._session.select(label, go=True)
                return

    def _ask_log(self) -> None:
        place = QFileDialog.getExistingDirectory(self, "Folder for the log of corrections")
        if place:
            with told(self._session):
                self._editor.keep_log(Path(place))


def _mendable(error: Exception) -> Exception:
    """Give an error of a thread as one that is told; what nobody foresaw asks for a report."""
    if isinstance(error, ImganalysisError | OSError):
        return error
    text = f"The field cannot be measured ({type(error).__name__}: {error}); its edits are in the "
    return CorrectionsError(f"{text}log. Please report this")
