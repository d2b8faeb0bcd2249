"""What the mouse does in the picture: it chooses cells, and tells which one it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_imganalysis._outlines import label_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_imganalysis._fields import OpenField
    from napari_imganalysis._session import Session

STILL = 3  # pixels of the screen that a click may move


class Mouse:
    """Listens to the mouse in a viewer, for as long as the viewer lives.

    Parameters
    ----------
    viewer
        A napari viewer.
    session
        Told of cells that are clicked, and of those under the mouse.
    """

    def __init__(self, viewer: Any, session: Session) -> None:
        self.session = session
        viewer.mouse_drag_callbacks.append(self._click)
        viewer.mouse_move_callbacks.append(self._hover)

    def _label_under(self, position: tuple[float, ...]) -> int:
        field = self.session.field
        if field is None or field.labels is None:
            return 0
        labels = field.labels
        if len(position) < labels.ndim:
            return 0
        sides = sides_of(field, labels.ndim)
        place = position[len(position) - labels.ndim :]
        return label_at(labels, tuple(p / s for p, s in zip(place, sides, strict=True)))

    def _click(self, viewer: Any, event: Any) -> Iterator[None]:
        """Choose the cell that is clicked; a drag moves the view as ever."""
        active = viewer.layers.selection.active
        busy = active is not None and getattr(active, "mode", "pan_zoom") != "pan_zoom"
        if busy or event.button != 1 or event.modifiers:
            return
        start = np.asarray(event.pos, dtype=float)
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.asarray(event.pos, dtype=float) - start).max() > STILL:
            return
        label = self._label_under(tuple(event.position))
        self.session.select(label)
        field = self.session.field
        if label and field is not None and field.cells is not None and field.cell(label) is None:
            self.session.tell(
                "warning",
                f"Object {label} has no row in the table of cells of {field.name}. "
                "Run the analysis again",
            )

    def _hover(self, viewer: Any, event: Any) -> None:
        self.session.hover(self._label_under(tuple(event.position)))


def sides_of(field: OpenField, ndim: int) -> tuple[float, ...]:
    """Give the sides of a pixel along the last axes, as the layers have them."""
    return tuple(side or 1.0 for side in field.stack.pixel_size.as_tuple()[3 - ndim :])
