"""The legend: the classes of the field with colours and counts, switched on and off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_imganalysis._table_model import class_icon

if TYPE_CHECKING:
    from napari_imganalysis._session import Session


class LegendWidget(QWidget):
    """A check box per class that is in the field; a click draws or hides its outlines."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.boxes: dict[str, QCheckBox] = {}
        self._colours: dict[str, str] = {}
        self._rows = QVBoxLayout()
        self._rows.setSpacing(0)
        self.all = QPushButton("All")
        self.all.setToolTip("Draw every class")
        self.none = QPushButton("None")
        self.none.setToolTip("Draw no class: the stains alone")
        self.all.clicked.connect(lambda: self._session.hide(frozenset()))
        self.none.clicked.connect(lambda: self._session.hide(frozenset(self.boxes)))
        buttons = QVBoxLayout()
        for button in (self.all, self.none):
            buttons.addWidget(button)
        buttons.addStretch(1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._rows, 1)
        layout.addLayout(buttons)
        session.field_changed.connect(self._fill)
        session.cells_changed.connect(self._fill)
        session.hidden_changed.connect(self._check)
        self._fill(None)

    def _fill(self, _changed: Any) -> None:
        counts, legend = self._session.class_counts, self._session.legend
        colours = dict(zip(legend.names, legend.colours, strict=True))
        shown = {name: colours[name] for name in counts}
        if list(shown.items()) != list(self._colours.items()):
            self._colours = shown
            self._rebuild(list(counts))
            for name, box in self.boxes.items():
                box.setIcon(class_icon(name, colours[name]))
        for name, n in counts.items():
            self.boxes[name].setText(f"{name}  {n}")
        self._check(self._session.hidden)

    def _rebuild(self, names: list[str]) -> None:
        for box in self.boxes.values():
            self._rows.removeWidget(box)
            box.deleteLater()
        self.boxes = {}
        for name in names:
            box = QCheckBox(name)
            box.setToolTip(f"Draw the outlines of {name}")
            box.clicked.connect(self._clicked)
            self.boxes[name] = box
            self._rows.addWidget(box)

    def _clicked(self, _checked: bool) -> None:
        off = frozenset(name for name, box in self.boxes.items() if not box.isChecked())
        # Classes that this field does not have stay as they were.
        self._session.hide(off | (self._session.hidden - set(self.boxes)))

    def _check(self, hidden: frozenset[str]) -> None:
        for name, box in self.boxes.items():
            box.setChecked(name not in hidden)
