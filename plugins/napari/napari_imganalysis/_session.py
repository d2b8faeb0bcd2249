"""What all widgets of one viewer share: what is opened, which field, which cell.

How to add a widget
-------------------
A widget is a module of its own, one class in ``napari.yaml``, whose only argument is the viewer::

    class Gates(QWidget):
        def __init__(self, napari_viewer):   # napari gives it by this name
            super().__init__()
            self._session = session_of(napari_viewer)   # from _attach
            self._session.field_changed.connect(self._show_field)
            self._show_field(self._session.field)       # it may be opened already

The session is the same for all widgets of the viewer. A widget never talks to another one: it
changes the session, and everyone is told by a signal (psygnal; a method that is connected is held
weakly, so a widget that is closed is forgotten).

=================== ======================= =====================================================
signal              carries                 when
=================== ======================= =====================================================
``opened_changed``  `Opened` or None        a study or a folder of results was opened or closed
``field_changed``   `OpenField` or None     another field is shown; its layers are there already
``cells_changed``   table of cells          calls or classes of the field are others (`set_cells`)
``gates_changed``   gates                   cells are called by others (`set_gates`)
``codes_changed``   code of each label      outlines shall be drawn by these codes (`preview`)
``labels_changed``  label image             nuclei were edited (`set_labels`)
``selected``        label, 0 for none       a cell was chosen, in a table, a gallery or the view
``go_to``           label                   the view shall move to a cell
``hovered``         label, 0 for none       the mouse is over a cell
``hidden_changed``  names of classes        the legend switched classes on or off
``reviewed``        name of a field         its review state was changed; of no name: of any field
``run_wanted``      option -> file          the study shall be run again with these files: the
                                            Analyse widget fills them in
``message``         kind, text              something to tell the user: ``info``, ``warning``,
                                            ``error``
=================== ======================= =====================================================

State is changed by the methods only, never by writing to attributes. Nothing here knows Qt or
napari; `_view.FieldView` puts layers into the viewer, `_attach.session_of` joins the two.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from psygnal import EmitLoopError, Signal

from imganalysis import tables as t
from imganalysis.errors import ImganalysisError
from napari_imganalysis._colours import Legend, counts, legend_of
from napari_imganalysis._fields import OpenField, load_field
from napari_imganalysis._results import Opened, open_any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.classify.gates import Gate

    Recall = Callable[[str, pd.DataFrame], pd.DataFrame]

__all__ = ["OpenField", "Opened", "Session", "Shown"]


@dataclass(frozen=True)
class Shown:
    """Which cell is chosen, and which classes are not drawn."""

    label: int = 0
    hidden: frozenset[str] = field(default_factory=frozenset)


class Session:
    """The state of one viewer; see the module's docstring."""

    opened_changed = Signal(object)
    field_changed = Signal(object)
    cells_changed = Signal(object)
    gates_changed = Signal(object)
    codes_changed = Signal(object)
    labels_changed = Signal(object)
    selected = Signal(int)
    go_to = Signal(int)
    hovered = Signal(int)
    hidden_changed = Signal(object)
    reviewed = Signal(str)
    run_wanted = Signal(object)
    message = Signal(str, str)

    def __init__(self) -> None:
        self.opened: Opened | None = None
        self.field: OpenField | None = None
        self.order: tuple[str, ...] = ()
        """Fields that next and previous go through: those that the list shows."""
        self._shown = Shown()
        self._moved: tuple[tuple[Gate, ...], Recall] | None = None

    # What is opened

    def open(self, path: Path) -> Opened:
        """Open a folder of results, or a study not yet analysed.

        Raises
        ------
        ImganalysisError
            Neither; what was opened before stays.
        """
        return self.set_opened(open_any(path))

    def set_opened(self, opened: Opened) -> Opened:
        """Take something opened; its notes become messages."""
        self.opened, self._moved = opened, None
        self.order = opened.names
        self.close_field()
        self.opened_changed.emit(opened)
        for note in opened.notes:
            self.message.emit("warning" if opened.analysed else "info", note)
        return opened

    def relocate(self, root: Path) -> None:
        """Say where the images are now.

        Raises
        ------
        StudyError
            None of them is there.
        """
        if self.opened is not None:
            self.opened = self.opened.moved_to(root)

    # The field

    def open_field(self, name: str) -> OpenField:
        """Open a field of what is opened: its stack (not yet read), labels, masks and cells.

        Raises
        ------
        ImganalysisError
            Its image is not there or cannot be read; the field before stays.
        """
        if self.opened is None:
            raise RuntimeError("no study is opened")
        return self.set_field(load_field(self.opened, name))

    def set_field(self, found: OpenField) -> OpenField:
        """Show a field, its cells by the gates as they are; what does not fit is told as messages.

        Raises
        ------
        ImganalysisError
            Its pixels cannot be read; no field is shown then.
        """
        if self._moved is not None and found.cells is not None:
            found = replace(found, cells=self._moved[1](found.name, found.cells))
        self.field = found
        self._shown = replace(self._shown, label=0)
        try:
            self.field_changed.emit(found)
        except EmitLoopError as error:
            self.close_field()
            if isinstance(error.__cause__, ImganalysisError):
                raise error.__cause__ from None
            raise
        for note in found.notes:
            self.message.emit("warning", note)
        return found

    def close_field(self) -> None:
        """Show no field."""
        if self.field is not None:
            self.field = None
            self._shown = replace(self._shown, label=0)
            self.field_changed.emit(None)

    def set_order(self, names: Sequence[str]) -> None:
        """Say which fields the list shows, and in which order."""
        self.order = tuple(names)

    def neighbour(self, step: int) -> str | None:
        """Name of the field after (1) or before (-1) this one in `order`; None at the end."""
        if not self.order:
            return None
        now = self.field.name if self.field is not None else ""
        if now not in self.order:
            return self.order[0 if step > 0 else -1]
        at = self.order.index(now) + step
        return self.order[at] if 0 <= at < len(self.order) else None

    def step(self, step: int) -> None:
        """Open the next (1) or previous (-1) field; says so where there is none.

        Raises
        ------
        ImganalysisError
            Its image is not there or cannot be read.
        """
        name = self.neighbour(step)
        if name is not None:
            self.open_field(name)
        else:
            self.tell("info", "This is the last field" if step > 0 else "This is the first field")

    # Its cells

    @property
    def cells(self) -> pd.DataFrame | None:
        """Table of the field's objects as it is now."""
        return self.field.cells if self.field is not None else None

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Gates that the cells are called by: those of the run, or others that were moved since."""
        if self._moved is not None:
            return self._moved[0]
        return self.opened.gates if self.opened is not None else ()

    def set_gates(self, gates: Sequence[Gate], recall: Recall) -> None:
        """Say by which gates cells are called from now on; the field's table is another's to set.

        Parameters
        ----------
        gates
            All of the study.
        recall
            Gives a field's table, as the results have it, the calls and classes of these gates.
        """
        before = self.gates
        run = self.opened.gates if self.opened is not None else ()
        same = [gate.value for gate in gates] == [gate.value for gate in run]
        self._moved = None if same else (tuple(gates), recall)
        if self.gates != before:
            self.gates_changed.emit(self.gates)

    def recalled(self, cells: pd.DataFrame) -> pd.DataFrame:
        """Give the field's table, as the results have it, the calls of the gates as they are."""
        if self._moved is None or self.field is None:
            return cells
        return self._moved[1](self.field.name, cells)

    def set_cells(self, cells: pd.DataFrame) -> None:
        """Take other calls and classes of the field's objects; the view is drawn anew.

        Parameters
        ----------
        cells
            Columns as in ``cells/``, one row per object.
        """
        if self.field is None:
            return
        t.require(cells, (t.LABEL, t.PHENOTYPE, t.EVALUABLE), source=f"cells of {self.field.name}")
        self.field = replace(self.field, cells=cells)
        self.cells_changed.emit(cells)

    def preview(self, codes: NDArray[np.uint8]) -> None:
        """Draw outlines by other classes, without a table: what a gate that is dragged needs.

        Parameters
        ----------
        codes
            (largest label + 1,) uint8, codes of `legend`; holds until `set_cells` or the next
            field. `_colours.label_codes` makes them from a table.
        """
        if self.field is not None:
            self.codes_changed.emit(codes)

    def set_labels(self, labels: NDArray[np.uint32], cells: pd.DataFrame | None = None) -> None:
        """Take edited nuclei of the field, with their table where that changed too."""
        if self.field is None:
            return
        self.field = replace(
            self.field, labels=labels, cells=self.field.cells if cells is None else cells
        )
        self.labels_changed.emit(labels)
        if cells is not None:
            self.cells_changed.emit(cells)

    @property
    def label(self) -> int:
        """Label of the chosen object; 0 for none."""
        return self._shown.label

    def select(self, label: int, *, go: bool = False) -> None:
        """Choose an object of the field, 0 for none, and move the view to it if `go`."""
        if self.field is None:
            return
        if label != self._shown.label:
            self._shown = replace(self._shown, label=int(label))
            self.selected.emit(int(label))
        if go and label:
            self.go_to.emit(int(label))

    def hover(self, label: int) -> None:
        """Say which object the mouse is over, 0 for none."""
        if self.field is not None:
            self.hovered.emit(int(label))

    # Classes

    @property
    def legend(self) -> Legend:
        """Classes of the field's panel with their colours."""
        return legend_of(self.field.panel if self.field is not None else None)

    @property
    def class_counts(self) -> dict[str, int]:
        """Class -> number of cells in the field."""
        cells = self.cells
        return {} if cells is None else counts(cells, self.legend)

    @property
    def hidden(self) -> frozenset[str]:
        """Classes that are not drawn."""
        return self._shown.hidden

    def hide(self, names: frozenset[str]) -> None:
        """Draw all classes but these."""
        if names != self._shown.hidden:
            self._shown = replace(self._shown, hidden=frozenset(names))
            self.hidden_changed.emit(self._shown.hidden)

    def tell(self, kind: str, text: Any) -> None:
        """Tell the user something: ``info``, ``warning`` or ``error``."""
        self.message.emit(kind, str(text))
