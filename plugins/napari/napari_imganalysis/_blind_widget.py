"""The Blind counting widget: a reader marks cells per class, without names, calls or outlines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QComboBox,
    QDockWidget,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from imganalysis import tables as t
from imganalysis.errors import StudyError
from imganalysis.results import user_name
from imganalysis.words import plural
from napari_imganalysis import _counting as c
from napari_imganalysis._attach import session_of, told
from napari_imganalysis._blind_view import BlindView

if TYPE_CHECKING:
    from napari_imganalysis._results import Opened

OURS = "napari_imganalysis"
GLYPHS = {
    "ring": "\N{WHITE CIRCLE}", "square": "\N{WHITE SQUARE}",
    "triangle_up": "\N{WHITE UP-POINTING TRIANGLE}", "diamond": "\N{WHITE DIAMOND}",
    "star": "\N{WHITE STAR}", "cross": "+", "x": "\N{MULTIPLICATION SIGN}",
    "triangle_down": "\N{WHITE DOWN-POINTING TRIANGLE}", "hbar": "\N{EN DASH}", "vbar": "|",
}  # fmt: skip
"""Symbol of a mark -> how the legend writes it."""
HELP = (
    "A click marks a cell with the chosen class; a click on a mark gives it that class. "
    "Delete takes away the mark under the mouse, Ctrl+Z or U what was done last. A drag moves the "
    "view. Mark every cell that you would count, of every class."
)


class BlindWidget(QWidget):
    """Sets up a reading, shows its counters, and goes from field to field."""

    view: BlindView = None  # type: ignore[assignment]  # Qt sends events before it is there

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._session = session_of(napari_viewer)
        self.view = BlindView(_weak(napari_viewer), self._session)
        self._docks: list[QDockWidget] = []
        self.buttons: dict[str, QPushButton] = {}
        self._build()
        self.view.changed.connect(self._refresh)
        self.view.ended.connect(self._ended)
        self._session.opened_changed.connect(self._opened)
        # A widget that is closed leaves no layer, key or callback behind.
        self.destroyed.connect(_stopper(self.view))
        self._opened(self._session.opened)

    def event(self, event: Any) -> bool:
        """Leave counting when the widget is taken out of the window."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None and self.view:
            self.view.stop()
        return bool(super().event(event))

    # Its parts

    def _build(self) -> None:
        self.reader = QLineEdit(user_name())
        self.reader.setToolTip("Stands in the table, and in the name of its file")
        self.panel = QComboBox()
        self.n = QSpinBox()
        self.n.setRange(0, 999)
        self.n.setSpecialValueText("all")
        self.n.setToolTip(
            "Drawn by a random start and even steps, so that each has the same chance"
        )
        self.seed = QSpinBox()
        self.seed.setRange(0, 999_999_999)
        self.seed.setValue(2003)
        self.seed.setToolTip(
            "Same seed, same fields in the same order; it is kept with the reading"
        )
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("Folder for the reading and its table")
        choose = QPushButton("Choose...")
        choose.clicked.connect(self._ask_folder)
        where = QHBoxLayout()
        where.addWidget(self.folder, 1)
        where.addWidget(choose)
        for edit in (self.reader, self.folder):
            edit.textChanged.connect(self._look)
        self.panel.currentIndexChanged.connect(self._look)
        self.n.valueChanged.connect(self._look)
        self.start_button = QPushButton("Begin")
        self.start_button.clicked.connect(self.start)
        self.again_button = QPushButton("Read some again")
        self.again_button.setToolTip(
            f"{c.AGAIN_SHARE:.0%} of the fields a second time, after a wash-out of "
            f"{c.WASHOUT_DAYS} days or more: how far a reader agrees with himself"
        )
        self.again_button.clicked.connect(self.start_again)
        self.state = QLabel()
        self.state.setWordWrap(True)
        form = QFormLayout()
        for label, widget in (("Reader", self.reader), ("Panel", self.panel),
                              ("Fields of each biopsy", self.n), ("Seed", self.seed)):  # fmt: skip
            form.addRow(label, widget)
        form.addRow("Folder", where)
        self.setup = QWidget()
        first = QVBoxLayout(self.setup)
        first.setContentsMargins(0, 0, 0, 0)
        first.addLayout(form)
        first.addWidget(self.state)
        first.addLayout(_row(self.start_button, self.again_button))
        self.counter = QWidget()
        second = QVBoxLayout(self.counter)
        second.setContentsMargins(0, 0, 0, 0)
        self.progress = QProgressBar()
        self.classes = QVBoxLayout()
        self.classes.setSpacing(2)
        self.back_button = QPushButton("Back")
        self.back_button.setToolTip("The field before, again")
        self.back_button.clicked.connect(self.view.back)
        self.undo_button = QPushButton("Undo")
        self.undo_button.clicked.connect(self.view.undo)
        self.done_button = QPushButton("Field done, next")
        self.done_button.setToolTip("Every cell of the field is marked")
        self.done_button.clicked.connect(self.view.done)
        self.leave_button = QPushButton("Leave")
        self.leave_button.setToolTip("All is saved; Begin goes on where you left")
        self.leave_button.clicked.connect(self.view.stop)
        help_ = QLabel(HELP)
        help_.setWordWrap(True)
        second.addWidget(self.progress)
        second.addLayout(self.classes)
        second.addLayout(_row(self.back_button, self.undo_button, self.done_button))
        second.addWidget(help_)
        second.addWidget(self.leave_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.setup)
        layout.addWidget(self.counter)
        layout.addStretch(1)
        self.counter.hide()
        # The same keys as in the picture, where the focus is here.
        for key in (*c.KEYS, c.CANNOT_TELL_KEY):
            self._shortcut(key, self._key(key))
        self._shortcut("Ctrl+Z", self.view.undo)
        self._shortcut("U", self.view.undo)

    def _shortcut(self, key: str, do: Any) -> None:
        shortcut = QShortcut(QKeySequence(key), self.counter)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(do)

    def _key(self, key: str) -> Any:
        def do() -> None:
            kind = self._kinds().get(key)
            if kind is not None:
                self.view.choose(kind)

        return do

    def _kinds(self) -> dict[str, str]:
        """Key -> class."""
        if self.view.reading is None:
            return {}
        pairs = zip(c.KEYS, self.view.reading.classes, strict=False)
        return {**dict(pairs), c.CANNOT_TELL_KEY: t.UNRESOLVED}

    # A reading

    def _opened(self, opened: Opened | None) -> None:
        self.panel.clear()
        for name in () if opened is None else opened.panels:
            if c.countable(opened, name):  # type: ignore[arg-type]
                self.panel.addItem(name)
        self._look()

    def _path(self, number: int = 1) -> Path:
        folder = Path(self.folder.text().strip()).expanduser()
        return c.reading_path(folder, self.reader.text(), self.panel.currentText(), number)

    def _look(self, *_: Any) -> None:
        """Say what is there already of this reader, and what may be done."""
        opened, text, begin = self._session.opened, "", "Begin"
        ready = opened is not None and bool(self.folder.text().strip() and self.panel.count())
        ready = ready and bool(self.reader.text().strip())
        again = False
        if opened is None:
            text = "Open a study first, with the Study widget"
        elif not self.panel.count():
            text = "The study has no field that can be counted"
        elif not ready:
            named = bool(self.reader.text().strip())
            text = "Choose a folder for the reading" if named else "Type the reader's name"
        elif not self._path().is_file():
            groups = c.countable(opened, self.panel.currentText())
            wanted = self.n.value()
            n = sum(min(len(names), wanted) if wanted else len(names) for names in groups.values())
            text = f"{plural(n, 'field')} of {plural(len(groups), 'biopsy', 'biopsies')} to count"
        else:
            with told(self._session):
                reading = c.load(self._latest())
                done, n = len(reading.done), len(reading.order)
                left = n - done  # those that could not be shown are tried again
                begin = "Go on" if left else "Begin"
                turn = "" if reading.number == 1 else f"Reading {reading.number}: "
                text = f"{turn}{done} of {plural(n, 'field')} done; seed {reading.seed}"
                again, ready = not reading.open_fields and bool(done), bool(left)
        self.state.setText(text)
        self.start_button.setText(begin)
        self.start_button.setEnabled(ready)
        self.again_button.setEnabled(again)
        for widget in (self.n, self.seed):
            widget.setEnabled(begin == "Begin")

    def _latest(self) -> Path:
        """File of this reader's last reading."""
        number = 1
        while self._path(number + 1).is_file():
            number += 1
        return self._path(number)

    def start(self) -> None:
        """Begin a reading, or go on with it."""
        with told(self._session):
            opened = self._session.opened
            if opened is None:
                raise StudyError("open a study first, with the Study widget")
            path = self._path()
            if path.is_file():
                path = self._latest()
                reading = c.load(path)
                c.check_fits(reading, opened, path)
                reading = replace(reading, left_out={})
            else:
                reading = c.begin(
                    opened, opened.panels[self.panel.currentText()], self.reader.text(),
                    seed=self.seed.value(), per_biopsy=self.n.value(),
                )  # fmt: skip
            self._begin(reading, path)

    def start_again(self) -> None:
        """Read some fields a second time."""
        with told(self._session):
            first = c.load(self._latest())
            opened = self._session.opened
            if opened is None:
                raise StudyError("open a study first, with the Study widget")
            c.check_fits(first, opened, self._latest())
            again = c.begin_again(first, seed=self.seed.value())
            days = c.days_since(first.finished)
            if days < c.WASHOUT_DAYS:
                self._session.tell(
                    "warning",
                    f"The reading before ended {plural(round(days), 'day')} ago; after fewer than "
                    f"{c.WASHOUT_DAYS} days fields are remembered, and the agreement is too good",
                )
            self._begin(again, self._path(again.number))

    def _begin(self, reading: c.Reading, path: Path) -> None:
        self._hide_others()
        self._legend(reading)
        self.setup.hide()
        self.counter.show()
        try:
            self.view.start(reading, path)
        except Exception:
            self._ended()
            raise

    def _ended(self) -> None:
        for dock in self._docks:
            dock.show()
        self._docks = []
        self.counter.hide()
        self.setup.show()
        self._look()

    def _hide_others(self) -> None:
        """Hide our other widgets: they show names, calls and numbers."""
        for dock in self.window().findChildren(QDockWidget):
            inside = [type(one).__module__ for one in dock.findChildren(QWidget)]
            ours = any(name.startswith(OURS) for name in inside)
            if ours and not dock.isAncestorOf(self) and not dock.isHidden():
                dock.hide()
                self._docks.append(dock)

    def _legend(self, reading: c.Reading) -> None:
        """Make a button per class: key, symbol, name and counter."""
        while (item := self.classes.takeAt(0)) is not None:
            item.widget().deleteLater()
        self.buttons = {}
        for kind in (*reading.classes, t.UNRESOLVED):
            button = QPushButton()
            button.setCheckable(True)
            button.clicked.connect(self._chooser(kind))
            colour = c.look_of(kind, reading.classes)[0]
            # The colour stands at the side, so that the text is readable in both themes.
            button.setStyleSheet(
                f"QPushButton {{ text-align: left; padding: 4px 8px; border-left: 10px solid "
                f"{colour}; }} QPushButton:checked {{ border: 2px solid {colour}; "
                f"border-left: 18px solid {colour}; font-weight: bold; }}"
            )
            self.buttons[kind] = button
            self.classes.addWidget(button)

    def _chooser(self, kind: str) -> Any:
        return lambda: self.view.choose(kind)

    def _refresh(self) -> None:
        reading = self.view.reading
        if reading is None:
            return
        keys = {kind: key for key, kind in self._kinds().items()}
        counts = reading.counts(self.view.field)
        for kind, button in self.buttons.items():
            name = "cannot tell" if kind == t.UNRESOLVED else kind
            glyph = GLYPHS[c.look_of(kind, reading.classes)[1]]
            button.setText(f"{keys.get(kind, ' ')}   {glyph}  {name}   {counts[kind]}")
            button.setChecked(kind == self.view.kind)
        n, left = len(reading.order), len(reading.open_fields)
        self.back_button.setEnabled(bool(reading.done))
        self.progress.setRange(0, n)
        self.progress.setValue(n - left)
        self.progress.setFormat(
            f"Field {n - left + 1} of {n}: {plural(sum(counts.values()), 'cell')}"
        )

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder for the reading and its table")
        if path:
            self.folder.setText(path)


def _weak(viewer: Any) -> Any:
    import weakref

    return weakref.proxy(getattr(viewer, "__wrapped__", viewer))


def _stopper(view: BlindView) -> Any:
    """Give a function that ends counting when the widget is gone, if the viewer is not."""

    def stop(*_: Any) -> None:
        try:
            view.ended.disconnect()
            view.stop()
        except (ReferenceError, RuntimeError):  # the viewer went first
            return

    return stop


def _row(*widgets: QWidget) -> QHBoxLayout:
    layout = QHBoxLayout()
    for widget in widgets:
        layout.addWidget(widget)
    return layout
