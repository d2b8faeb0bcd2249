"""Opens image files, results and their files in napari: layers named and coloured by the panel."""

from __future__ import annotations

import sys
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imganalysis.errors import ImganalysisError, NotAFieldError
from imganalysis.stack import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imganalysis.panel import Panel
    from imganalysis.stack import Series
    from napari_imganalysis._layers import LayerData

    Reader = Callable[[str | Sequence[str]], list[LayerData]]

CELL_SUFFIX = ".parquet"
LOOKED_AT = 200
"""Names in a folder that are looked at, to tell whether it is a study's."""


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Say whether the file is of a kind that imganalysis reads.

    Parameters
    ----------
    path
        One path, or several that were dropped together.

    Returns
    -------
    callable or None
        `read_layers`; `read_results` for a folder of results, or of a study's images;
        `read_table` for a table of cells of results; None to leave the file to another plugin.
    """
    from imganalysis.results import is_results

    paths = _paths(path)
    if len(paths) == 1 and paths[0].is_dir() and (is_results(paths[0]) or _is_study(paths[0])):
        return read_results
    if paths and all(str(one).lower().endswith(IMAGE_SUFFIXES) for one in paths):
        return read_layers
    if paths and all(one.suffix == CELL_SUFFIX and _results_of(one, "cells") for one in paths):
        return read_table
    return None


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Read every field of view of the files, lazily; labels and masks of results as labels.

    Where a file holds several fields and a window is there to ask in, the user chooses.

    Parameters
    ----------
    path
        One path, or several.

    Returns
    -------
    list of (array, keywords, kind)
        One per channel of each field. Arrays are (Z, Y, X), or (Y, X) for a single plane, with
        the dtype of the file. An axis is in um where the file knows its pixel size, else in
        pixels.

    Raises
    ------
    ImageError
        A file is damaged, is not an image, or holds no field of view.
    """
    layers: list[LayerData] = []
    for one in _paths(path):
        if _results_of(one, "labels") or _results_of(one, "masks"):
            layers.append(_labels_layer(one))
        else:
            layers += _file_layers(one)
    _scale_bar()
    return layers


def read_results(path: str | Sequence[str]) -> list[LayerData]:
    """Open a folder of results, or of a study: in the Study widget where there is a viewer.

    Returns
    -------
    list
        Without a viewer, the layers of the first field that can be opened; else none, since the
        widget has added them.
    """
    from napari_imganalysis._fields import load_field
    from napari_imganalysis._layers import cell_points, scale_of, stack_layers
    from napari_imganalysis._results import open_any

    (folder,) = _paths(path)
    viewer = _viewer()
    if viewer is not None:
        return _open_in(viewer, folder)
    opened = open_any(folder)
    if not opened.names:
        raise NotAFieldError(f"{folder}: its table of fields names none that was analysed")
    field = load_field(opened, opened.names[0])
    layers = stack_layers(field.stack, field.panel)
    if field.labels is not None:
        scale = scale_of(field.stack.pixel_size, field.labels.ndim)
        layers.append((field.labels, {"name": "nuclei", **scale}, "labels"))
    if field.cells is not None:
        layers.append(cell_points(field.cells, field.panel, "cells", {"field": field.name}))
    return layers


def read_table(path: str | Sequence[str]) -> list[LayerData]:
    """Read tables of cells of a folder of results, as points coloured by class."""
    from napari_imganalysis._layers import cell_points
    from napari_imganalysis._results import read_cells

    layers = []
    for one in _paths(path):
        panel = _panel_in_results(one, one.stem)
        facts = {"file": str(one), "field": one.stem}
        layers.append(cell_points(read_cells(one), panel, f"cells {one.stem}", facts))
    return layers


def _open_in(viewer: Any, folder: Path) -> list[LayerData]:
    from napari_imganalysis._attach import PLUGIN, STUDY, session_of, told

    viewer.window.add_plugin_dock_widget(PLUGIN, STUDY)
    session = session_of(viewer)
    with told(session):
        opened = session.open(folder)
        if opened.names:
            session.open_field(opened.names[0])
    return [(None,)]  # type: ignore[list-item]  # npe2's word for: read, and no layer to add


def _paths(path: str | Sequence[str]) -> list[Path]:
    return [Path(path)] if isinstance(path, str) else [Path(one) for one in path]


def _is_study(folder: Path) -> bool:
    """Whether a folder has a manifest, or images in it or in a folder below: a look, no reading."""
    from imganalysis.study import MANIFEST

    if str(folder).lower().endswith(IMAGE_SUFFIXES):
        return False  # an OME-Zarr is a folder
    try:
        if (folder / MANIFEST).is_file():
            return True
        inside = list(islice(folder.iterdir(), LOOKED_AT))
        below = (
            path for one in inside if one.is_dir() for path in islice(one.iterdir(), LOOKED_AT)
        )
        return any(str(path).lower().endswith(IMAGE_SUFFIXES) for path in chain(inside, below))
    except OSError:
        return False


