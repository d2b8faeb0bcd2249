"""The form of a run's settings on the screen: groups that fold, a search, mistakes beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from imganalysis.methods import DEFAULT
from napari_imganalysis._form import (
    SEGMENTATION,
    Form,
    Item,
    group_help,
    group_title,
    matches,
    method_names,
)

if TYPE_CHECKING:
    from napari_imganalysis._form import Place

WRONG = "#d55e00"
"""Colour of a mistake, readable on both themes."""


class FormWidget(QWidget):
    """Shows a `Form`; `changed` is sent whenever a person changes a value."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.form = Form()
        self.rows: dict[Place, Row] = {}
        self.sections: dict[Place, Section] = {}
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search the settings: name, unit, what they do")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._filter)
        self.only_changed = QCheckBox("Changed only")
        self.only_changed.setToolTip("Show the settings that are not the default")
        self.only_changed.toggled.connect(self._filter)
        top = QHBoxLayout()
        top.addWidget(self.search, 1)
        top.addWidget(self.only_changed)
        self.method = QComboBox()
        self.method.addItems(method_names())
        self.method.setToolTip("How nuclei are found")
        self.method.activated.connect(lambda _: self.choose(self.method.currentText()))
        self.scroll = QScrollArea()
        self.scroll.setWidgetResizable(True)
        self.scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(top)
        layout.addWidget(self.scroll, 1)
        self._build()

    # Its parts

    def _build(self) -> None:
        """Make a section per group and a row per setting."""
        was_open = {group for group, one in self.sections.items() if one.head.isChecked()}
        self.method.setParent(None)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 4, 0)
        column.setSpacing(0)
        self.rows, self.sections = {}, {}
        for item in self.form.items:
            if item.group not in self.sections:
                help_ = group_help(item.group, self.form.method)
                section = Section(group_title(item.group), help_)
                if item.group == (SEGMENTATION,):
                    section.add_widgets(QLabel("Method"), self.method)
                self.sections[item.group] = section
                column.addWidget(section)
            row = Row(item, self.form.text(item.place), self.sections[item.group])
            row.edited.connect(self._edited)
            self.sections[item.group].add(row)
            self.rows[item.place] = row
        column.addStretch(1)
        self.scroll.setWidget(inside)
        self.method.setCurrentText(self.form.method)
        for group in was_open & set(self.sections):
            self.sections[group].head.setChecked(True)
        self._mark()
        self._filter()

    def choose(self, method: str) -> None:
        """Take another method that finds nuclei."""
        from imganalysis.errors import SettingsError

        try:
            self.form.choose(method)
        except SettingsError as error:
            self.method.setCurrentText(self.form.method)
            self.method.setToolTip(str(error))
        self._build()
        self.changed.emit()

    def take(self, form: Form) -> None:
        """Show another form."""
        self.form = form
        self._build()
        self.changed.emit()

    def _edited(self, place: Place, text: str) -> None:
        self.form.set(place, text)
        self._mark()
        self.changed.emit()

    def _mark(self) -> None:
        """Say how many settings are changed, and which are wrong."""
        wrong = self.form.mistakes()
        for place, row in self.rows.items():
            row.mark(wrong.get(place, ""))
        for group, section in self.sections.items():
            n_wrong = sum(place[: len(group)] == group for place in wrong)
            section.mark(self.form.changed(group), n_wrong, wrong.get(group, ""))

    def _filter(self, *_: Any) -> None:
        words, only = self.search.text(), self.only_changed.isChecked()
        for group, section in self.sections.items():
            n_shown = 0
            for row in section.rows:
                item = row.item
                here = matches(item, words) or (bool(words) and _in(words, section.title))
                here = here and (not only or bool(self.form.text(item.place)))
                row.show_in(here)
                n_shown += here
            keep = only and group == (SEGMENTATION,) and self.form.method != DEFAULT
            section.setVisible(bool(n_shown) or keep or not (words or only))
            if words or only:
                section.fold(not (n_shown or keep))
            else:
                section.fold(not section.head.isChecked())


def _in(words: str, title: str) -> bool:
    return all(word in title.casefold() for word in words.casefold().split())


