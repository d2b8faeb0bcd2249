"""Drawing into the picture with napari's own shapes and points, given on in um."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_imganalysis._fields import OpenField

DRAWING, REGIONS = "drawing", "regions"
"""Names of the layers."""

LASSO, POLYGON, LINE, POINTS = "lasso", "polygon", "line", "points"
ELLIPSE, RECTANGLE = "ellipse", "rectangle"
CLOSED = (LASSO, POLYGON, ELLIPSE, RECTANGLE)
"""What goes round something; each is taken, whichever the tool begins with."""
MODES = {
    LASSO: "add_polygon_lasso", POLYGON: "add_polygon", ELLIPSE: "add_ellipse",
    RECTANGLE: "add_rectangle", LINE: "add_path",
}  # fmt: skip
HOW = {
    LASSO: "Drag around", POLYGON: "Click the corners, the last one twice, around",
    ELLIPSE: "Drag an ellipse over", RECTANGLE: "Drag a rectangle over",
}  # fmt: skip
OPEN = ("path", "line")
"""napari's names of the shapes that go round nothing."""
AROUND = 64  # corners of the polygon that an ellipse becomes: its area is right to 0.2 %
SMALLEST = 3.0  # pixels on each side; a click without a drag makes a smaller shape
COLOURS = {
    "tumour": "#f0e442", "vessel": "#d55e00", "pigment": "#8c6d31", "exclude": "#bbbbbb",
}  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """What is drawn, and who is told.

    Parameters
    ----------
    kind
        One of `CLOSED`, `LINE` or `POINTS`.
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
    refused
        Gets a sentence on a shape that is none for the tool.
    """

    def __init__(
        self,
        viewer: Any,
        ended: Callable[[], None],
        refused: Callable[[str], None],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.viewer, self._ended, self._refused = viewer, ended, refused
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
            shape, kind = np.asarray(layer.data[-1], float), str(layer.shape_type[-1])
            layer.selected_data = set(range(len(layer.data)))
            layer.remove_selected()
            wrong = unfit(shape, kind, drawn.kind)
            if wrong:
                layer.mode = MODES[drawn.kind]
                self._refused(wrong)
                return
            points = to_um(outline_of(shape, kind), self._step)
        drawn.done(points)


def unfit(shape: NDArray[np.float64], kind: str, wanted: str) -> str:
    """Say why a shape is none for a tool; an empty text where it is one.

    Parameters
    ----------
    shape
        (n, 2), as napari keeps it, in pixels.
    kind
        napari's name of it.
    wanted
        `LINE`, or one of `CLOSED`.
    """
    if wanted == LINE:
        return "" if kind in OPEN else f"A line was expected, not {_a(kind)}: drag a line across"
    if kind in OPEN:
        names = f"{', '.join(CLOSED[:-1])} or {CLOSED[-1]}"
        return f"{_a(kind).capitalize()} goes round nothing; draw a closed shape: {names}"
    if np.ptp(shape, axis=0).min() < SMALLEST:
        return f"The {kind} is under {SMALLEST:g} pixels wide; drag it around the whole"
    return ""


def _a(kind: str) -> str:
    return f"an {kind}" if kind == ELLIPSE else f"a {kind}"


def outline_of(shape: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """Give the corners of a shape's outline, (n, 2).

    napari keeps an ellipse as the four corners of the rectangle around it, which may be turned;
    the middles of its sides are the ends of the axes.
    """
    if kind != ELLIPSE:
        return shape
    turn = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    axes = (shape[1] - shape[0]) / 2, (shape[3] - shape[0]) / 2
    found: NDArray[np.float64] = (
        shape.mean(axis=0) + np.outer(np.cos(turn), axes[0]) + np.outer(np.sin(turn), axes[1])
    )
    return found


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
