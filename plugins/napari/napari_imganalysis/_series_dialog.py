"""Asks which series of an image file are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from imganalysis.stack import Series


def series_text(series: Series) -> str:
    """Say what a series is, for a list: number, name, size, channels."""
    sizes = dict(zip(series.axes, series.shape, strict=True))
    size = f"{sizes.get('X', '?')} x {sizes.get('Y', '?')}"
    planes = sizes.get("Z", 1)
    name = series.name or "without a name"
    if series.tile is not None:
        name += f", tile {series.tile}"
    channels = ", ".join(series.channels) or plural(sizes.get("C", 1), "channel")
    return f"{series.index}  {name}  -  {size}, {plural(planes, 'plane')}  -  {channels}"


class SeriesDialog(QDialog):
    """A list of the fields of view of a file, of which any number is chosen."""

    def __init__(self, path: Path, fields: Sequence[Series], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Series of {path.name}")
        self.resize(620, 420)
        self._fields = list(fields)
        views = plural(len(fields), "field of view", "fields of view")
        told = QLabel(f"{path.name} holds {views}. Open which?", self)
        told.setWordWrap(True)
        self.list = QListWidget(self)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        for position, one in enumerate(self._fields):
            item = QListWidgetItem(series_text(one))
            item.setData(Qt.ItemDataRole.UserRole, position)
            self.list.addItem(item)
        self.list.setCurrentRow(0)
        self.list.itemDoubleClicked.connect(lambda item: self.accept())
        buttons = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(buttons.Open | buttons.Cancel, self)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        for widget in (told, self.list, self.buttons):
            layout.addWidget(widget)

    def chosen(self) -> list[Series]:
        """Series that are marked, in the file's order."""
        rows = sorted(item.data(Qt.ItemDataRole.UserRole) for item in self.list.selectedItems())
        return [self._fields[row] for row in rows]


def choose_series(
    path: Path, fields: Sequence[Series], parent: QWidget | None = None
) -> list[Series]:
    """Show the dialog; gives what was chosen, nothing where it was cancelled."""
    dialog = SeriesDialog(path, fields, parent)
    try:
        taken = dialog.exec() == QDialog.DialogCode.Accepted
        return dialog.chosen() if taken else []
    finally:
        dialog.deleteLater()
