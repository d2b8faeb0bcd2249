"""What leaves the viewer: the batch's own table, byte for byte, and a picture of the view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import results as r
from imganalysis import tables as t
from imganalysis.errors import OutputError, StudyError, TableError
from napari_imganalysis._gates_model import BY_HAND

if TYPE_CHECKING:
    from pathlib import Path

    from napari_imganalysis._results import Opened
    from napari_imganalysis._session import Session

PADDING, SWATCH = 10, 14


def export_biopsies(folder: Path, target: Path) -> None:
    """Copy ``biopsies.csv`` of a run as the batch wrote it, byte for byte.

    Parameters
    ----------
    folder
        Of the results.
    target
        The new file.

    Raises
    ------
    TableError
        There is none.
    OutputError
        The target cannot be written, or lies among the results.
    """
    source = folder / r.BIOPSIES
    if target.resolve().parent == folder.resolve():
        raise OutputError(f"{target}: is among the results that it is copied from; choose another")
    try:
        content = source.read_bytes()
    except OSError as error:
        raise TableError(f"{source}: cannot be read ({error.strerror or error})") from None
    t.write_atomic(target, lambda path: _write(path, content))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def which_gates(opened: Opened) -> str:
    """Say which gates the exported table rests on, and what to do where others were saved."""
    if opened.folder is None:
        raise StudyError(f"{opened.root}: not analysed yet, so that there is no table to save")
    told = "As the batch wrote it, with the gates of the run."
    by_hand = opened.folder / BY_HAND
    if by_hand.is_file():
        told += (
            f" Gates saved by hand ({by_hand.name}) are not in it; for their table run: "
            f'imganalysis run "{opened.root}" --gates "{by_hand}" --out NEW_FOLDER'
        )
    return told


def legend_lines(session: Session) -> list[tuple[str, str]]:
    """(text, colour) of each class that is drawn, with its number of cells in the field."""
    legend, counts = session.legend, session.class_counts
    colours = dict(zip(legend.names, legend.colours, strict=True))
    return [
        (f"{name}  {n}", colours[name]) for name, n in counts.items() if name not in session.hidden
    ]


def differs(session: Session) -> bool:
    """Whether the classes that are drawn are not those of the results."""
    field, opened = session.field, session.opened
    if field is None or opened is None or field.cells is None:
        return False
    written = opened.cells(field.name)
    if written is None:
        return False
    columns = [t.LABEL, t.PHENOTYPE, t.EVALUABLE]
    a, b = (
        one[columns].sort_values(t.LABEL).astype(str).to_numpy() for one in (written, field.cells)
    )
    return not np.array_equal(a, b)


def channel_lines(viewer: Any) -> list[tuple[str, str]]:
    """(name, colour) of each picture that is shown, by the brightest colour of its map."""
    found = []
    for layer in viewer.layers:
        if layer.visible and layer._type_string == "image":
            red, green, blue = (round(255 * float(v)) for v in layer.colormap.colors[-1][:3])
            found.append((layer.name, f"#{red:02x}{green:02x}{blue:02x}"))
    return found
