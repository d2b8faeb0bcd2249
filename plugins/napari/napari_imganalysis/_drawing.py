"""Drawing into the picture with napari's own shapes and points, given on in um."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_imganalysis._fields import OpenField

DRAWING, REGIONS = "drawing", "regions"
"""Names of the layers."""

LASSO, POLYGON, LINE, POINTS = "lasso", "polygon", "line", "points"
MODES = {LASSO: "add_polygon_lasso", POLYGON: "add_polygon", LINE: "add_path"}
COLOURS = {
    "tumour": "#f0e442", "vessel": "#d55e00", "pigment": "#8c6d31", "exclude": "#bbbbbb",
}  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """What is drawn, and who is told.

    Parameters
    ----------
    kind
        `LASSO`, `POLYGON`, `LINE` or `POINTS`.
    done
        Gets the points, x and y in um from the upper left corner of the image.
    count
        Points after which it is done, of `POINTS`.
    """

    kind: str
    done: Callable[[list[tuple[float, float]]], None]
    count: int = 2


class Pen(QObject):
    """One layer that is drawn into while a tool is chosen, and goes with it.

    Parameters
    ----------
    viewer
        A napari viewer.
    ended
        Called when the drawing ends by itself: the user removed the layer.
    """

    def __init__(self, viewer: Any, ended: Callable[[], None], parent: QObject) -> None:
        super().__init__(parent)
        self.viewer, self._ended = viewer, ended
        self.layer: Any = None
        self._drawn: Drawn | None = None
        self._step = (1.0, 1.0)
        self._before: Any = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._take)
        viewer.layers.events.removed.connect(self._removed)

    def start(self, drawn: Drawn, field: OpenField) -> None:
        """Begin to draw into a field."""
        self.stop()
        self._drawn, self._step = drawn, field.pixel_um
        self._before = self.viewer.layers.selection.active
        unit = "um" if field.stack.pixel_size.known else "pixel"
        place = {"name": DRAWING, "scale": self._step, "units": (unit, unit)}
        if drawn.kind == POINTS:
            size = 2.0 / min(self._step)
            self.layer = self.viewer.add_points(
                ndim=2, size=max(size, 3.0), face_color="white", border_color="black", **place
            )
            self.layer.mode = "add"
        else:
            self.layer = self.viewer.add_shapes(
                ndim=2, edge_color="white", face_color="#ffffff30", edge_width=1, **place
            )
            self.layer.mode = MODES[drawn.kind]
        self.layer.events.data.connect(self._changed)
        self.viewer.layers.selection.active = self.layer

    def stop(self) -> None:
        """End drawing; nothing is left of what was not finished."""
        layer, self.layer, self._drawn = self.layer, None, None
        self._timer.stop()
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)
            if self._before is not None and self._before in self.viewer.layers:
                self.viewer.layers.selection.active = self._before

    def close(self) -> None:
        """End for good."""
        self.stop()
        self.viewer.layers.events.removed.disconnect(self._removed)

    def _removed(self, event: Any) -> None:
        if self.layer is not None and event.value is self.layer:
            self.layer, self._drawn = None, None
            self._ended()

    def _changed(self, _event: Any) -> None:
        # napari tells this while it still draws: what is drawn is taken after that.
        self._timer.start()

    def _take(self) -> None:
        layer, drawn = self.layer, self._drawn
        if layer is None or drawn is None or getattr(layer, "_is_creating", False):
            return
        if drawn.kind == POINTS:
            if len(layer.data) < drawn.count:
                return
            points = to_um(layer.data, self._step)
            layer.data = np.zeros((0, 2))
        else:
            if not len(layer.data):
                return
            points = to_um(layer.data[-1], self._step)
            layer.selected_data = set(range(len(layer.data)))
            layer.remove_selected()
        drawn.done(points)


def to_um(data: Any, step: tuple[float, float]) -> list[tuple[float, float]]:
    """Give points of a layer as x and y in um from the upper left corner of the image.

    In napari whole numbers are the middles of pixels, so that the corner lies at -0.5.
    """
    rows = np.asarray(data, dtype=float)[:, -2:]
    return [(float((x + 0.5) * step[1]), float((y + 0.5) * step[0])) for y, x in rows]


def show_regions(
    viewer: Any, field: OpenField | None, regions: Sequence[tuple[str, list[list[float]]]]
) -> None:
    """Draw the outlines of the regions of a field, in a layer of their own."""
    found = [layer for layer in viewer.layers if layer.name == REGIONS]
    for layer in found:
        viewer.layers.remove(layer)
    if field is None or not regions:
        return
    step = field.pixel_um
    unit = "um" if field.stack.pixel_size.known else "pixel"
    shapes = [
        np.array([[y / step[0] - 0.5, x / step[1] - 0.5] for x, y in ring[:-1]])
        for _, ring in regions
    ]
    active = viewer.layers.selection.active
    layer = viewer.add_shapes(
        shapes, shape_type="polygon", name=REGIONS, scale=step, units=(unit, unit),
        edge_color=[COLOURS[name] for name, _ in regions], face_color="transparent",
        edge_width=2, features={"region": [name for name, _ in regions]},
        text={"string": "{region}", "color": "white", "size": 10, "anchor": "upper_left"},
    )  # fmt: skip
    layer.mode = "pan_zoom"
    if active is not None and active in viewer.layers:
        viewer.layers.selection.active = active