def _results_of(path: Path, kind: str) -> bool:
    """Whether a file is one of a folder of results, of that kind."""
    from imganalysis.results import is_results

    return path.parent.name == kind and path.is_file() and is_results(path.parent.parent)


def _labels_layer(path: Path) -> LayerData:
    from imganalysis.io import list_series, read_labels
    from napari_imganalysis._layers import OURS, features_of, scale_of
    from napari_imganalysis._results import read_cells

    labels = read_labels(path)
    name = next(path.name[: -len(s)] for s in IMAGE_SUFFIXES if path.name.lower().endswith(s))
    keywords: dict[str, Any] = {
        "name": f"{path.parent.name} {name}",
        "metadata": {OURS: {"file": str(path), "field": name}},
        **scale_of(list_series(path)[0].pixel_size, labels.ndim),
    }
    cells = path.parent.parent / "cells" / f"{name}{CELL_SUFFIX}"
    if path.parent.name == "labels" and cells.is_file():
        panel = _panel_in_results(path, name)
        keywords["features"] = features_of(read_cells(cells), panel, ground=True)
    return labels, keywords, "labels"


def _panel_in_results(path: Path, field: str) -> Panel | None:
    """Panel of a field of the folder of results that a file stands in."""
    from napari_imganalysis._results import open_results

    opened = open_results(path.parent.parent)
    return opened.panel_of(field) if field in opened.names else None


def _file_layers(path: Path) -> list[LayerData]:
    from imganalysis.io import list_series, read_stack
    from napari_imganalysis._layers import file_facts, stack_layers

    listed = list_series(path)
    fields = [series for series in listed if series.is_field]
    if not fields:
        found = "; ".join(f"series {_title(one)}: {one.not_a_field}" for one in listed)
        raise NotAFieldError(
            f"{path}: expected a field of view in X and Y, found none ({found or 'no series'}). "
            f"`imganalysis info {path}` lists what the file holds"
        )
    chosen = fields if len(fields) == 1 else _choose(path, fields)
    layers: list[LayerData] = []
    for one in chosen:
        panel = _panel_for(path, one)
        axes = panel.axes if panel is not None else None
        stack = read_stack(path, series=one.index, tile=one.tile, axes=axes)
        prefix = "" if len(chosen) == 1 else f"{_title(one)}: "
        layers += stack_layers(stack, panel, prefix=prefix, facts=file_facts(stack, one))
    return layers


def _panel_for(path: Path, series: Series) -> Panel | None:
    """Panel that a series belongs to: of the study that is open, else a built-in one, or none."""
    from imganalysis.panel import builtin_panels, choose_panel, load_panel
    from napari_imganalysis._attach import session_of

    viewer = _viewer()
    opened = session_of(viewer).opened if viewer is not None else None
    own = list(opened.panels.values()) if opened is not None else []
    # A study's only panel fits every file of it, but not every other file.
    known = [panel for panel in own if len(own) > 1 or path.is_relative_to(opened.root)]  # type: ignore[union-attr]
    for panels in (known, [load_panel(name) for name in builtin_panels()]):
        try:
            if panels:
                return choose_panel(panels, str(path), series.name, series.channels)
        except ImganalysisError:
            continue  # the channels keep the file's names: a picture is shown, nothing measured
    return None


def _choose(path: Path, fields: list[Series]) -> list[Series]:
    """Ask which series of a file are wanted; all of them where nobody can be asked."""
    viewer = _viewer()
    if viewer is None or not _shown(viewer):
        return fields
    from napari_imganalysis._series_dialog import choose_series

    return choose_series(path, fields, parent=viewer.window._qt_window)


def _shown(viewer: Any) -> bool:
    try:
        return bool(viewer.window._qt_window.isVisible())
    except (AttributeError, RuntimeError):  # a viewer without a window, or a closed one
        return False


def _viewer() -> Any:
    """Find the viewer that files are opened in, or None: without napari, or without a viewer."""
    module = sys.modules.get("napari.viewer")  # not loaded: there is none
    return None if module is None else module.current_viewer()


def _scale_bar() -> None:
    from napari_imganalysis._versions import set_scale_bar

    viewer = _viewer()
    if viewer is not None:
        set_scale_bar(viewer)


def _title(series: Series) -> str:
    name = series.name or str(series.index)
    return name if series.tile is None else f"{name} tile {series.tile}"
