"""The Cells widget: legend, the cell under the mouse, and the table linked with the view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QItemSelectionModel, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from imganalysis.errors import TableError
from imganalysis.words import plural
from napari_imganalysis._attach import session_of
from napari_imganalysis._colours import class_names
from napari_imganalysis._describe import cell_text
from napari_imganalysis._legend_widget import LegendWidget
from napari_imganalysis._table import filter_rows, main_columns
from napari_imganalysis._table_model import CellModel

if TYPE_CHECKING:
    import pandas as pd

FILTER_DELAY = 150  # ms after the last key
WIDEST = 190  # pixels, of a column
FIRST_ROWS = 60  # that the width of a column is told from


class CellsWidget(QWidget):
    """Says of every cell what it is and why."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._session = session_of(napari_viewer)
        self._following = False
        self._build()
        session = self._session
        session.field_changed.connect(self._new_field)
        session.cells_changed.connect(self._new_cells)
        session.hidden_changed.connect(self._new_hidden)
        session.selected.connect(self._selected)
        session.hovered.connect(self._hovered)
        self._new_field(session.field)

    def _build(self) -> None:
        self.legend = LegendWidget(self._session, self)
        self.card = QLabel()
        self.card.setWordWrap(True)
        self.card.setTextFormat(Qt.TextFormat.RichText)
        self.card.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.card.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.card.setMinimumHeight(104)
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Filter: a class, a word of why, a column < 20")
        self.filter.setToolTip(
            "Words, or comparisons with a column: equivalent_diameter_um < 6 and region = tumour"
        )
        self.filter.setClearButtonEnabled(True)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(FILTER_DELAY)
        self._timer.timeout.connect(self._fill)
        self.filter.textChanged.connect(lambda _text: self._timer.start())
        self.drawn_only = QCheckBox("Drawn classes only")
        self.drawn_only.setToolTip("Leave out the classes that are switched off in the legend")
        self.drawn_only.setChecked(True)
        self.all_columns = QCheckBox("All columns")
        for box in (self.drawn_only, self.all_columns):
            box.toggled.connect(lambda _on: self._fill())
        self.count = QLabel()
        self.model = CellModel(self)
        self.table = QTableView()
        self.table.setModel(self.model)
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(22)
        self.table.setWordWrap(False)
        self.table.selectionModel().currentRowChanged.connect(self._row_chosen)
        self.table.clicked.connect(self._row_clicked)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.legend)
        layout.addWidget(self.card)
        layout.addWidget(self.filter)
        below = QHBoxLayout()
        for widget in (self.drawn_only, self.all_columns, self.count):
            below.addWidget(widget)
        below.addStretch(1)
        layout.addLayout(below)
        layout.addWidget(self.table, 1)

    # The table

    def _new_field(self, field: Any) -> None:
        self._fill()
        self._fit_columns()
        if field is None:
            text = "Open a field in the Study widget."
        elif field.cells is None:
            text = f"{field.name} has no table of cells: it was not analysed."
        else:
            text = "Point at a cell to see what it is and why; click it to find it in the table."
        self.card.setText(text)

    def _new_cells(self, _cells: pd.DataFrame) -> None:
        self._fill()
        self._describe(self._session.label)

    def _new_hidden(self, _hidden: frozenset[str]) -> None:
        if self.drawn_only.isChecked():
            self._fill()

    def _fill(self) -> None:
        field, cells = self._session.field, self._session.cells
        legend = self._session.legend
        none = np.zeros(0, dtype=np.intp)
        if field is None or cells is None:
            self.model.set_table(None, [], none, legend)
            self.count.setText("")
            return
        try:
            keep = filter_rows(cells, self.filter.text())
        except TableError as error:
            self.count.setText(error.message.partition(";")[0])
            self.count.setToolTip(error.message)
            return
        if self.drawn_only.isChecked() and self._session.hidden:
            keep &= ~class_names(cells).isin(self._session.hidden).to_numpy()
        columns = list(cells.columns) if self.all_columns.isChecked() else []
        columns = columns or main_columns(cells, field.panel)
        self._following = True
        try:
            self.model.set_table(cells, columns, np.flatnonzero(keep), legend)
        finally:
            self._following = False
        self.count.setText(f"{int(keep.sum())} of {plural(len(cells), 'object')}")
        self.count.setToolTip("")
        self._point_to(self._session.label)

    def _fit_columns(self) -> None:
        metrics = self.table.fontMetrics()
        for column in range(self.model.columnCount()):
            name = str(self.model.headerData(column, Qt.Orientation.Horizontal))
            texts = [name + "mm"]
            for row in range(min(FIRST_ROWS, self.model.rowCount())):
                texts.append(str(self.model.data(self.model.index(row, column))))
            width = max(metrics.horizontalAdvance(text) for text in texts) + 26
            self.table.setColumnWidth(column, min(width, WIDEST))

    # Links

    def _row_chosen(self, current: Any, _previous: Any = None) -> None:
        if not self._following and current.isValid():
            self._session.select(self.model.label(current.row()), go=True)

    def _row_clicked(self, index: Any) -> None:
        """Go to the cell of a row that was chosen already."""
        label = self.model.label(index.row())
        if label == self._session.label:
            self._session.select(label, go=True)

    def _selected(self, label: int) -> None:
        self._point_to(label)
        self._describe(label)

    def _point_to(self, label: int) -> None:
        """Put the table's cursor on an object, if it is shown."""
        row = self.model.row_of(label) if label else -1
        selection = self.table.selectionModel()
        self._following = True
        try:
            if row < 0:
                selection.clear()
                return
            index = self.model.index(row, 0)
            flags = QItemSelectionModel.SelectionFlag
            selection.setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
            self.table.scrollTo(index, QAbstractItemView.ScrollHint.EnsureVisible)
        finally:
            self._following = False

    def _hovered(self, label: int) -> None:
        self._describe(label or self._session.label)

    def _describe(self, label: int) -> None:
        field = self._session.field
        if field is None or not label:
            return
        row = field.cell(label)
        if row is None:
            self.card.setText(
                f"<b>{label}</b> has no row in the table of cells"
                if field.cells is not None
                else f"<b>{label}</b>: the field was not analysed"
            )
            return
        self.card.setText(cell_text(row, field, self._session.gates))
