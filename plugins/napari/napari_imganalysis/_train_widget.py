"""The Train widget: how many corrections there are, and what can be learnt from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from imganalysis.errors import CorrectionsError, ImganalysisError
from imganalysis.words import plural
from napari_imganalysis._attach import session_of, told
from napari_imganalysis._editing import editor_of
from napari_imganalysis._leaving import Leaving
from napari_imganalysis._training import (
    Going,
    Prepared,
    class_table,
    export,
    patients_of,
    plan_of,
    train_network,
    train_on_classes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_EVERY = 300  # ms, at how far a thread is
NEEDED = "A classifier needs 20 corrected cells of each class, and 3 patients."


class TrainWidget(Leaving):
    """Exports corrected nuclei for a network, and trains a classifier on corrected classes."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._session = session_of(napari_viewer)
        self._editor = editor_of(self._session)
        self._worker: Any = None
        self._going = Going()
        self.prepared: Prepared | None = None
        self._build()
        self._look = QTimer(self)
        self._look.setInterval(LOOK_EVERY)
        self._look.timeout.connect(self._show_progress)
        self._editor.changed.connect(self._refresh)
        self._session.opened_changed.connect(self._forget)
        self._refresh()

    def leave(self) -> None:
        """Stop what runs: nobody could see or stop it any more."""
        self._going.stopped = True
        self._look.stop()
        self._editor.changed.disconnect(self._refresh)
        self._session.opened_changed.disconnect(self._forget)

    def _build(self) -> None:
        self.nuclei, self.classes = _text(), _text()
        self.export_button = _button(
            "Export pairs...", "Write the reviewed fields and a recipe for imganalysis train"
        )
        self.train_button = _button("Train network", "Train here; it can be stopped and goes on")
        self.copy_button = _button("Copy command", "The command that does the same in a terminal")
        self.learn_button = _button(
            "Train classifier...", "Train on corrected classes, and compare it with the rules"
        )
        self.stop_button = _button("Stop", "Stop; what is done so far is kept")
        self.command = _text()
        self.command.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.bar = QProgressBar()
        self.result = QTextBrowser()
        self.result.setOpenExternalLinks(False)
        self.export_button.clicked.connect(self._ask_export)
        self.train_button.clicked.connect(self._train)
        self.copy_button.clicked.connect(self._copy)
        self.learn_button.clicked.connect(self._ask_learn)
        self.stop_button.clicked.connect(self._stop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(
            _group("Nuclei: a network", self.nuclei,
                   _row(self.export_button, self.train_button, self.copy_button), self.command)
        )  # fmt: skip
        layout.addWidget(_group("Classes: a classifier", self.classes, _row(self.learn_button)))
        below = _row(self.bar, self.stop_button)
        layout.addLayout(below)
        layout.addWidget(self.result, 1)
        self.setMinimumWidth(380)

    # What there is

    def _forget(self, _opened: Any) -> None:
        self.prepared = None
        self.result.clear()
        self._refresh()

    def _refresh(self) -> None:
        plan, opened = plan_of(self._editor), self._session.opened
        busy = self._worker is not None
        some = plan is not None and len(plan.fields) > len(plan.held_out)
        text = "Open the results of a study." if plan is None else plan.text
        if plan is not None and plan.fields and not some:
            text += "\nAll of them are kept to test with: review another field to train on."
        self.nuclei.setText(text)
        self.export_button.setEnabled(some and not busy)
        self.train_button.setEnabled(self.prepared is not None and not busy)
        self.copy_button.setEnabled(self.prepared is not None)
        self.command.setText(self.prepared.command if self.prepared is not None else "")
        self.command.setVisible(self.prepared is not None)
        text, able = NEEDED, False
        if plan is not None and opened is not None:
            with told(self._session):
                table, left_out = class_table(self._editor, opened)
                counts = patients_of(opened, table)
                able = len(table) > 0
                found = ", ".join(
                    f"{n} {name} of {plural(who, 'patient')}"
                    for name, n, who in counts.itertuples(index=False)
                )
                text = plural(len(table), "corrected cell")
                text += f": {found}." if found else "."
                if left_out:
                    text += " Left out: "
                    text += ", ".join(f"{n} ({why})" for why, n in left_out.items())
                    text += "; run the analysis with the log first."
                text += f" {NEEDED}"
        self.classes.setText(text)
        self.learn_button.setEnabled(able and not busy)
        self.bar.setVisible(busy)
        self.stop_button.setVisible(busy)

    # Acts

    def _ask_export(self) -> None:
        place = QFileDialog.getExistingDirectory(self, "Folder for images, nuclei and recipe")
        if place:
            self.export_to(Path(place))

    def export_to(self, folder: Path) -> None:
        """Write the pairs and the recipe, in a thread."""
        editor, opened, going = self._editor, self._session.opened, self._begin()
        if opened is None:
            return

        def done(prepared: Prepared) -> None:
            self.prepared = prepared
            self.result.setMarkdown(
                f"**{plural(len(prepared.fields), 'field')}** written to `{prepared.folder}`: "
                f"{len(prepared.learnt)} to train on. Train here, or run the command above."
            )

        self._run(lambda: export(editor, opened, folder, going), done)

    def _train(self) -> None:
        prepared, going = self.prepared, self._begin()
        if prepared is not None:
            self._run(lambda: train_network(prepared, going), self.result.setPlainText)

    def _copy(self) -> None:
        if self.prepared is not None:
            QApplication.clipboard().setText(self.prepared.command)

    def _ask_learn(self) -> None:
        place, _ = QFileDialog.getSaveFileName(
            self, "File of the classifier", "classifier.json", "Classifier (*.json)"
        )
        if place:
            self.learn_to(Path(place))

    def learn_to(self, out: Path) -> None:
        """Train a classifier on the corrected classes, in a thread, and show its card."""
        editor, opened, _ = self._editor, self._session.opened, self._begin()
        if opened is None:
            return
        panel = self._session.field.where.panel if self._session.field is not None else None
        out = out if out.suffix == ".json" else out.with_suffix(".json")
        self._run(
            lambda: train_on_classes(editor, opened, out, panel),
            lambda found: self.result.setMarkdown(found[1]),
        )

    def _stop(self) -> None:
        self._going.stopped = True
        self.stop_button.setEnabled(False)

    # Threads

    def _begin(self) -> Going:
        self._going.step, self._going.done, self._going.total = "", 0, 0
        self._going.stopped = False
        self.stop_button.setEnabled(True)
        return self._going

    def _run(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        from napari.qt.threading import create_worker

        if self._worker is not None:
            return
        me = ref(self)

        def over(found: Any) -> None:
            widget = me()
            if widget is not None:
                widget._over()
                done(found)
                widget._refresh()

        def failed(error: Exception) -> None:
            widget = me()
            if widget is None:
                return
            widget._over()
            with told(widget._session):
                if isinstance(error, ImganalysisError | OSError):
                    raise error
                raise CorrectionsError(f"{type(error).__name__}: {error}; please report this")

        self._worker = create_worker(work, _connect={"returned": over, "errored": failed})
        self._look.start()
        self._refresh()

    def _over(self) -> None:
        self._worker = None
        self._look.stop()
        self._refresh()

    def _show_progress(self) -> None:
        going = self._going
        self.bar.setRange(0, going.total)
        self.bar.setValue(going.done)
        self.bar.setFormat(f"{going.step} %v of %m" if going.total else "Working")


def _text() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def _row(*widgets: QWidget) -> QHBoxLayout:
    layout = QHBoxLayout()
    for widget in widgets:
        layout.addWidget(widget)
    return layout


def _group(title: str, text: QWidget, row: QHBoxLayout, below: QWidget | None = None) -> QGroupBox:
    group = QGroupBox(title)
    layout = QVBoxLayout(group)
    layout.addWidget(text)
    layout.addLayout(row)
    if below is not None:
        layout.addWidget(below)
    return group
