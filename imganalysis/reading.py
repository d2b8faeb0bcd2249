"""Reading what a field of a study needs: its stack, and nuclei that somebody else outlined."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

from imganalysis.errors import LabelsError
from imganalysis.io import read_labels, read_stack
from imganalysis.settings import GivenLabels
from imganalysis.stack import PixelSize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from imganalysis.panel import Panel
    from imganalysis.settings import Settings
    from imganalysis.stack import Stack
    from imganalysis.study import Field


def read_field(where: Field, settings: Settings, panel: Panel) -> Stack:
    """Read the stack of a field, as its panel and the settings say.

    Raises
    ------
    ImageError
        The file cannot be read, or is no field of view.
    """
    reading = settings.reading
    given = reading.pixel_size
    return read_stack(
        where.path,
        where.series,
        tile=where.tile,
        time=reading.time,
        axes=reading.axes or panel.axes,
        pixel_size=None if given is None else PixelSize(*given, origin="user"),
        allow_rgb=reading.allow_rgb,
        backend=reading.backend,
    )


def given_nuclei(where: Field, settings: Settings) -> NDArray[np.uint32] | None:
    """Read the nuclei that the settings name for a field; None where they name none.

    A folder holds one file per field, named like the field or like its image file.

    Raises
    ------
    LabelsError
        No such file, or no label image.
    """
    given = settings.segmentation
    if not isinstance(given, GivenLabels):
        return None
    path = Path(given.path)
    if path.is_dir():
        stems = (where.name, where.path.name.split(".")[0])
        found = [p for s in stems for p in sorted(path.glob(f"{glob.escape(s)}.*")) if p.is_file()]
        if not found:
            raise LabelsError(
                f"{path}: expected a label image named like the field ({stems[0]}) or its file "
                f"({stems[1]}), found none",
                reason="no_labels",
            )
        path = found[0]
    return read_labels(path, given.page)


def split_page(text: str) -> tuple[str, int | str | None]:
    """Split FILE[:PAGE] into a path and the number or name of a page.

    The whole text is taken for the path where something of that name is there.

    Raises
    ------
    LabelsError
        There is no such file or folder.
    """
    if Path(text).exists():
        return text, None
    # A drive of Windows has a colon too: only the last one can part off a page.
    path, colon, page = text.rpartition(":")
    if colon and path and Path(path).exists():
        return path, int(page) if page.isdecimal() else page
    raise LabelsError(f"{text}: no such label image or folder (FILE, FILE:PAGE or FOLDER)")
