"""The table of cells for Qt's views; what it shows is decided in `_table`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap

from imganalysis import tables as t
from imganalysis.report.overlays import NOT_EVALUABLE
from napari_imganalysis._colours import class_names
from napari_imganalysis._table import shown, sort_rows

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from napari_imganalysis._colours import Legend

RAW = Qt.ItemDataRole.UserRole
"""Role of a value as the table has it, unrounded."""


class CellModel(QAbstractTableModel):
    """Rows of a table of cells, sorted and filtered; nothing is copied but the rows' numbers."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._cells: pd.DataFrame | None = None
        self._columns: list[str] = []
        self._rows: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        self._names: NDArray[Any] = np.zeros(0, dtype=object)
        self._icons: dict[str, QIcon] = {}
        self._legend: Legend | None = None
        self._sort: tuple[str | None, bool] = (None, False)

    def set_table(
        self, cells: pd.DataFrame | None, columns: list[str], rows: NDArray[np.intp], legend: Legend
    ) -> None:
        """Show rows (positions) and columns of a table.

        Where it is of the same objects in the same order as before, views keep their place.
        """
        if legend != self._legend:
            self._legend = legend
            self._icons = {
                name: class_icon(name, colour)
                for name, colour in zip(legend.names, legend.colours, strict=True)
            }
        if cells is not None:
            rows = sort_rows(cells, rows, self._sort[0], descending=self._sort[1])
        names = np.zeros(0, object) if cells is None else class_names(cells).to_numpy(dtype=object)
        labels = _labels(cells, rows)
        same = columns == self._columns and np.array_equal(labels, _labels(self._cells, self._rows))
        if not same:
            self.beginResetModel()
        self._cells, self._columns, self._rows, self._names = cells, columns, rows, names
        if not same:
            self.endResetModel()
        elif len(rows) and columns:
            self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(columns) - 1))

    def label(self, row: int) -> int:
        """Label of the object in a row that is shown."""
        if self._cells is None:
            return 0
        return int(self._cells[t.LABEL].iloc[self._rows[row]])

    def row_of(self, label: int) -> int:
        """Row in which an object is shown; -1 where it is not."""
        if self._cells is None:
            return -1
        labels = self._cells[t.LABEL].to_numpy()[self._rows]
        found = np.flatnonzero(labels == label)
        return int(found[0]) if found.size else -1

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if self._cells is None or not index.isValid():
            return None
        at, column = self._rows[index.row()], self._columns[index.column()]
        if role == Qt.ItemDataRole.DecorationRole and column == t.PHENOTYPE:
            return self._icons.get(str(self._names[at]))
        if role == Qt.ItemDataRole.TextAlignmentRole:
            number = self._cells[column].dtype.kind in "if"
            side = Qt.AlignmentFlag.AlignRight if number else Qt.AlignmentFlag.AlignLeft
            return int(side | Qt.AlignmentFlag.AlignVCenter)
        if role in (Qt.ItemDataRole.DisplayRole, RAW, Qt.ItemDataRole.ToolTipRole):
            value = self._cells[column].iloc[at]
            return value if role == RAW else shown(value)
        return None

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        if orientation != Qt.Orientation.Horizontal or section >= len(self._columns):
            return None
        name = self._columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return name
        if role == Qt.ItemDataRole.ToolTipRole:
            meaning = t.CELL_COLUMNS.get(name)
            return f"{name}: {meaning}" if meaning else name
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        name = self._columns[column] if 0 <= column < len(self._columns) else None
        self._sort = (name, order == Qt.SortOrder.DescendingOrder)
        if self._cells is None:
            return
        self.layoutAboutToBeChanged.emit()
        self._rows = sort_rows(self._cells, self._rows, name, descending=self._sort[1])
        self.layoutChanged.emit()


def _labels(cells: pd.DataFrame | None, rows: NDArray[np.intp]) -> NDArray[Any]:
    return np.zeros(0, int) if cells is None else cells[t.LABEL].to_numpy()[rows]


def class_icon(name: str, colour: str, size: int = 12) -> QIcon:
    """Draw a square of a class's colour, seen on a dark and on a light ground.

    Only the side of what is not evaluable is drawn, dashed as its outlines are.
    """
    pixmap = QPixmap(size, size)
    dashed = name == NOT_EVALUABLE
    pixmap.fill(QColor("#222222" if dashed else colour))
    painter = QPainter(pixmap)
    pen = QPen(QColor(colour if dashed else "#707070"))
    if dashed:
        pen.setDashPattern([2, 2])
    painter.setPen(pen)
    painter.drawRect(0, 0, size - 1, size - 1)
    painter.end()
    return QIcon(pixmap)
