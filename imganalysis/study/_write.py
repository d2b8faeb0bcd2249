"""manifest.csv, written for a user to correct."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from imganalysis.errors import OutputError
from imganalysis.study._manifest import MANIFEST_COLUMNS
from imganalysis.study._names import clean_text
from imganalysis.study._scenes import scene_text
from imganalysis.tables import write_csv

if TYPE_CHECKING:
    from imganalysis.study._model import Field, Study


def write_manifest(study: Study, path: Path, overwrite: bool = False) -> None:
    """Write the manifest of a study, for its user to correct.

    A file of one series has one row; of several, one row per series, so that each can be
    given its biopsy or the role ``ignore``.

    Parameters
    ----------
    study
        As discovered.
    path
        Where the manifest shall stand; paths in it are relative to its folder.
    overwrite
        Whether it may replace a file.

    Raises
    ------
    OutputError
        There is a file already and `overwrite` is not asked for, or it cannot be written, or
        an image has a name that it cannot hold.
    """
    import pandas as pd

    if path.exists() and not overwrite:
        raise OutputError(f"{path}: there already; give --overwrite to replace it")
    files: dict[Path, dict[int, Field]] = {}
    for field in study.fields:
        files.setdefault(field.path, {}).setdefault(field.series, field)
    for image in files:
        text = _relative(image, path.parent)
        if clean_text(text) != text:
            raise OutputError(
                f"{path}: cannot hold the path {clean_text(text)}, which is not UTF-8 or "
                "has control characters in it; rename the file or its folder"
            )
    rows = []
    for series in files.values():
        names = {number: field.scene for number, field in series.items()}
        for number, field in series.items():
            scene = scene_text(names, number) if len(series) > 1 else ""
            rows.append(_row(field, path.parent, scene) | field.extra)
    columns = [*MANIFEST_COLUMNS, *study.columns]
    table = pd.DataFrame(rows, columns=columns)
    numbers = {name: pd.to_numeric(table[name]) for name in ("week", "section_um")}
    write_csv(path, table.assign(**numbers))


def _row(field: Field, folder: Path, scene: str) -> dict[str, object]:
    own: dict[str, object] = {name: getattr(field, name) for name in MANIFEST_COLUMNS}
    own["path"] = _relative(field.path, folder)
    # A row stands for all tiles of a series; outlines are of one, and found by its name.
    drawn = field.annotations if field.tile is None else None
    own["annotations"] = _relative(drawn, folder) if drawn else ""
    own["scene"] = scene
    return own


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix()
    except ValueError:  # another drive
        return path.absolute().as_posix()
