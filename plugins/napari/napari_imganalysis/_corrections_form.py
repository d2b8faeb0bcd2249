"""What the Corrections widget consists of, and how it shows what it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from imganalysis.annotations import KINDS
from napari_imganalysis._drawing import CLOSED
from napari_imganalysis._edit_rows import HOLDS, LOST
from napari_imganalysis._leaving import Leaving
from napari_imganalysis._table_model import class_icon

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_imganalysis._colours import Legend
    from napari_imganalysis._edit_rows import Row


LABELS = Qt.ItemDataRole.UserRole
LONG_NAME = 17  # letters of a class, from which two do not stand beside each other


class CorrectionsForm(Leaving):
    """Buttons, lines and lists; what they do is the widget's."""

    def __init__(self) -> None:
        super().__init__()
        self.classes: dict[str, QPushButton] = {}
        self._shortcuts: list[QShortcut] = []
        self._listed: tuple[Row, ...] = ()
        self.user = QLineEdit()
        self.user.setPlaceholderText("Your name: it stands with every edit")
        self.log = QPushButton("Log...")
        self.problem = _wrapped()
        self.cell = QLabel()
        self.cell.setTextFormat(Qt.TextFormat.RichText)
        self.why = QLineEdit()
        self.why.setPlaceholderText("Why: kept with the next edit")
        self._grid = QGridLayout()
        self._grid.setSpacing(3)
        self.delete = _button("Delete", "No nucleus: take it away (Alt+D)")
        self.merge = _button("Merge", "Make one nucleus of the chosen one and the next you click")
        self.split_line = _button("Split: line", "Split a nucleus along a line that you drag")
        self.split_points = _button("Split: points", "Split a nucleus at its waist: click twice")
        self.draw = _button("Draw", "Add a nucleus that was missed")
        self.shape = QComboBox()
        self.shape.addItems(list(CLOSED))
        self.shape.setToolTip("What a missed nucleus is drawn with")
        self.region = QComboBox()
        self.region.addItems(list(KINDS))
        self.outline = _button("Outline", "Outline a region; the next run reads it")
        self.remove = _button("Remove last", "Take away the last outline of this kind")
        self.tools = (
            self.merge, self.split_line, self.split_points, self.draw, self.outline,
        )  # fmt: skip
        for button in self.tools:
            button.setCheckable(True)
        self.hint = _wrapped()
        self.reviews = (
            _button("Reviewed", "Every nucleus and class is right: the field may train a network"),
            _button("To look at", "Somebody has to look at this field again"),
            _button("Not reviewed", "Nobody has judged the field, or no more"),
        )
        for button in self.reviews:
            button.setCheckable(True)
        self.undo = _button("Undo", "Take back your last edit of this field (Ctrl+Z)")
        self.redo = _button("Redo", "Make it again (Ctrl+Shift+Z)")
        self.state = _wrapped()
        self.edits = QTreeWidget()
        self.edits.setHeaderLabels(["Edit", "Why", "Who", "When"])
        self.edits.setRootIsDecorated(False)
        self.edits.setUniformRowHeights(True)
        header = self.edits.header()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, width in enumerate((70, 50, 88), start=1):
            header.resizeSection(column, width)
        self._lay_out()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(4)
        layout.addLayout(_row(QLabel("Name"), self.user, self.log, stretch=1))
        layout.addWidget(self.problem)
        layout.addWidget(self.cell)
        layout.addLayout(self._grid)
        layout.addWidget(self.why)
        tools = (self.delete, self.merge, self.draw, self.shape)
        layout.addLayout(_row(QLabel("Nucleus"), *tools))
        layout.addLayout(_row(QLabel(""), self.split_line, self.split_points))
        layout.addLayout(_row(QLabel("Region"), self.region, self.outline, self.remove))
        layout.addWidget(self.hint)
        layout.addLayout(_row(QLabel("Field"), *self.reviews))
        layout.addLayout(_row(self.undo, self.redo))
        layout.addWidget(self.state)
        layout.addWidget(self.edits, 1)
        self.setMinimumWidth(380)

    def reason(self) -> str:
        """Give the reason that was typed."""
        return str(self.why.text()).strip()

    def fill_classes(
        self, names: Sequence[str], legend: Legend, act: Callable[[str], None]
    ) -> None:
        """Make a button for each class, with its colour and its key."""
        if list(names) == list(self.classes):
            return
        for button in self.classes.values():
            self._grid.removeWidget(button)
            button.deleteLater()
        for shortcut in self._shortcuts:
            shortcut.deleteLater()
        self.classes, self._shortcuts = {}, []
        columns = 1 if any(len(name) > LONG_NAME for name in names) else 2
        colours = dict(zip(legend.names, legend.colours, strict=True))
        for i, name in enumerate(names):
            button = QPushButton(f"{i + 1}  {name}")
            button.setIcon(class_icon(name, colours.get(name, "#ffffff")))
            button.setCheckable(True)
            button.setStyleSheet("text-align: left; padding: 2px 6px;")
            button.setToolTip(f"The chosen cell is {name} (Alt+{i + 1}; {i + 1} in this widget)")
            button.clicked.connect(_called(act, name))
            self._grid.addWidget(button, i // columns, i % columns)
            self.classes[name] = button
            shortcut = QShortcut(QKeySequence(str(i + 1)), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(button.click)
            self._shortcuts.append(shortcut)

    def show_cell(self, label: int, name: str, *, known: bool) -> None:
        """Say which cell is chosen, and of which class it is."""
        if not label:
            text = "No cell chosen: click one in the picture."
        elif known:
            text = f"Cell <b>{label}</b>: {name or 'no class'}"
        else:
            text = f"Nucleus <b>{label}</b>: not yet in the table"
        self.cell.setText(text)
        for own, button in self.classes.items():
            button.setChecked(bool(label) and own == name)

    def show_problem(self, text: str) -> None:
        """Say why nothing can be edited; nothing for an empty text."""
        self.problem.setText(text)
        self.problem.setVisible(bool(text))
        able = not text
        for part in (*self.classes.values(), *self.tools, *self.reviews, self.delete, self.remove,
                     self.why, self.region, self.shape):  # fmt: skip
            part.setEnabled(able)

    def show_edits(self, rows: Sequence[Row]) -> None:
        """List edits; what was undone is struck out, what no longer fits is marked."""
        rows, old = tuple(rows), self._listed
        new = len(rows) - len(old)
        if new < 0 or rows[new:] != old:
            self.edits.clear()
            new = len(rows)
        self._listed = rows
        for at, row in enumerate(rows[:new]):
            self.edits.insertTopLevelItem(at, _edit_item(row))

    def show_hint(self, text: str) -> None:
        """Say what the tool that is chosen waits for."""
        self.hint.setText(f"<b>{text}</b>" if text else "")
        self.hint.setVisible(bool(text))

    def show_state(self, text: str) -> None:
        """Say how far the table is."""
        self.state.setText(text)
        self.state.setVisible(bool(text))


def _edit_item(row: Row) -> QTreeWidgetItem:
    lost = "\N{WARNING SIGN} " if row.state == LOST else ""
    item = QTreeWidgetItem([lost + row.what, row.why, row.user, row.time])
    for column in range(4):
        item.setToolTip(column, row.tip)
        font = item.font(column)
        font.setStrikeOut(row.state != HOLDS)
        font.setItalic(row.state == LOST)
        item.setFont(column, font)
    item.setData(0, LABELS, row.labels)
    return item


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def _wrapped() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.hide()
    return label


def _row(*widgets: QWidget, stretch: int | None = None) -> QHBoxLayout:
    layout = QHBoxLayout()
    layout.setSpacing(3)
    for i, widget in enumerate(widgets):
        if isinstance(widget, QLabel):
            widget.setMinimumWidth(52)
            layout.addWidget(widget)
        else:
            layout.addWidget(widget, 1 if stretch in (None, i) else 0)
    return layout


def _called(act: Callable[[str], None], name: str) -> Callable[[], None]:
    return lambda: act(name)
