"""The Study widget: biopsies and fields with their numbers, flags and review state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QTextBrowser,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from imganalysis import corrections as c
from napari_imganalysis._attach import NEXT_KEY, PREVIOUS_KEY, session_of, told
from napari_imganalysis._describe import study_text
from napari_imganalysis._editing import review, reviews_of
from napari_imganalysis._review import CHANGED, REVIEWED, TO_LOOK_AT, Reviews
from napari_imganalysis._study_rows import (
    ANY,
    FLAGGED,
    Row,
    explained,
    filtered,
    flags_in,
    rows_of,
)
from napari_imganalysis._warming import Warming, ender, warm_layers

if TYPE_CHECKING:
    from napari_imganalysis._fields import OpenField
    from napari_imganalysis._results import Opened

COLUMNS = ("Biopsy, field", "Fraction (95 %)", "Cells", "\N{CHECK MARK}", "Flags")
MARKS = {REVIEWED: "\N{CHECK MARK}", CHANGED: "\N{CHECK MARK}?", TO_LOOK_AT: "!"}
WIDEST = 150  # pixels, of the column of fractions
NAME = Qt.ItemDataRole.UserRole


class StudyWidget(QWidget):
    """Lists what a study or a folder of results holds, and opens its fields."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._session = session_of(napari_viewer)
        self._reviews = Reviews(None)
        self._rows: tuple[Row, ...] = ()
        self.warming = Warming()
        self.destroyed.connect(ender(self.warming))
        QTimer.singleShot(0, warm_layers)
        self._build()
        session = self._session
        session.opened_changed.connect(self._opened)
        session.field_changed.connect(self._field)
        session.reviewed.connect(self._refresh)
        self._opened(session.opened)
        self._field(session.field)

    # Its parts

    def _build(self) -> None:
        self.open_button = QPushButton("Open results or study...")
        self.open_button.setToolTip("A folder that a run wrote, or a folder of images")
        self.open_button.clicked.connect(self._ask_folder)
        self.locate_button = QPushButton("Locate images...")
        self.locate_button.setToolTip("If the images were moved: where the study's folder is now")
        self.locate_button.clicked.connect(self._ask_images)
        self.where = QLabel("Nothing opened")
        self.where.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.where.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.text = QLineEdit()
        self.text.setPlaceholderText("Filter: name, panel, flag")
        self.text.setClearButtonEnabled(True)
        self.text.textChanged.connect(self._filter)
        self.flag, self.review = QComboBox(), QComboBox()
        for box, tip in ((self.flag, "Fields with a flag"), (self.review, "Review state")):
            box.setToolTip(tip)
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(8)
        self.flag.currentIndexChanged.connect(self._filter)
        states = (("any review state", ANY), ("not reviewed", ""), (REVIEWED, REVIEWED),
                  ("reviewed, changed since", CHANGED), (TO_LOOK_AT, TO_LOOK_AT))  # fmt: skip
        for shown, state in states:
            self.review.addItem(shown, state)
        self.review.currentIndexChanged.connect(self._filter)
        self.tree = QTreeWidget()
        self.tree.setColumnCount(len(COLUMNS))
        self.tree.setHeaderLabels(COLUMNS)
        self.tree.headerItem().setToolTip(
            3, "Reviewed; with ? where the cells changed since; ! for a field to look at"
        )
        self.tree.setUniformRowHeights(True)
        self.tree.setAlternatingRowColors(False)
        self.tree.setIndentation(8)
        self.setMinimumWidth(410)
        self.tree.header().setStretchLastSection(True)
        self.tree.header().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.tree.itemSelectionChanged.connect(self._describe)
        self.tree.itemActivated.connect(self._activated)
        self.tree.itemDoubleClicked.connect(self._activated)
        self.details = QTextBrowser()
        self.details.setOpenLinks(False)
        self.details.setMinimumHeight(110)
        self.previous = QPushButton("\N{BLACK LEFT-POINTING TRIANGLE} Previous")
        self.previous.setToolTip(f"The field before ({PREVIOUS_KEY})")
        self.next = QPushButton("Next \N{BLACK RIGHT-POINTING TRIANGLE}")
        self.next.setToolTip(f"The next field ({NEXT_KEY})")
        self.previous.clicked.connect(lambda: self._step(-1))
        self.next.clicked.connect(lambda: self._step(1))
        self.seen = QCheckBox("Reviewed")
        self.seen.setToolTip(
            "Every nucleus and class of the field that is open is right; kept in the log of "
            "corrections, and a network may be trained on the field"
        )
        self.seen.clicked.connect(self._mark)
        for key, step in ((PREVIOUS_KEY, -1), (NEXT_KEY, 1)):
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(self._stepper(step))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addLayout(_row(self.open_button, self.locate_button))
        layout.addWidget(self.where)
        layout.addWidget(self.text)
        layout.addLayout(_row(self.flag, self.review))
        layout.addWidget(self.tree, 3)
        layout.addLayout(_row(self.previous, self.next, self.seen))
        layout.addWidget(self.details, 2)

    def _stepper(self, step: int) -> Any:
        return lambda: self._step(step)

    # What is opened

    def open(self, path: Path) -> None:
        """Open a folder of results or a study; what is wrong with it becomes a message."""
        with told(self._session):
            self._session.open(path)

    def locate(self, root: Path) -> None:
        """Take the images from another folder, and open the field that could not be opened."""
        with told(self._session):
            self._session.relocate(root)
            name = self._chosen_field()
            if name and (self._session.field is None or self._session.field.name != name):
                self._session.open_field(name)

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder of results, or of a study's images")
        if path:
            self.open(Path(path))

    def _ask_images(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Where the study's images are now")
        if path:
            self.locate(Path(path))

    def _opened(self, opened: Opened | None) -> None:
        self._read_reviews()
        if self._reviews.problem:
            self._session.tell("error", self._reviews.problem)
        self.where.setText("Nothing opened" if opened is None else _title(opened))
        self.where.setToolTip("" if opened is None else str(opened.folder or opened.root))
        self.locate_button.setEnabled(opened is not None)
        self.seen.setEnabled(False)
        self._rows = () if opened is None else rows_of(opened, self._reviews)
        self.flag.blockSignals(True)
        self.flag.clear()
        self.flag.addItem("any field", ANY)
        self.flag.addItem("any flag", FLAGGED)
        for word in flags_in(self._rows):
            self.flag.addItem(word, word)
            self.flag.setItemData(
                self.flag.count() - 1, explained(word), Qt.ItemDataRole.ToolTipRole
            )
        self.flag.blockSignals(False)
        self._filter()
        if opened is not None:
            self.warming.start(opened)

    def _read_reviews(self) -> None:
        self._reviews = Reviews(None)
        with told(self._session):
            self._reviews = reviews_of(self._session)

    def _filter(self, *_: Any) -> None:
        rows = filtered(
            self._rows, self.text.text(), self.flag.currentData() or ANY, self._review_wanted()
        )
        self._session.set_order([one.name for row in rows for one in row.children])
        self.tree.blockSignals(True)
        self.tree.clear()
        for row in rows:
            parent = _item(row)
            for child in row.children:
                parent.addChild(_item(child, row.name))
            self.tree.addTopLevelItem(parent)
        self.tree.expandAll()
        told = any(one.text(1) for one in _items(self.tree))
        self.tree.setColumnHidden(1, not told)  # of a panel without an endpoint it is empty
        for column in range(len(COLUMNS)):
            self.tree.resizeColumnToContents(column)
        self.tree.setColumnWidth(1, min(self.tree.columnWidth(1), WIDEST))
        self.tree.blockSignals(False)
        self._point_to(self._session.field)
        self._describe()

    def _review_wanted(self) -> str:
        wanted = self.review.currentData()
        return ANY if wanted is None else str(wanted)

    def _refresh(self, _name: str = "") -> None:
        opened = self._session.opened
        if opened is not None:
            self._read_reviews()  # another widget may have written them
            self._rows = rows_of(opened, self._reviews)
            self._filter()
            self._field(self._session.field)

    # The field

    def _activated(self, item: QTreeWidgetItem, _column: int = 0) -> None:
        row: Row = item.data(0, NAME)
        field = self._session.field
        if item.parent() is not None and (field is None or field.name != row.name):
            self.warming.wait()
            with told(self._session):
                self._session.open_field(row.name)

    def _step(self, step: int) -> None:
        self.warming.wait()
        with told(self._session):
            self._session.step(step)

    def _field(self, field: OpenField | None) -> None:
        opened = self._session.opened
        marks = field is not None and opened is not None and opened.analysed
        self.seen.setEnabled(bool(marks))
        state = self._reviews.state(field.name) if field is not None and marks else ""
        self.seen.setChecked(state == REVIEWED)
        self._point_to(field)

    def _point_to(self, field: OpenField | None) -> None:
        """Put the list's cursor on a field."""
        if field is None:
            return
        for item in _items(self.tree):
            if item.parent() is not None and item.data(0, NAME).name == field.name:
                if item is not self.tree.currentItem():
                    self.tree.setCurrentItem(item)
                self.tree.scrollToItem(item)

    def _mark(self, reviewed: bool) -> None:
        field = self._session.field
        if field is None:
            return
        with told(self._session):
            review(self._session, c.REVIEWED if reviewed else c.OPEN)
        self.seen.setChecked(self._reviews.state(field.name) == REVIEWED)

    def _chosen_field(self) -> str:
        item = self.tree.currentItem()
        return item.data(0, NAME).name if item is not None and item.parent() is not None else ""

    def _describe(self) -> None:
        item, opened = self.tree.currentItem(), self._session.opened
        if item is None or opened is None:
            self.details.setHtml(_advice(opened))
            return
        self.details.setHtml(study_text(item.data(0, NAME), opened, self._reviews))


def _row(*widgets: QWidget) -> QHBoxLayout:
    layout = QHBoxLayout()
    for widget in widgets:
        layout.addWidget(widget)
    return layout


def _item(row: Row, biopsy: str = "") -> QTreeWidgetItem:
    name = f"{row.name}  {row.status}" if row.kind == "biopsy" and row.status else row.name
    # The biopsy's name stands in the line above.
    short = name.removeprefix(biopsy).lstrip("_-. ") if biopsy else name
    # Their number first: of a narrow list that is what can be read.
    flags = f"{len(row.flags)}  {', '.join(row.flags)}" if row.flags else ""
    failed = row.status.startswith("failed")
    fraction = row.status if failed else row.fraction
    item = QTreeWidgetItem([short or name, fraction, row.cells, MARKS.get(row.review, ""), flags])
    item.setToolTip(3, row.review)
    item.setData(0, NAME, row)
    item.setTextAlignment(2, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    if row.flags:
        item.setToolTip(4, "\n".join(map(explained, row.flags)))
    item.setToolTip(0, name)
    item.setToolTip(1, fraction)
    if row.children:
        font = item.font(0)
        font.setBold(True)
        for column in (0, 1):
            item.setFont(column, font)
    return item


def _items(tree: QTreeWidget) -> list[QTreeWidgetItem]:
    found = []
    for i in range(tree.topLevelItemCount()):
        parent = tree.topLevelItem(i)
        found += [parent, *(parent.child(j) for j in range(parent.childCount()))]
    return found


def _advice(opened: Opened | None) -> str:
    """Say what to do next, where nothing is marked in the list."""
    if opened is None:
        return (
            "Open a folder of results, or a folder of images. To try things out: "
            "<i>File, Open Sample, imganalysis</i>."
        )
    look = "A double click on a field opens it."
    if opened.analysed:
        return f"{look} What is marked is explained here."
    return f"{look} To count its cells: <i>Plugins, imganalysis, Analyse</i>."


def _title(opened: Opened) -> str:
    where = opened.folder or opened.root
    what = "Results" if opened.analysed else "Not analysed yet"
    return f"{what}: {where.parent.name}/{where.name}"