class Section(QWidget):
    """A group of settings under a heading that folds and unfolds it."""

    def __init__(self, title: str, help_: str) -> None:
        super().__init__()
        self.title, self._help = title, help_
        self.rows: list[Row] = []
        self.head = QToolButton()
        self.head.setCheckable(True)
        self.head.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.head.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.head.setStyleSheet("QToolButton { text-align: left; padding: 3px; }")
        self.head.setToolTip(help_)
        self.head.toggled.connect(lambda on: self.fold(not on))
        self.body = QWidget()
        self.grid = QGridLayout(self.body)
        self.grid.setContentsMargins(14, 2, 0, 6)
        self.grid.setVerticalSpacing(3)
        self.grid.setColumnStretch(0, 3)
        self.grid.setColumnStretch(1, 2)
        self.note = QLabel()
        self.note.setWordWrap(True)
        self.note.setStyleSheet(f"color: {WRONG};")
        self.note.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for widget in (self.head, self.note, self.body):
            layout.addWidget(widget)
        self.fold(True)

    def add_widgets(self, label: QWidget, widget: QWidget) -> None:
        """Put two widgets into a line of the group."""
        line = self.grid.rowCount()
        self.grid.addWidget(label, line, 0)
        self.grid.addWidget(widget, line, 1)

    def add(self, row: Row) -> None:
        """Put a setting into the group."""
        self.rows.append(row)
        line = self.grid.rowCount()
        self.grid.addWidget(row.label, line, 0)
        self.grid.addWidget(row.editor, line, 1)
        self.grid.addWidget(row.unit, line, 2)
        self.grid.addWidget(row.note, line + 1, 0, 1, 3)

    def fold(self, folded: bool) -> None:
        """Show the heading alone, or the settings too."""
        self.body.setVisible(not folded)
        arrow = Qt.ArrowType.RightArrow if folded else Qt.ArrowType.DownArrow
        self.head.setArrowType(arrow)

    def mark(self, n_changed: int, n_wrong: int, note: str) -> None:
        """Say how many settings are not the default, and what is wrong with several together."""
        parts = [f"{n_changed} changed"] * bool(n_changed) + [f"{n_wrong} wrong"] * bool(n_wrong)
        self.head.setText(self.title + (f"   ({', '.join(parts)})" if parts else ""))
        self.note.setText(note)
        self.note.setVisible(bool(note))


class Row(QObject):
    """One setting: its name, what is typed or chosen, its unit, and what is wrong with it."""

    edited = Signal(tuple, str)

    def __init__(self, item: Item, text: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.item = item
        self.label = QLabel(item.title)
        self.label.setWordWrap(True)
        self.unit = QLabel(item.unit)
        self.note = QLabel()
        self.note.setWordWrap(True)
        self.note.setStyleSheet(f"color: {WRONG};")
        self.note.hide()
        self._here = True
        default = f"Default: {item.default}" if item.default else "Not set by default"
        tip = "\n".join((item.help, default, ".".join(item.place))).strip()
        self.editor: QLineEdit | QComboBox
        if item.choices:
            self.editor = QComboBox()
            if not item.default:
                self.editor.addItem("not set", "")
            for choice in item.choices:
                self.editor.addItem(choice, choice)
            self.editor.setCurrentIndex(max(0, self.editor.findData(text or item.default)))
            self.editor.activated.connect(lambda _: self._send(self.editor.currentData()))
        else:
            self.editor = QLineEdit(text)
            self.editor.setPlaceholderText(item.default or ("needed" if item.required else ""))
            self.editor.textChanged.connect(self._send)
        self.editor.setMinimumWidth(60)
        self.editor.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for widget in (self.label, self.editor):
            widget.setToolTip(tip)
        self.editor.setAccessibleName(f"{item.title} {item.unit}".strip())

    def _send(self, text: Any) -> None:
        self.edited.emit(self.item.place, str(text))

    def mark(self, wrong: str) -> None:
        """Say what is wrong, and show a value that is not the default in bold."""
        self.note.setText(wrong)
        self.note.setVisible(bool(wrong) and self._here)
        editor = self.editor
        text = editor.currentData() if isinstance(editor, QComboBox) else editor.text().strip()
        font = self.label.font()
        font.setBold(text not in ("", self.item.default))
        self.label.setFont(font)

    def show_in(self, here: bool) -> None:
        """Show or hide it, as the search wants."""
        self._here = here
        for widget in (self.label, self.editor, self.unit):
            widget.setVisible(here)
        self.note.setVisible(here and bool(self.note.text()))
