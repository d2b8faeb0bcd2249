"""The layers of a field in a napari viewer, and what the mouse does there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables as t
from napari_imganalysis._colours import label_codes
from napari_imganalysis._layers import OURS, features_of, scale_of, stack_layers
from napari_imganalysis._mouse import Mouse, sides_of
from napari_imganalysis._outlines import OutlineMap
from napari_imganalysis._versions import camera_of, set_scale_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_imganalysis._fields import OpenField
    from napari_imganalysis._session import Session

NUCLEI, OUTLINES, CHOSEN = "nuclei", "cell outlines", "chosen cell"
MASK_COLOURS = {"tissue": (0.80, 0.75, 0.47, 1.0), "frame": (1.0, 1.0, 1.0, 1.0)}
CLEAR, WHITE = (0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 1.0, 1.0)
CELL_PIXELS = 60  # on the screen, that a cell is enlarged to at least when the view goes to it
HIGHEST = 2**16 - 1
ROOM = 5000  # numbers for objects that a person draws
WIDE_NUCLEUS = 24.0  # pixels of the image, from which outlines are two pixels wide


class FieldView:
    """Keeps the layers of the session's field in a viewer.

    Layers have these names: one per channel, named by its marker; ``tissue`` and ``frame``;
    ``nuclei``, the labels, transparent, which is what the status bar tells of and what is
    edited; ``cell outlines``, codes of classes; and ``chosen cell``.

    Parameters
    ----------
    viewer
        A napari viewer.
    session
        Whose field is shown.
    """

    def __init__(self, viewer: Any, session: Session) -> None:
        self.viewer, self.session = viewer, session
        self.layers: dict[str, Any] = {}
        self.map: OutlineMap | None = None
        self._missed: set[str] = set()
        self._written: NDArray[np.uint8] | None = None  # codes that the outlines have
        session.field_changed.connect(self.show)
        session.cells_changed.connect(self._cells)
        session.codes_changed.connect(self.recolour)
        session.labels_changed.connect(self._labels)
        session.selected.connect(self._mark)
        session.go_to.connect(self.go_to)
        session.hidden_changed.connect(self._colours)
        viewer.layers.events.removed.connect(self._removed)
        self.mouse = Mouse(viewer, session)

    # A field

    def show(self, field: OpenField | None) -> None:
        """Put the layers of a field in the place of those of the field before.

        Layers of the same name and axes are used again: making a layer takes napari as long as
        showing it.
        """
        if field is None:
            self.clear()
            return
        self.map, self._written, self._missed, kept = None, None, set(), []
        facts = {"field": field.name, "file": str(field.stack.source)}
        for data, keywords, _ in stack_layers(field.stack, field.panel, facts=facts):
            kept.append(self._put("image", keywords["name"], data, keywords))
        kept += self._put_masks(field)
        if field.labels is not None:
            kept += self._put_nuclei(field)
        for layer in [one for one in self.layers.values() if one not in kept]:
            self.viewer.layers.remove(layer)
        if list(self.viewer.layers)[: len(kept)] != kept:
            self._order(kept)
        set_scale_bar(self.viewer)
        self.viewer.reset_view()
        if field.stack.shape[1] > 1 and self.viewer.dims.ndim > 2:
            self.viewer.dims.set_current_step(0, sum(field.planes) // 2)
        nuclei = self.layers.get(NUCLEI)
        if nuclei is not None:
            self.viewer.layers.selection.active = nuclei
            self.viewer.tooltip.visible = True

    def _put(self, kind: str, name: str, data: Any, keywords: dict[str, Any]) -> Any:
        """Make a layer, or show other data in the one of that name."""
        layer = self.layers.get(name) or self._dropped(name, keywords)
        ndim = data.ndim
        if layer is not None and (layer._type_string != kind or layer.ndim != ndim):
            self.viewer.layers.remove(layer)
            layer = None
        if layer is None:
            add = self.viewer.add_image if kind == "image" else self.viewer.add_labels
            options = {"visible": True, **keywords}
            layer = self.layers[name] = add(data, **{**options, "name": name})
            return layer
        layer.data = data
        scale = keywords.get("scale", (1.0,) * ndim)
        if tuple(layer.scale) != scale:  # either has napari draw anew
            layer.scale = scale
        layer.units = keywords.get("units", ("pixel",) * ndim)
        for key in ("colormap", "contrast_limits", "metadata", "features"):
            if key in keywords:
                setattr(layer, key, keywords[key])
        return layer

    def _dropped(self, name: str, keywords: dict[str, Any]) -> Any:
        """Take over a layer of the same channel that was made when the file was dropped."""
        file = keywords["metadata"].get(OURS, {}).get("file")
        for layer in self.viewer.layers if file is not None else ():
            facts = layer.metadata.get(OURS, {})
            if layer.name == name and facts.get("file") == file:
                self.layers[name] = layer
                return layer
        return None

    def _order(self, kept: list[Any]) -> None:
        """Bring our layers into their order, under those of the user."""
        for place, layer in enumerate(kept):
            at = self.viewer.layers.index(layer)
            if at != place:
                self.viewer.layers.move(at, place)

    def _put_masks(self, field: OpenField) -> list[Any]:
        layers = []
        for name, mask in field.masks.items():
            new = name not in self.layers
            keywords = {
                "colormap": _colormap([CLEAR, MASK_COLOURS.get(name, WHITE)]),
                "visible": name == "frame",
                "metadata": {OURS: {"mask": name}},
                **scale_of(field.stack.pixel_size, mask.ndim),
            }
            layer = self._put("labels", name, mask.astype(np.uint8), keywords)
            if new:
                layer.contour = 1
                layer.editable = False
            layers.append(layer)
        return layers

    def _put_nuclei(self, field: OpenField) -> list[Any]:
        labels = field.labels
        assert labels is not None  # noqa: S101  by the caller
        keywords: dict[str, Any] = {
            "colormap": _colormap([CLEAR, CLEAR]),
            "metadata": {OURS: {"labels": field.name}},
            **scale_of(field.stack.pixel_size, labels.ndim),
        }
        # Also without a table: the features of the field before must go.
        cells = field.cells if field.cells is not None else None
        keywords["features"] = (
            None if cells is None else features_of(cells, field.panel, ground=True)
        )
        nuclei = self._put("labels", NUCLEI, _drawn(labels), keywords)
        return [nuclei, self._make_outlines(field)]

    def _make_outlines(self, field: OpenField) -> Any:
        labels = field.labels
        assert labels is not None  # noqa: S101  by the caller
        self.map = OutlineMap(labels, width=_line_width(field))
        self._write_codes(self._codes(field))
        keywords = {
            "opacity": 1.0,
            "colormap": _colormap(self.session.legend.rgba(self.session.hidden)),
            "metadata": {OURS: {"outlines": field.name}},
            **scale_of(field.stack.pixel_size, labels.ndim),
        }
        outlines = self._put("labels", OUTLINES, self.map.data, keywords)
        outlines.editable = False
        return outlines

    def clear(self) -> None:
        """Take our layers out of the viewer; those of the user stay."""
        layers, self.layers, self.map = list(self.layers.values()), {}, None
        self._missed = set()
        for layer in reversed(layers):
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    def _removed(self, event: Any) -> None:
        """Forget a layer that the user removed."""
        for name, layer in list(self.layers.items()):
            if layer is event.value:
                del self.layers[name]

    def _layer(self, name: str) -> Any:
        """Find a layer of ours; where the user removed it, None, and says so once."""
        layer, field = self.layers.get(name), self.session.field
        if layer is None and field is not None and field.labels is not None:
            if name not in self._missed:
                self._missed.add(name)
                self.session.tell(
                    "warning",
                    f"The layer '{name}' was removed, so that nothing is drawn in it; open the "
                    f"field {field.name} again to have it back",
                )
        return layer

    # Its colours

    def _codes(self, field: OpenField) -> NDArray[np.uint8]:
        size = self.map.size if self.map is not None else 1
        legend = self.session.legend
        if field.cells is None:
            codes = np.full(size, legend.unclassed, np.uint8)
            codes[0] = 0
            return codes
        return label_codes(field.cells, legend, size)

    def _write_codes(self, codes: NDArray[np.uint8]) -> None:
        if self.map is not None:
            self.map.recolour(codes, dashed=self.session.legend.not_evaluable)
            self._written = codes

    def recolour(self, codes: NDArray[np.uint8]) -> None:
        """Draw the outlines by other codes, one per label: fast enough for a gate that is dragged.

        Parameters
        ----------
        codes
            (largest label + 1,) uint8.
        """
        layer = self._layer(OUTLINES)
        if layer is None:
            return
        self._write_codes(codes)
        layer.refresh(thumbnail=False, highlight=False, extent=False)

    def _cells(self, cells: Any) -> None:
        field = self.session.field
        if field is None or field.labels is None:
            return
        codes = self._codes(field)
        if self._written is None or not np.array_equal(codes, self._written):
            self.recolour(codes)
        nuclei = self._layer(NUCLEI)
        if nuclei is not None:
            nuclei.features = features_of(cells, field.panel, ground=True)

    def _labels(self, labels: NDArray[np.uint32]) -> None:
        """Draw edited nuclei: only where they differ from those that are drawn."""
        field = self.session.field
        if field is None:
            return
        nuclei, outlines = self.layers.get(NUCLEI), self.layers.get(OUTLINES)
        same = self.map is not None and self.map.shape == labels.shape
        if not same or outlines is None or _line_width(field) != self.map.width:  # type: ignore[union-attr]
            if nuclei is not None:
                nuclei.data = _drawn(labels)
            self._make_outlines(field)
            return
        box = self.map.follow(labels)  # type: ignore[union-attr]
        if box is None:
            return
        if nuclei is not None:
            if _fitting_type(labels) == nuclei.data.dtype:
                nuclei.data[box] = labels[box]
                nuclei.refresh(thumbnail=False, highlight=False, extent=False)
            else:
                nuclei.data = _drawn(labels)
        self.recolour(self._codes(field))

    def _colours(self, hidden: frozenset[str]) -> None:
        layer = self._layer(OUTLINES)
        if layer is not None:
            layer.colormap = _colormap(self.session.legend.rgba(hidden))

    # One cell

    def _mark(self, label: int) -> None:
        """Put a ring around the chosen cell."""
        old = self.layers.pop(CHOSEN, None)
        if old is not None and old in self.viewer.layers:
            self.viewer.layers.remove(old)
        place = self._place(label)
        if place is None:
            return
        active = self.viewer.layers.selection.active
        at, diameter = place
        field = self.session.field
        unit = "um" if field is not None and field.stack.pixel_size.known else "pixel"
        ring = self.viewer.add_points(
            [at],
            name=CHOSEN,
            size=2.2 * diameter,
            symbol="disc",
            face_color="transparent",
            border_color="white",
            border_width=0.03,
            units=(unit,) * len(at),
        )
        ring.editable = False
        self.layers[CHOSEN] = ring
        self.viewer.layers.selection.active = active if active in self.viewer.layers else None

    def _place(self, label: int) -> tuple[tuple[float, ...], float] | None:
        """Centre (Y, X), or (Z, Y, X) of thick stacks, and diameter of an object, in um."""
        field = self.session.field
        if field is None or not label:
            return None
        row = field.cell(label)
        if row is not None:
            axes = (t.Z, t.Y, t.X) if row.get(t.Z) == row.get(t.Z) else (t.Y, t.X)
            at = tuple(float(row[axis]) for axis in axes if axis in row.index)
            diameter = float(row[t.DIAMETER]) if t.DIAMETER in row.index else 10.0
            return at, max(diameter, 1.0)
        if field.labels is None:
            return None
        found = np.nonzero(field.labels == label)
        if not found[0].size:
            return None
        sides = sides_of(field, field.labels.ndim)
        at = tuple(float(axis.mean()) * side for axis, side in zip(found, sides, strict=True))
        return at, 2 * float(np.sqrt(found[0].size / np.pi)) * sides[-1]

    def go_to(self, label: int) -> None:
        """Move the view to an object, nearer if it is tiny there."""
        place = self._place(label)
        if place is None:
            self.session.tell(
                "warning",
                f"Object {label} is neither in the table of cells nor in the labels of this field",
            )
            return
        at, diameter = place
        camera = camera_of(self.viewer)
        camera.center = (*camera.center[:1], *at[-2:])
        if camera.zoom * diameter < CELL_PIXELS:
            camera.zoom = CELL_PIXELS / diameter
        if len(at) == 3 and self.viewer.dims.ndim == 3:
            self.viewer.dims.set_point(0, at[0])


def _line_width(field: OpenField) -> int:
    if field.cells is None or t.DIAMETER not in field.cells.columns or field.cells.empty:
        return 1
    pixels = float(field.cells[t.DIAMETER].median()) / min(field.pixel_um)
    return 2 if pixels >= WIDE_NUCLEUS else 1


def _drawn(labels: NDArray[np.uint32]) -> NDArray[Any]:
    """Labels as the layer ``nuclei`` has them: a copy, of a type that napari draws fast."""
    return labels.astype(_fitting_type(labels))


def _fitting_type(labels: NDArray[np.uint32]) -> Any:
    """16 bits where the labels fit with room for new ones.

    napari looks colours of these up in a table, and compiles code for wider ones, which takes
    seconds. `OpenField.labels` stays 32 bit.
    """
    fits = int(labels.max(initial=0)) < HIGHEST - ROOM
    return np.dtype(np.uint16 if fits else np.uint32)


def _colormap(colours: Sequence[tuple[float, ...]]) -> Any:
    """Colours of the labels 0, 1, 2, ...

    A cyclic map whose cycle no label leaves is a plain list of colours; napari compiles code for
    a direct one, which takes seconds.
    """
    from napari.utils.colormaps import CyclicLabelColormap

    return CyclicLabelColormap(colors=np.array([*colours], dtype=np.float32))
