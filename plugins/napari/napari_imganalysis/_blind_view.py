"""A field shown for counting blind: stains alone, no name; clicks become marks. No window here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from imganalysis import tables as t
from imganalysis.errors import ImganalysisError, PixelSizeError
from imganalysis.reading import read_field
from napari_imganalysis import _counting as c
from napari_imganalysis._attach import NEXT_KEY, PREVIOUS_KEY
from napari_imganalysis._layers import stack_layers
from napari_imganalysis._versions import camera_of, set_scale_bar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imganalysis.stack import Stack
    from napari_imganalysis._session import Session

MARKS = "marks"
TITLE = "Blind counting"
UNDO_KEYS, DELETE_KEYS = ("Control-Z", "u"), ("Delete", "Backspace")
REACH_PX = 12.0
"""Pixels of the screen within which a mark is taken away."""
STILL_PX = 3.0
"""Pixels of the screen that the mouse may move in a click."""
MARK_UM = 5.0


class BlindView:
    """Counts blind in a viewer; every click is in the reading's file before the next.

    Parameters
    ----------
    viewer
        A napari viewer.
    session
        Whose study is counted; its own field is closed meanwhile.

    ``changed`` is sent after every change, ``ended`` when counting ends or is left.
    """

    changed = Signal()
    ended = Signal()

    def __init__(self, viewer: Any, session: Session) -> None:
        self.viewer, self.session = viewer, session
        self.reading: c.Reading | None = None
        self.path: Path | None = None
        self.field = ""
        self.kind = ""
        self._past: list[tuple[c.Mark, ...]] = []
        self._layers: list[Any] = []
        self._hidden: list[Any] = []
        self._unseen: set[str] = set()
        self._title = ""
        self._keymap: dict[Any, Any] = {}
        self._at: tuple[float, float] | None = None
        session.field_changed.connect(self._interrupted)
        session.opened_changed.connect(self._interrupted)

    @property
    def counting(self) -> bool:
        """Whether fields are shown for counting."""
        return self.reading is not None

    # Begin and end

    def start(self, reading: c.Reading, path: Path) -> None:
        """Begin or go on with a reading.

        Raises
        ------
        OutputError
            Its file cannot be written; nothing is begun.
        """
        c.save(path, reading)
        self.session.close_field()
        self.reading, self.path = reading, path
        self.kind = reading.classes[0]
        self._title, self.viewer.title = self.viewer.title, TITLE
        self._hidden = [layer for layer in self.viewer.layers if layer.visible]
        for layer in self._hidden:
            layer.visible = False
        self.viewer.mouse_drag_callbacks.append(self._click)
        self.viewer.mouse_move_callbacks.append(self._move)
        self._keymap = dict(self.viewer.keymap)
        self._bind(self.viewer)
        self._next()

    def stop(self) -> None:
        """Leave counting; the reading can be gone on with."""
        if self.reading is None:
            return
        self.reading, self.path, self.field = None, None, ""
        self._clear()
        self.viewer.keymap.clear()
        self.viewer.keymap.update(self._keymap)
        for calls, mine in (
            (self.viewer.mouse_drag_callbacks, self._click),
            (self.viewer.mouse_move_callbacks, self._move),
        ):
            if mine in calls:
                calls.remove(mine)
        for layer in self._hidden:
            layer.visible = True
        self._hidden = []
        self.viewer.title = self._title
        self.ended.emit()

    def _interrupted(self, what: Any) -> None:
        if self.counting and what is not None:
            self.stop()
            self.session.tell(
                "warning",
                "Blind counting was left, as something was opened by its name; all marks are "
                "saved. Begin again to go on with it",
            )

    # A field

    def _next(self) -> None:
        """Show the next field; one that cannot be shown is left out, without its name."""
        self._clear()
        while self.reading is not None and self.reading.open_fields:
            self.field = self.reading.open_fields[0]
            try:
                self._show()
            except (ImganalysisError, OSError) as error:
                reason = getattr(error, "reason", "unreadable")
                self._keep(self.reading.leave_out(self.field, str(error)))
                self.session.tell(
                    "warning",
                    f"A field cannot be shown ({reason}) and is left out; which one, and why, "
                    "stands in the reading's file. Look there once the counting is done",
                )
                continue
            self.changed.emit()
            return
        self.field = ""
        if self.reading is not None:
            n, path = len(self.reading.done), self.path
            self.stop()
            self.session.tell(
                "info",
                f"All fields are read: {n} done. The table: {path and path.with_suffix('.csv')}",
            )

    def _show(self) -> None:
        opened = self.session.opened
        if opened is None:
            raise ImganalysisError("nothing is opened")
        panel = opened.panel_of(self.field)
        where = opened.field(self.field)
        stack: Stack = read_field(where, opened.settings, panel)  # type: ignore[arg-type]
        if not stack.pixel_size.known:
            raise PixelSizeError(f"{where.path}: the size of its pixels is not known")
        for data, keywords, _kind in stack_layers(stack, panel):
            visible = keywords["name"] not in self._unseen
            layer = self.viewer.add_image(data, visible=visible, **keywords)
            self._layers.append(layer)
            self._bind(layer)
        self._past = []
        self._points()
        self._draw()
        if self.viewer.dims.ndim == 3:
            self.viewer.dims.set_current_step(0, stack.shape[1] // 2)
        # No layer is active, whose own keys the status bar would advise.
        self.viewer.layers.selection.active = None
        self.viewer.reset_view()
        set_scale_bar(self.viewer)

    def _points(self) -> Any:
        """Layer of the marks; made anew where a person deleted it."""
        for layer in self._layers:
            if layer.name.startswith(MARKS) and layer in self.viewer.layers:
                return layer
        layer = self.viewer.add_points(
            np.zeros((0, 2)), name=MARKS, ndim=2, size=MARK_UM, face_color="transparent",
            border_width=0.16, units=("um", "um"),
        )  # fmt: skip
        layer.editable = False
        self._layers.append(layer)
        self._bind(layer)
        return layer

    def _draw(self) -> None:
        if self.reading is None:
            return
        layer, marks = self._points(), self.reading.marks.get(self.field, ())
        looks = [c.look_of(mark.kind, self.reading.classes) for mark in marks]
        places = np.array([(mark.y_um, mark.x_um) for mark in marks]).reshape(-1, 2)
        layer.data = places
        layer.selected_data = set()
        if marks:
            layer.symbol = [symbol for _, symbol in looks]
            layer.border_color = [colour for colour, _ in looks]
            layer.face_color = "transparent"
            layer.size = MARK_UM

    def _clear(self) -> None:
        """Take our layers away; channels that were switched off stay off in the next field."""
        for layer in reversed(self._layers):
            if layer in self.viewer.layers:
                (self._unseen.discard if layer.visible else self._unseen.add)(layer.name)
                self.viewer.layers.remove(layer)
        self._layers = []
        self._at = None

    # What the reader does

    def choose(self, kind: str) -> None:
        """Take a class; the next click gives it."""
        if self.reading is not None and kind in (*self.reading.classes, t.UNRESOLVED):
            self.kind = kind
            self.changed.emit()

    def click(self, y_um: float, x_um: float) -> None:
        """Mark a cell."""
        if self.reading is not None and self.field and self._inside(y_um, x_um):
            self._change(self.reading.marked(self.field, c.Mark(y_um, x_um, self.kind)))

    def delete(self) -> None:
        """Take away the mark under the mouse."""
        if self.reading is not None and self._at is not None:
            reach = max(MARK_UM / 2, REACH_PX / float(camera_of(self.viewer).zoom))
            self._change(self.reading.without(self.field, *self._at, reach))

    def undo(self) -> None:
        """Take back what was done last in this field."""
        if self.reading is not None and self._past:
            marks = self._past.pop()
            self._keep(self.reading.with_marks(self.field, marks))
            self._draw()
            self.changed.emit()

    def done(self) -> None:
        """Call the field done and show the next."""
        if self.reading is not None and self.field:
            if self._keep(self.reading.finish(self.field)):
                self._next()

    def back(self) -> None:
        """Open the field before again."""
        if self.reading is None:
            return
        done = [name for name in self.reading.order if name in self.reading.done]
        if done:
            marks = self.reading.marks.get(done[-1], ())
            if self._keep(self.reading.with_marks(done[-1], marks)):
                self._next()

    def _change(self, reading: c.Reading) -> None:
        if self.reading is None or reading is self.reading:
            return
        before = self.reading.marks.get(self.field, ())
        self._keep(reading)
        self._past.append(tuple(before))
        self._draw()
        self.changed.emit()

    def _keep(self, reading: c.Reading) -> bool:
        """Take a reading and write it; where that fails, it is told and tried at the next click."""
        self.reading = reading
        try:
            if self.path is not None:
                c.save(self.path, reading)
        except ImganalysisError as error:
            self.session.tell(
                "error",
                f"{error.message}. Your marks are not on the disk yet; free the folder, the next "
                "click tries again",
            )
            return False
        return True

    def _inside(self, y_um: float, x_um: float) -> bool:
        image = next((x for x in self._layers if x._type_string == "image"), None)
        if image is None:
            return False
        sides = np.asarray(image.scale)[-2:]
        place = np.array([y_um, x_um]) / sides
        return bool(((place >= -0.5) & (place < np.array(image.data.shape[-2:]) - 0.5)).all())

    # Keys and mouse

    def _bind(self, owner: Any) -> None:
        """Bind the keys; to layers too, whose own keys would go first."""
        assert self.reading is not None  # noqa: S101  by the callers
        for key, do in self._keys().items():
            owner.bind_key(key, do, overwrite=True)

    def _keys(self) -> dict[str, Any]:
        kinds = self.reading.classes if self.reading is not None else ()
        pairs = [*zip(c.KEYS, kinds, strict=False), (c.CANNOT_TELL_KEY, t.UNRESOLVED)]
        keys: dict[str, Any] = {key: self._chooser(kind) for key, kind in pairs}
        keys |= {key: lambda _owner: self.undo() for key in UNDO_KEYS}
        keys |= {key: lambda _owner: self.delete() for key in DELETE_KEYS}
        # These open a field by its name otherwise.
        keys |= {key: lambda _owner: None for key in (NEXT_KEY, PREVIOUS_KEY)}
        return keys

    def _chooser(self, kind: str) -> Any:
        return lambda _owner: self.choose(kind)

    def _place(self, event: Any) -> tuple[float, float]:
        y, x = tuple(event.position)[-2:]
        return float(y), float(x)

    def _move(self, _viewer: Any, event: Any) -> None:
        self._at = self._place(event)

    def _click(self, _viewer: Any, event: Any) -> Iterator[None]:
        """Mark what is clicked; a drag moves the view as ever."""
        if event.button != 1 or event.modifiers:
            return
        start = np.asarray(event.pos, dtype=float)
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.asarray(event.pos, dtype=float) - start).max() <= STILL_PX:
            self._at = self._place(event)
            self.click(*self._at)
