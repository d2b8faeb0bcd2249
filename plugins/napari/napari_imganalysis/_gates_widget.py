"""The Gates widget: a histogram per gate, a line to drag, and what follows from it at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from imganalysis.results import user_name
from imganalysis.run_file import RUN
from imganalysis.words import plural
from napari_imganalysis._attach import session_of, told
from napari_imganalysis._field_calls import FieldCalls
from napari_imganalysis._gate_numbers import IN_VIEW, NumbersTree
from napari_imganalysis._gate_plot import GatePlot, Plot
from napari_imganalysis._gate_words import change_text, gate_text, hint_text, reach_text
from napari_imganalysis._gates_model import GatesModel

if TYPE_CHECKING:
    from imganalysis.classify.gates import Gate
    from napari_imganalysis._gates_model import Number
    from napari_imganalysis._session import Session

_MODELS: WeakKeyDictionary[Session, dict[tuple[str, int], GatesModel]] = WeakKeyDictionary()
"""What was moved and not saved outlives the widget, and other results that are opened."""


class GatesWidget(QWidget):
    """Moves gates; classes, outlines and numbers follow while the line is dragged."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._session = session_of(napari_viewer)
        self.model: GatesModel | None = None
        self.calls: FieldCalls | None = None
        self._at = -1
        self._own = False
        self._before: tuple[Gate, ...] = ()
        self._wanted: float | None = None
        self._build()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._follow)
        session = self._session
        session.opened_changed.connect(self._opened)
        session.field_changed.connect(self._show)
        session.cells_changed.connect(self._cells)
        session.labels_changed.connect(self._cells)
        self._opened(session.opened)

    # Its parts

    def _build(self) -> None:
        self.gate = QComboBox()
        self.gate.setToolTip("Marker and panel, and batch, acquisition or column where they differ")
        self.gate.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.gate.setMinimumContentsLength(16)
        self.gate.currentIndexChanged.connect(self._choose)
        self.alone = QCheckBox("Positives alone")
        self.alone.setToolTip("Draw only the outlines of cells that are positive for this marker")
        self.alone.clicked.connect(self._draw)
        self.plot = GatePlot()
        self.plot.grabbed.connect(self._grabbed)
        self.plot.dragged.connect(self._dragged)
        self.plot.dropped.connect(self._dropped)
        self.plot.stepped.connect(self._step)
        self.value = QDoubleSpinBox()
        self.value.setRange(0.0, 1e9)
        self.value.setKeyboardTracking(False)
        self.value.setToolTip("The gate, in its unit: cells from it on are positive")
        self.value.valueChanged.connect(self._step)
        self.reset = QPushButton("Reset")
        self.reset.setToolTip("Put this gate back to what is saved")
        self.undo, self.redo = QPushButton("Undo"), QPushButton("Redo")
        for button, act, key in (
            (self.reset, self._reset, None),
            (self.undo, self._undo, QKeySequence.StandardKey.Undo),
            (self.redo, self._redo, QKeySequence.StandardKey.Redo),
        ):
            button.clicked.connect(act)
            if key is not None:
                shortcut = QShortcut(QKeySequence(key), self)
                shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
                shortcut.activated.connect(act)
        self.reach, self.origin, self.hint = _words(), _words(), _words()
        self.numbers = NumbersTree()
        self.user, self.reason = QLineEdit(user_name()), QLineEdit()
        self.user.setToolTip("Your name, for the record")
        self.user.setMaximumWidth(110)
        self.reason.setPlaceholderText("Why the gate is moved (needed)")
        self.reason.returnPressed.connect(self.save_gates)
        self.save = QPushButton("Save")
        self.save.clicked.connect(self.save_gates)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(4)
        layout.addLayout(_row(self.gate, self.alone))
        layout.addWidget(self.plot, 3)
        layout.addLayout(_row(self.value, self.undo, self.redo, self.reset))
        layout.addWidget(self.reach)
        layout.addWidget(self.origin)
        layout.addWidget(self.numbers, 3)
        layout.addLayout(_row(self.user, self.reason, self.save))
        layout.addWidget(self.hint)

    # What is opened

    def _opened(self, opened: Any) -> None:
        self._timer.stop()
        self.model, self.calls, self._wanted = None, None, None
        if opened is not None and opened.folder is not None:
            QApplication.setOverrideCursor(Qt.CursorShape.WaitCursor)
            try:
                with told(self._session):
                    self.model = self._model_of(opened.folder)
            finally:
                QApplication.restoreOverrideCursor()
        self.gate.blockSignals(True)
        self.gate.clear()
        model = self.model
        if model is not None:
            for i in range(len(model.gates)):
                self.gate.addItem(model.title(i), i)
        self.gate.blockSignals(False)
        self._at = 0 if model is not None and model.gates else -1
        self._show(self._session.field)
        if model is not None and model.note:
            self._session.tell("warning", model.note)

    def _model_of(self, folder: Any) -> GatesModel:
        models = _MODELS.setdefault(self._session, {})
        key = (str(folder), (folder / RUN).stat().st_mtime_ns)
        for other in [k for k, m in models.items() if k != key and not m.moved]:
            del models[other]
        if key not in models:
            models[key] = GatesModel(folder)
        return models[key]

    def _show(self, field: Any) -> None:
        """Follow to another field."""
        model = self.model
        self._link()
        if model is not None and model.by_hand and self._session.gates != model.gates:
            self._settle()
        if model is not None and field is not None:
            where = field.where
            place = (where.panel, where.batch, where.acquisition)
            gate = model.gates[self._at] if self._at >= 0 else None
            if gate is None or not gate.fits(place[0], gate.column, *place[1:]):
                found = model.gate_for(*place)
                self._at = self._at if found is None else found
        self.gate.blockSignals(True)
        self.gate.setCurrentIndex(self._at)
        self.gate.blockSignals(False)
        self._show_gate()

    def _cells(self, _changed: Any) -> None:
        """Take what another widget changed of the cells."""
        if not self._own and self.model is not None:
            self._link()
            if self.alone.isChecked():
                self._draw()

    def _link(self) -> None:
        """Find which objects of the field follow the gates: those of a class that these give."""
        field, model = self._session.field, self.model
        self.calls = None
        if field is None or model is None or field.cells is None or field.panel is None:
            return
        size = 1 if field.labels is None else int(field.labels.max(initial=0)) + 1
        # A table may be of the run, or of gates that were moved before this widget was made.
        states = (model.before, model.now)
        self.calls = FieldCalls(
            states, field.name, field.panel.name, field.cells, self._session.legend, size
        )

    # Moving

    def _choose(self, at: int) -> None:
        self._at = at
        self._show_gate()
        if self.alone.isChecked():
            self._draw()

    def _grabbed(self) -> None:
        if self.model is not None:
            self._before = self.model.gates

    def _dragged(self, value: float) -> None:
        """Remember where the line is; what follows is drawn when no more of its moves wait."""
        if self.model is None or self._at < 0:
            return
        self._wanted = value
        self.plot.show_gate(value, (math.nan, math.nan))
        if not self._timer.isActive():
            self._timer.start(0)

    def _follow(self) -> None:
        if self.model is None or self._wanted is None:
            return
        value, self._wanted = self._wanted, None
        self.model.try_gate(self._at, value)
        self._show_value()
        self._draw()

    def _dropped(self) -> None:
        self._timer.stop()
        self._follow()
        if self.model is not None and self.model.keep(self._before):
            self._settle()
            self._show_value()

    def _step(self, value: float) -> None:
        """Move the gate to a value in one step."""
        if self.model is None or self._at < 0:
            return
        before = self.model.gates
        with told(self._session):
            self.model.try_gate(self._at, value)
        if self.model.keep(before):
            self._settle()
        self._show_value()

    def _reset(self) -> None:
        if self.model is not None and self._at >= 0 and self.model.reset(self._at):
            self._settle()
            self._show_value()

    def _undo(self) -> None:
        self._turn("undo")

    def _redo(self) -> None:
        self._turn("redo")

    def _turn(self, way: str) -> None:
        model = self.model
        if model is None or not getattr(model, f"can_{way}"):
            return
        before = model.gates
        getattr(model, way)()
        changed = [i for i, gate in enumerate(model.gates) if gate != before[i]]
        if changed and self._at not in changed:
            self.gate.setCurrentIndex(changed[0])
        self._settle()
        self._show_gate()

    # What follows

    def _draw(self) -> None:
        """Draw outlines by the gates as they are."""
        if self.model is None or self.calls is None:
            return
        alone = self.model.gates[self._at].marker if self.alone.isChecked() else ""
        self._session.preview(self.calls.codes(self.model.now, alone))

    def _settle(self) -> None:
        """Give the field's table the classes of the gates: all widgets follow."""
        if self.model is None:
            return
        session, before = self._session, self._session.cells
        self._own = True
        try:
            session.set_gates(self.model.gates, self.model.recalled)
            if session.cells is not before:  # who keeps corrections did it
                self._link()
            elif self.calls is not None:
                session.set_cells(self.calls.table(self.model.now))
        finally:
            self._own = False
        if self.alone.isChecked():
            self._draw()

    def _show_gate(self) -> None:
        model = self.model
        usable = model is not None and self._at >= 0
        for widget in (self.plot, self.value, self.reset, self.alone, self.gate, self.reason):
            widget.setEnabled(usable)
        if model is None or self._at < 0:
            self.plot.show_plot(Plot(), None, (math.nan, math.nan))
            self.reach.setText("")
            self.origin.setText("")
        else:
            gate = model.gates[self._at]
            rungs = tuple(
                (one.rung, one.value) for one in model.run[self._at].alternatives if one.value
            )
            unit = f"{gate.column}, {gate.unit}"
            self.plot.show_plot(
                Plot(*model.values(self._at), rungs, unit), gate.value, self._band(gate)
            )
        self.numbers.fill(self._groups())
        self._show_value()

    def _band(self, gate: Gate) -> tuple[float, float]:
        assert self.model is not None  # noqa: S101  # by the callers
        return gate.limits(self.model.settings.gating.indeterminate_band)

    def _show_value(self) -> None:
        model = self.model
        self.undo.setEnabled(model is not None and model.can_undo)
        self.redo.setEnabled(model is not None and model.can_redo)
        self.save.setEnabled(model is not None and bool(model.moved))
        opened = self._session.opened
        self.hint.setText(hint_text(model, opened is not None))
        if model is None or self._at < 0:
            return
        gate = model.gates[self._at]
        self.reset.setEnabled(self._at in model.moved)
        self.plot.show_gate(gate.value, self._band(gate))
        self.value.blockSignals(True)
        value = gate.value or 0.0
        self.value.setDecimals(max(1, 3 - math.floor(math.log10(value))) if value else 3)
        self.value.setSingleStep(value / 100 if value else 1.0)
        self.value.setValue(value)
        self.value.blockSignals(False)
        self.reach.setText(f"{reach_text(*model.shares(self._at))}<br>{change_text(model)}")
        text, tip = gate_text(model, self._at)
        self.origin.setText(text)
        self.origin.setToolTip(tip)
        self.numbers.follow(self._groups())

    def _groups(self) -> list[tuple[str, list[Number]]]:
        model, field = self.model, self._session.field
        if model is None:
            return []
        biopsy = field.where.biopsy if field is not None else ""
        mine = model.numbers(biopsy)
        groups = [(f"{biopsy}{IN_VIEW}", mine), ("The endpoint in the batch", model.endpoints())]
        return [one for one in groups if one[1]]  # a panel may name no endpoint

    # Saving

    def save_gates(self) -> None:
        """Save the moved gates, with the name and the reason."""
        model = self.model
        if model is None:
            return
        moved = len(model.moved)
        with told(self._session):
            path = model.save(self.user.text(), self.reason.text())
            self.reason.clear()
            self._session.tell(
                "info",
                f"{path}: {plural(moved, 'gate')} saved, with what they were. "
                "Run the study with --gates and this file to work everything out anew",
            )
        if model.moved:
            (self.reason if self.user.text().strip() else self.user).setFocus()
        self._show_gate()


def _words() -> QLabel:
    label = QLabel("")
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget, 1 if isinstance(widget, (QComboBox, QDoubleSpinBox)) else 0)
    return row
