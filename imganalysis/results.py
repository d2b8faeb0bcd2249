"""The folder of results: what stands where, and how it is written whole or not at all."""

from __future__ import annotations

import getpass
import json
import platform
import shutil
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from imganalysis import __version__
from imganalysis.errors import OutputError
from imganalysis.settings import fingerprint
from imganalysis.tables import write_atomic, write_csv, write_parquet, write_xlsx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pandas as pd

    from imganalysis.panel import Panel
    from imganalysis.settings import Settings

BIOPSIES, FIELDS, EXCLUSIONS = "biopsies.csv", "fields.csv", "exclusions.csv"
WORKBOOK, GATES, RUN = "results.xlsx", "gates.json", "run.json"
CELLS, LABELS, MASKS, OVERLAYS = "cells", "labels", "masks", "overlays"
NAMES = (BIOPSIES, FIELDS, EXCLUSIONS, WORKBOOK, GATES, RUN, CELLS, LABELS, MASKS, OVERLAYS)
PARTIAL = ".partial"
LIBRARIES = ("numpy", "scipy", "scikit-image", "pandas", "bioio", "tifffile")


def labels_path(folder: Path, field: str) -> Path:
    """Label image of a field's nuclei."""
    return folder / LABELS / f"{field}.ome.tif"


def mask_path(folder: Path, field: str, mask: str) -> Path:
    """Mask of a field: ``tissue`` or ``frame``."""
    return folder / MASKS / f"{field}_{mask}.ome.tif"


def cells_path(folder: Path, field: str, suffix: str = ".parquet") -> Path:
    """Table of a field's cells."""
    return folder / CELLS / f"{field}{suffix}"


def overlay_path(folder: Path, field: str) -> Path:
    """Picture of a field with its calls."""
    return folder / OVERLAYS / f"{field}.png"


@contextmanager
def result_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a folder to write into; what was written replaces `out` at the end, or vanishes.

    Parameters
    ----------
    out
        Where the results shall stand.
    overwrite
        Whether earlier results there may be replaced. Files of other origin stay.

    Raises
    ------
    OutputError
        `out` cannot be written, or holds something and `overwrite` is not asked for.
    """
    check_target(out, overwrite=overwrite)
    partial = out / PARTIAL
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        for name in (CELLS, LABELS, MASKS, OVERLAYS):
            (partial / name).mkdir(parents=True)
    except OSError as error:
        raise OutputError(
            f"{out}: cannot be written ({error.strerror or error}); "
            "choose another folder with --out"
        ) from None
    try:
        yield partial
        for name in NAMES:
            _replace(partial / name, out / name)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if made and not any(out.iterdir()):
            out.rmdir()
        raise
    shutil.rmtree(partial, ignore_errors=True)


def check_target(out: Path, *, overwrite: bool) -> None:
    """Check early that results may be written to a folder.

    Raises
    ------
    OutputError
        It is a file, or holds something and `overwrite` is not asked for.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; --out names a folder")
    if out.is_dir() and not overwrite and any(p.name != PARTIAL for p in out.iterdir()):
        raise OutputError(
            f"{out}: is not empty; give --overwrite to replace earlier results, or another --out"
        )


def _replace(source: Path, target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    elif target.exists() or target.is_symlink():
        target.unlink()
    if source.is_dir() and not any(source.iterdir()):
        source.rmdir()
    elif source.exists():
        source.rename(target)


def write_json(path: Path, content: Any) -> None:
    """Write JSON that people can read."""
    text = json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n"

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_atomic(path, write)


def write_tables(
    folder: Path,
    *,
    biopsies: pd.DataFrame,
    fields: pd.DataFrame,
    exclusions: pd.DataFrame,
    cells: dict[str, pd.DataFrame],
    cells_csv: bool,
) -> None:
    """Write all tables.

    Parameters
    ----------
    folder
        Of the results.
    biopsies, fields, exclusions
        One row per biopsy, field, and reason of exclusion in a field.
    cells
        field -> one row per object.
    cells_csv
        Write the cells as CSV too.
    """
    write_csv(folder / BIOPSIES, biopsies)
    write_csv(folder / FIELDS, fields)
    write_csv(folder / EXCLUSIONS, exclusions)
    write_xlsx(
        folder / WORKBOOK, {"biopsies": biopsies, "fields": fields, "exclusions": exclusions}
    )
    for name, table in cells.items():
        write_parquet(cells_path(folder, name), table)
        if cells_csv:
            write_csv(cells_path(folder, name, ".csv"), table)


def now() -> str:
    """Time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def run_record(panels: Mapping[str, Panel], settings: Settings, started: str) -> dict[str, Any]:
    """Record what was run, by whom, when and with which versions, for ``run.json``."""
    return {
        "imganalysis": __version__,
        "started": started,
        "finished": now(),
        "user": _user(),
        "settings": settings.model_dump(mode="json"),
        "settings_hash": fingerprint(settings),
        "panels": {name: panel.model_dump(mode="json") for name, panel in panels.items()},
        "panel_hashes": {name: fingerprint(panel) for name, panel in panels.items()},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for the user, as in some containers
        return "unknown"
