"""The Gallery widget: every cell of one class, all channels, to see errors at a glance."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QListView,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from imganalysis import tables as t
from imganalysis.words import plural
from napari_imganalysis._attach import session_of, told
from napari_imganalysis._colours import class_names
from napari_imganalysis._table_model import class_icon
from napari_imganalysis._thumbnails import GAP, Thumbnails, gallery_order

PAGE = 24
ROOM = 60  # pixels, for the number beside a strip and the scroll bar
SMALLEST = 56  # pixels, of a tile
LABEL = Qt.ItemDataRole.UserRole


class GalleryWidget(QWidget):
    """Strips of tiles of the cells of a class; a click goes to the cell."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._session = session_of(napari_viewer)
        self._thumbnails: Thumbnails | None = None
        self._labels: list[int] = []
        self._page = 0
        self._build()
        self._session.field_changed.connect(self._new_field)
        self._session.cells_changed.connect(self._new_cells)
        self._session.selected.connect(self._selected)
        self._new_field(self._session.field)

    def _build(self) -> None:
        self.kind, self.order = QComboBox(), QComboBox()
        self.kind.setToolTip("Class that is shown")
        self.order.setToolTip("Cells stand in the order of this value, smallest first")
        self.kind.currentIndexChanged.connect(self._new_kind)
        self.order.currentIndexChanged.connect(self._new_kind)
        for box in (self.kind, self.order):
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(10)
        self.heading = QLabel()
        self.heading.setTextFormat(Qt.TextFormat.RichText)
        self.list = QListWidget()
        self.list.setViewMode(QListView.ViewMode.ListMode)
        self.list.setSpacing(1)
        self.list.setUniformItemSizes(True)
        self.list.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.list.itemClicked.connect(self._clicked)
        self.previous, self.next = (
            QPushButton("\N{BLACK LEFT-POINTING TRIANGLE}"),
            QPushButton("\N{BLACK RIGHT-POINTING TRIANGLE}"),
        )
        self.previous.clicked.connect(lambda: self._turn(-1))
        self.next.clicked.connect(lambda: self._turn(1))
        self.count = QLabel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        above, below = QHBoxLayout(), QHBoxLayout()
        for widget in (self.kind, self.order):
            above.addWidget(widget, 1)
        below.addWidget(self.previous)
        below.addWidget(self.count, 1, Qt.AlignmentFlag.AlignCenter)
        below.addWidget(self.next)
        layout.addLayout(above)
        layout.addWidget(self.heading)
        layout.addWidget(self.list, 1)
        layout.addLayout(below)

    def _new_field(self, field: Any) -> None:
        self._thumbnails = None
        self.order.blockSignals(True)
        self.order.clear()
        columns = [t.LABEL, t.DIAMETER]
        if field is not None and field.panel is not None:
            columns += [name for channel in field.panel.gated for name in channel.columns]
        for name in columns:
            self.order.addItem(f"by {name}", name)
        self.order.blockSignals(False)
        self._new_cells(self._session.cells)

    def _new_cells(self, _cells: Any) -> None:
        now = self.kind.currentData()
        counts, legend = self._session.class_counts, self._session.legend
        self.kind.blockSignals(True)
        self.kind.clear()
        for name, n in counts.items():
            mark = class_icon(name, legend.colours[legend.code(name) - 1])
            self.kind.addItem(mark, f"{n}  {name}", name)  # a long name may be cut, a number not
        if now in counts:
            self.kind.setCurrentIndex(list(counts).index(now))
        self.kind.blockSignals(False)
        self._new_kind()

    def _new_kind(self, _index: int = 0) -> None:
        cells, kind = self._session.cells, self.kind.currentData()
        self._labels, self._page = [], 0
        if cells is not None and kind is not None:
            column = self.order.currentData() or t.LABEL
            self._labels = gallery_order(cells, class_names(cells), kind, column)
        self._draw()

    def _turn(self, step: int) -> None:
        self._page = min(max(self._page + step, 0), self._last_page)
        self._draw()

    @property
    def _last_page(self) -> int:
        return max(0, (len(self._labels) - 1) // PAGE)

    def _draw(self) -> None:
        self.list.clear()
        self.previous.setEnabled(self._page > 0)
        self.next.setEnabled(self._page < self._last_page)
        first = self._page * PAGE
        shown = self._labels[first : first + PAGE]
        n = len(self._labels)
        self.count.setText(
            f"{first + 1}\N{EN DASH}{first + len(shown)} of {plural(n, 'object')}"
            if n
            else "no cell"
        )
        field = self._session.field
        if field is None or not shown:
            self.heading.setText("" if field is not None else "Open a field in the Study widget.")
            return
        with told(self._session):  # the image may have gone since
            if self._thumbnails is None:
                self._thumbnails = Thumbnails(field)
            self._fill(self._thumbnails, shown)

    def _fill(self, thumbnails: Thumbnails, labels: list[int]) -> None:
        height, width = thumbnails.shape
        room = self.list.viewport().width() - ROOM
        scale = min(1.0, max(room, SMALLEST * len(thumbnails.headings)) / width)
        self.list.setIconSize(QSize(round(width * scale), round(height * scale)))
        self.heading.setText(_heading(thumbnails, round((height + GAP) * scale)))
        legend = self._session.legend
        colour = legend.colours[legend.code(str(self.kind.currentData())) - 1]
        field = self._session.field
        for label in labels:
            row = field.cell(label) if field is not None else None
            if row is None:
                continue
            item = QListWidgetItem(_icon(thumbnails.strip(row, colour)), str(label))
            item.setData(LABEL, label)
            item.setToolTip(str(row.get(t.WHY, "")))
            self.list.addItem(item)
        self._selected(self._session.label)

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        if self._thumbnails is not None:
            self._draw()

    def _clicked(self, item: QListWidgetItem) -> None:
        self._session.select(item.data(LABEL), go=True)

    def _selected(self, label: int) -> None:
        for row in range(self.list.count()):
            if self.list.item(row).data(LABEL) == label:
                self.list.setCurrentRow(row)
                return
        self.list.clearSelection()


def _heading(thumbnails: Thumbnails, side: int) -> str:
    """Names of the channels, each over its tile."""
    cells = "".join(
        f'<td width="{side}" align="center">{escape(text)}</td>' for text in thumbnails.headings
    )
    return f'<table cellspacing="0" cellpadding="0"><tr>{cells}</tr></table>'


def _icon(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> QIcon:
    data = np.ascontiguousarray(picture)
    height, width, _ = data.shape
    image = QImage(data.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    pixmap = QPixmap.fromImage(image)
    found = QIcon(pixmap)
    found.addPixmap(pixmap, QIcon.Mode.Selected)  # else Qt tints it, and colours are the point
    return found
