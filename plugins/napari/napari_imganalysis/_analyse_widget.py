"""The Analyse widget: runs what the command line runs, with settings from a form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QTabWidget,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from imganalysis.errors import StoppedError, StudyError
from imganalysis.report.summary import bleedthrough_note, gates_note
from imganalysis.results import made_with_classifier
from imganalysis.words import plural
from napari_imganalysis._attach import session_of, told
from napari_imganalysis._files_page import FilesPage
from napari_imganalysis._form import Form
from napari_imganalysis._form_widget import FormWidget
from napari_imganalysis._job import (
    PART,
    Job,
    check_panels,
    error_text,
    free_folder,
    holds_results,
    is_unforeseen,
)
from napari_imganalysis._worker import RunWorker, ender

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_imganalysis._fields import OpenField
    from napari_imganalysis._results import Opened

WHOLE, CURRENT, CHOSEN = "Whole study", "Field that is open", "Chosen biopsies and fields"
FIELD = Qt.ItemDataRole.UserRole
NO_CLASSIFIER = (
    "These results were made with a classifier, whose file is not in them: name it under Files, "
    "Classifier, before you run"
)


class AnalyseWidget(QWidget):
    """Runs the analysis on what is opened, in the background, and opens the results."""

    worker: RunWorker | None = None

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._session = session_of(napari_viewer)
        self._again = ""
        self._build()
        session = self._session
        session.opened_changed.connect(self._opened)
        session.field_changed.connect(self._field)
        session.run_wanted.connect(self._take_files)
        self._opened(session.opened)
        self._field(session.field)

    def event(self, event: Any) -> bool:
        """End the run when the widget is taken out of the window."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None and self.worker:
            self.worker.end()
        return bool(super().event(event))

    # Its parts

    def _build(self) -> None:
        self.where = QLabel()
        self.where.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.scope = QComboBox()
        self.scope.addItems([WHOLE, CURRENT, CHOSEN])
        self.scope.currentIndexChanged.connect(self._scope_changed)
        self.tree = QTreeWidget()
        self.tree.setHeaderHidden(True)
        self.tree.setMaximumHeight(130)
        self.tree.itemChanged.connect(self._scope_changed)
        self.note = QLabel(PART)
        self.note.setWordWrap(True)
        self.out = QLineEdit()
        self.out.setPlaceholderText("Folder for the results")
        self.out.textChanged.connect(self._enable)
        self.choose_out = _button("Choose...", self._ask_out)
        out = QHBoxLayout()
        out.addWidget(self.out, 1)
        out.addWidget(self.choose_out)
        top = QFormLayout()
        top.addRow("Study", self.where)
        top.addRow("Analyse", self.scope)
        top.addRow(self.tree)
        top.addRow(self.note)
        top.addRow("Results", out)
        self.form = FormWidget()
        self.form.changed.connect(self._enable)
        self.load_button = _button("Load...", self._ask_load, "A settings file, or a run.json")
        self.save_button = _button("Save...", self._ask_save, "What is not the default, as YAML")
        self.reset_button = _button("Defaults", self._reset, "Take every default again")
        buttons = QHBoxLayout()
        for one in (self.load_button, self.save_button, self.reset_button):
            buttons.addWidget(one)
        settings = QWidget()
        inside = QVBoxLayout(settings)
        inside.setContentsMargins(2, 4, 2, 2)
        inside.addWidget(self.form, 1)
        inside.addLayout(buttons)
        self.tabs = QTabWidget()
        self.tabs.addTab(settings, "Settings")
        self.files = FilesPage()
        self.tabs.addTab(self.files, "Files")
        self.run_button = _button("Run", self.run)
        self.cancel_button = _button("Stop", self.cancel, "End the run; nothing is written")
        self.copy_button = _button("Copy command", self._copy,
                                   "The command line that does the same")  # fmt: skip
        self.bar = QProgressBar()
        self.bar.setVisible(False)
        self.status = QLabel()
        self.status.setWordWrap(True)
        run = QHBoxLayout()
        for one in (self.run_button, self.cancel_button, self.copy_button):
            run.addWidget(one)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addLayout(top)
        layout.addWidget(self.tabs, 1)
        layout.addLayout(run)
        layout.addWidget(self.bar)
        layout.addWidget(self.status)

    # What is opened

    def _opened(self, opened: Opened | None) -> None:
        self.where.setText("Nothing opened: use the Study widget" if opened is None
                           else f"{opened.root.parent.name}/{opened.root.name}")  # fmt: skip
        self.where.setToolTip("" if opened is None else str(opened.root))
        if opened is not None and opened.analysed:
            form = Form()
            form.take(opened.settings)
            self.form.take(form)
        self.tree.blockSignals(True)
        self.tree.clear()
        rows = () if opened is None else opened.fields.itertuples(index=False)
        tops: dict[str, QTreeWidgetItem] = {}
        for row in rows:
            biopsy = row.biopsy if isinstance(row.biopsy, str) else ""
            if row.role != "sample" or not biopsy or row.field not in opened.names:  # type: ignore[union-attr]
                continue
            if biopsy not in tops:
                tops[biopsy] = _checkable(QTreeWidgetItem(self.tree, [biopsy]))
                flags = tops[biopsy].flags()
                tops[biopsy].setFlags(flags | Qt.ItemFlag.ItemIsAutoTristate)
            item = _checkable(QTreeWidgetItem(tops[biopsy], [str(row.field)]))
            item.setData(0, FIELD, str(row.field))
        self.tree.blockSignals(False)
        self._scope_changed()

    def _field(self, _field: OpenField | None) -> None:
        self._enable()

    def _scope_changed(self, *_: Any) -> None:
        self.tree.setVisible(self.scope.currentText() == CHOSEN)
        self.note.setVisible(self.scope.currentText() != WHOLE)
        self._enable()

    def chosen(self) -> frozenset[str] | None:
        """Names of the fields to analyse; None for all."""
        scope, field = self.scope.currentText(), self._session.field
        if scope == WHOLE:
            return None
        if scope == CURRENT:
            return frozenset() if field is None else frozenset({field.name})
        found = set()
        for i in range(self.tree.topLevelItemCount()):
            top = self.tree.topLevelItem(i)
            for j in range(top.childCount()):
                if top.child(j).checkState(0) == Qt.CheckState.Checked:
                    found.add(str(top.child(j).data(0, FIELD)))
        return frozenset(found)

    def _missing(self) -> str:
        """Say what is still missing before a run can start."""
        if self._session.opened is None:
            return "Open a study first, with the Study widget"
        if self.chosen() == frozenset():
            current = self.scope.currentText() == CURRENT
            return "Open a field first" if current else "Mark biopsies or fields in the list"
        if self.form.form.mistakes():
            return "Mend what is wrong in the settings first"
        return "" if self.out.text().strip() else "Choose a folder for the results"

    def _enable(self, *_: Any) -> None:
        running = self.worker is not None
        missing = self._missing()
        self.run_button.setEnabled(not running and not missing)
        self.run_button.setToolTip(missing)
        self.cancel_button.setEnabled(running)
        self.copy_button.setEnabled(not missing and self.chosen() is None)
        if not running and missing:
            self.status.setText(missing)
        elif not running and self.status.text().startswith(("Open a", "Mark", "Mend", "Choose")):
            self.status.setText("")

    # Settings files

    def load(self, path: Path) -> None:
        """Take the settings of a file; what is wrong with it becomes a message."""
        with told(self._session):
            form = Form()
            form.load(path)
            self.form.take(form)

    def save(self, path: Path) -> None:
        """Write the settings that are not the default."""
        with told(self._session):
            self.form.form.save(path)
            self._session.tell("info", f"{path}: written")

    def _reset(self) -> None:
        self.form.take(Form())

    def _ask_load(self) -> None:
        kinds = "Settings (*.yaml *.yml *.json)"
        path, _ = QFileDialog.getOpenFileName(self, "Settings file", "", kinds)
        if path:
            self.load(Path(path))

    def _ask_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Settings file", "settings.yaml", "*.yaml")
        if path:
            self.save(Path(path))

    def _ask_out(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder for the results")
        if path:
            self.out.setText(path)

    def _take_files(self, files: Mapping[str, Path]) -> None:
        """Fill in what a run shall have that works in what people changed; nothing starts yet."""
        opened = self._session.opened
        if opened is None or opened.folder is None or self.worker is not None:
            return
        for name, path in files.items():
            self.files.edits[name].setText(str(path))
        self.scope.setCurrentText(WHOLE)
        self.out.setText(str(free_folder(opened.folder)))
        self.tabs.setCurrentWidget(self.files)
        if made_with_classifier(opened.folder) and not self.files.edits["classifier"].text():
            self._session.tell("warning", NO_CLASSIFIER)

    # The run

    def job(self, overwrite: bool = False) -> Job:
        """Give what would be run.

        Raises
        ------
        ImganalysisError
            Something is missing, or a setting is wrong.
        """
        opened = self._session.opened
        missing = self._missing()
        if missing or opened is None:
            raise StudyError(missing)
        check_panels(opened, self.files.panels)
        out = Path(self.out.text().strip()).expanduser()
        return Job(opened.root, out, self.form.form.settings(), self.chosen(), self.files.panels,
                   self.files.files, self.files.workers, overwrite)  # fmt: skip

    def run(self) -> None:
        """Start; asks first where earlier results would be replaced."""
        if self.worker is not None:
            return
        with told(self._session):
            job = self.job()
            if holds_results(job.out):
                if not self._may_replace(job.out):
                    return
                job = self.job(overwrite=True)
            self._start(job)

    def _may_replace(self, out: Path) -> bool:
        text = (
            f"{out} holds earlier results. Replace them?\n\nTables, cells, labels and gates in it "
            "are replaced once the run is done; files of other names stay."
        )
        answer = QMessageBox.question(self, "Replace results?", text)
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _start(self, job: Job) -> None:
        field = self._session.field
        self._again = field.name if field is not None else ""
        self.worker = worker = RunWorker(job)
        worker.progressed.connect(self._progress)
        worker.finished.connect(self._finished)
        # A widget that is closed, or a viewer, leaves no run behind.
        self.destroyed.connect(ender(worker))
        self.bar.setRange(0, 0)
        self.bar.setVisible(True)
        self.status.setText("Opening the study...")
        self._enable()
        worker.start()

    def _progress(self, step: str, done: int, total: int) -> None:
        if self.worker is None or self.worker.abort_requested:
            return
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.bar.setFormat(f"{step}: %v of %m")
        if step == "Fields" and done == total:
            self.bar.setRange(0, 0)
            self.status.setText("Gates, classes and tables...")
        else:
            self.status.setText(f"{step}: {done} of {total}")

    def cancel(self) -> None:
        """Stop the run; nothing of it is left."""
        if self.worker is not None:
            self.worker.quit()
            self.cancel_button.setEnabled(False)
            self.bar.setRange(0, 0)
            self.status.setText("Stopping...")

    def _finished(self) -> None:
        worker, self.worker = self.worker, None
        if worker is None:
            return
        self.bar.setVisible(False)
        if worker.error is not None:
            self._failed(worker.error)
        elif worker.result is not None:
            self._done(worker)
        self._enable()

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, StoppedError):
            self.status.setText("Stopped; nothing was written")
            self._session.tell("info", "The run was stopped; nothing was written")
            return
        if is_unforeseen(error):
            from napari.utils.notifications import notification_manager

            notification_manager.receive_error(type(error), error, error.__traceback__)
        self.status.setText("Failed; nothing was written")
        self._session.tell("error", error_text(error))

    def _done(self, worker: RunWorker) -> None:
        result, out = worker.result, worker.job.out
        assert result is not None  # noqa: S101  by the caller
        n = result.n_failed
        failed = f"; {plural(n, 'field')} failed, see Flags in the Study widget" if n else ""
        with told(self._session):
            opened = self._session.open(out)
            if self._again in opened.names:
                self._session.open_field(self._again)
        notes = [gates_note(result.gates), bleedthrough_note(result.fields)]
        self.status.setText("\n".join(filter(None, [f"Done: {out}{failed}", *notes])))
        self._session.tell("warning" if n else "info", f"Results in {out}{failed}")

    def _copy(self) -> None:
        """Put the command line that does the same onto the clipboard; its settings are saved."""
        with told(self._session):
            job = self.job()
            path = None
            if self.form.form.values():
                path = job.out.with_name(f"{job.out.name}_settings.yaml")
                self.form.form.save(path, replace=False)
            text = job.command(path)
            QApplication.clipboard().setText(text)
            self._session.tell("info", f"Copied: {text}")


def _button(text: str, do: Any, tip: str = "") -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.clicked.connect(lambda: do())
    return button


def _checkable(item: QTreeWidgetItem) -> QTreeWidgetItem:
    item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
    item.setCheckState(0, Qt.CheckState.Unchecked)
    return item
