"""Files that a run may be given beside the images, and how many processes work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_imganalysis._job import FILES


class FilesPage(QWidget):
    """The options of the command line that name files, each with a button to choose one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        rows = QFormLayout(self)
        self.panel_files = QLineEdit()
        self.panel_files.setPlaceholderText("all built-in panels")
        self.panel_files.setToolTip("Panel files or built-in names, separated by ;")
        rows.addRow("Panels", self._with_button(self.panel_files, several=True))
        self.edits: dict[str, QLineEdit] = {}
        for name, tip in FILES.items():
            edit = self.edits[name] = QLineEdit()
            edit.setPlaceholderText("none")
            edit.setToolTip(tip)
            rows.addRow(name.capitalize(), self._with_button(edit))
        self.processes = QSpinBox()
        self.processes.setRange(0, 999)
        self.processes.setSpecialValueText("all processors")
        self.processes.setToolTip("The results do not depend on it; fewer need less memory")
        rows.addRow("Processes", self.processes)

    @property
    def panels(self) -> tuple[str, ...]:
        """Panels that are named; empty for all built-in ones."""
        return tuple(one.strip() for one in self.panel_files.text().split(";") if one.strip())

    @property
    def files(self) -> dict[str, Path]:
        """Option -> file, for those that are given."""
        texts = {name: edit.text().strip() for name, edit in self.edits.items()}
        return {name: Path(text).expanduser() for name, text in texts.items() if text}

    @property
    def workers(self) -> int | None:
        """Processes; None for all processors."""
        return self.processes.value() or None

    def _with_button(self, edit: QLineEdit, several: bool = False) -> QWidget:
        widget = QWidget()
        layout = QHBoxLayout(widget)
        layout.setContentsMargins(0, 0, 0, 0)
        button = QPushButton("...")
        button.setToolTip("Choose a file")
        button.clicked.connect(self._asker(edit, several))
        layout.addWidget(edit, 1)
        layout.addWidget(button)
        return widget

    def _asker(self, edit: QLineEdit, several: bool) -> Any:
        def ask() -> None:
            paths, _ = QFileDialog.getOpenFileNames(self, "File")
            if paths:
                edit.setText(";".join(paths if several else paths[:1]))

        return ask
