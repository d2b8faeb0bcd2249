"""The folder of results: what stands where, and how it is written whole or not at all."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import shutil
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from imganalysis import __version__
from imganalysis.errors import OutputError, StudyError
from imganalysis.io import write_labels, write_mask
from imganalysis.run_file import OUR_KEY, RUN, read_run
from imganalysis.settings import fingerprint
from imganalysis.tables import write_atomic, write_csv, write_parquet, write_xlsx

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import pandas as pd

    from imganalysis.first_half import Measured
    from imganalysis.panel import Panel
    from imganalysis.settings import Settings
    from imganalysis.stack import PixelSize

BIOPSIES, FIELDS, EXCLUSIONS = "biopsies.csv", "fields.csv", "exclusions.csv"
SPACE, RATIOS, CORRECTIONS = "space.csv", "ratios.csv", "corrections.csv"
WORKBOOK, GATES = "results.xlsx", "gates.json"
CALIBRATION = "calibration.json"
CELLS, LABELS, MASKS, OVERLAYS, QC = "cells", "labels", "masks", "overlays", "qc"
GATE_FIGURES = "gates"
DEATH = "death"
NAMES = (
    BIOPSIES, FIELDS, EXCLUSIONS, RATIOS, SPACE, CORRECTIONS, WORKBOOK, CALIBRATION, GATES, CELLS,
    LABELS, MASKS, DEATH, OVERLAYS, QC, GATE_FIGURES, RUN,
)  # fmt: skip
PARTIAL, PREVIOUS = ".partial", ".previous"
LIBRARIES = ("numpy", "scipy", "scikit-image", "pandas", "bioio", "tifffile")


def labels_path(folder: Path, field: str) -> Path:
    """Label image of a field's nuclei."""
    return folder / LABELS / f"{field}.ome.tif"


def uncorrected_path(folder: Path, field: str) -> Path:
    """Label image of a field's nuclei before a person's edits, where these changed it."""
    return folder / LABELS / "uncorrected" / f"{field}.ome.tif"


def mask_path(folder: Path, field: str, mask: str) -> Path:
    """Mask of a field: ``tissue``, ``frame``, or of what is no stain."""
    return folder / MASKS / f"{field}_{mask}.ome.tif"


def death_path(folder: Path, field: str, table: str) -> Path:
    """Table of a field: ``pairs`` of possible fragments, or ``ghosts``."""
    return folder / DEATH / f"{field}_{table}.parquet"


def cells_path(folder: Path, field: str, suffix: str = ".parquet") -> Path:
    """Table of a field's cells."""
    return folder / CELLS / f"{field}{suffix}"


def overlay_path(folder: Path, field: str) -> Path:
    """Picture of a field with its calls."""
    return folder / OVERLAYS / f"{field}.png"


def quality_path(folder: Path, field: str) -> Path:
    """Sheet of a field with what was done to it and found on it."""
    return folder / QC / f"{field}.png"


@contextmanager
def result_folder(out: Path, *, overwrite: bool, inputs: Iterable[Path] = ()) -> Iterator[Path]:
    """Give a folder to write into; what was written replaces `out` at the end, or vanishes.

    Parameters
    ----------
    out
        Where the results shall stand.
    overwrite
        Whether earlier results there may be replaced. Files of other names stay.
    inputs
        As in `check_target`.

    Raises
    ------
    OutputError
        As in `check_target`; or `out` cannot be written. Earlier results are whole then.
    """
    inputs = list(inputs)
    check_target(out, overwrite=overwrite, inputs=inputs)
    partial = out / f"{PARTIAL}-{_host()}-{os.getpid()}"
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        _sweep(out)
        for name in (CELLS, LABELS, MASKS, DEATH, OVERLAYS, QC):
            (partial / name).mkdir(parents=True)
    except OSError as error:
        raise OutputError(
            f"{out}: cannot be written ({error.strerror or error}); "
            "choose another folder with --out"
        ) from None
    try:
        yield partial
        check_target(out, overwrite=overwrite, inputs=inputs)  # another run may have come first
        _swap(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if made and not any(out.iterdir()):
            out.rmdir()
        raise
    shutil.rmtree(partial, ignore_errors=True)


def check_target(out: Path, *, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Check early that results may be written to a folder.

    Parameters
    ----------
    out
        Where the results shall stand.
    overwrite
        Whether earlier results there may be replaced.
    inputs
        Files and folders that are read, which results must not replace.

    Raises
    ------
    OutputError
        It is a file; it is or holds a folder of the inputs; or it holds something, and that is
        not the results of an earlier run or `overwrite` is not asked for.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; --out names a folder")
    real = out.resolve()
    for path in inputs:
        if real in (path.resolve(), *path.resolve().parents):
            raise OutputError(
                f"{out}: holds {path}, which is read; results would replace it. "
                "Choose another folder with --out"
            )
    if not out.is_dir():
        return
    if (out / PREVIOUS).exists():
        raise OutputError(
            f"{out / PREVIOUS}: results of an earlier run, left there when a run was stopped "
            "while it replaced them. Move them back or delete them, or choose another --out"
        )
    if all(path.name.startswith(".") for path in out.iterdir()):
        return
    if not is_results(out):
        raise OutputError(
            f"{out}: is not empty and holds no results of imganalysis ({RUN}), so nothing in it "
            "is replaced; choose another folder with --out"
        )
    if not overwrite:
        raise OutputError(
            f"{out}: is not empty; give --overwrite to replace earlier results, or another --out"
        )


def is_results(folder: Path) -> bool:
    """Whether a folder holds the results of a run."""
    try:
        read_run(folder)
    except StudyError:
        return False
    return True


def made_with_classifier(folder: Path) -> bool:
    """Whether the run gave classes by a learned classifier, whose file is not in its results."""
    return bool(read_run(folder).get("classifier"))


def _swap(partial: Path, out: Path) -> None:
    """Put new results in the place of earlier ones: all of them, or none."""
    previous = out / PREVIOUS
    moved: list[tuple[Path, Path]] = []
    name = PREVIOUS
    try:
        previous.mkdir()
        for source, target in ((out, previous), (partial, out)):
            for name in NAMES:
                here = source / name
                empty = source is partial and here.is_dir() and not any(here.iterdir())
                if (here.exists() or here.is_symlink()) and not empty:
                    here.rename(target / name)
                    moved.append((here, target / name))
    except BaseException as error:
        for here, there in reversed(moved):
            there.rename(here)
        if previous.is_dir():
            previous.rmdir()
        if isinstance(error, OSError):
            raise OutputError(
                f"{out / name}: cannot be replaced ({error.strerror or error}); is it open in "
                "another program? Close it and run again; earlier results are as they were"
            ) from None
        raise
    # The new results stand: the earlier ones go with what is left over, even if killed here.
    try:
        previous.rename(partial / PREVIOUS)
    except OSError:
        shutil.rmtree(previous, ignore_errors=True)


def _sweep(out: Path) -> None:
    """Remove what runs on this computer left that were killed."""
    for path in out.glob(f"{PARTIAL}-*"):
        host, _, number = path.name.removeprefix(f"{PARTIAL}-").rpartition("-")
        mine = host == _host() and number.isdecimal()
        if mine and (int(number) == os.getpid() or not _runs(int(number))):
            shutil.rmtree(path, ignore_errors=True)


def _host() -> str:
    # A shared disk holds what other computers write too: their processes are unknown here.
    return re.sub(r"[^A-Za-z0-9_]+", "_", platform.node()) or "here"


def _runs(process: int) -> bool:
    """Whether a process of this computer is alive, as far as can be told."""
    if sys.platform == "win32":  # os.kill ends the process there, whatever the signal
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's, or no such number
        return True
    return True


def write_json(path: Path, content: Any) -> None:
    """Write JSON that people can read."""
    text = json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n"

    def write(temporary: Path) -> None:
        # File names need not be UTF-8: what is not is escaped, as JSON may have it.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")

    write_atomic(path, write)


def write_field(folder: Path, field: str, seen: Measured, pixel_size: PixelSize) -> None:
    """Write the pictures and tables that the first half has of a field."""
    write_labels(labels_path(folder, field), seen.nuclei, pixel_size)
    masks = {"tissue": seen.tissue, "frame": seen.frame, **seen.masks}
    for name, mask in masks.items():
        write_mask(mask_path(folder, field, name), mask, pixel_size)
    for name, table in (("pairs", seen.signs.pairs), ("ghosts", seen.signs.ghosts)):
        if table is not None:
            write_parquet(death_path(folder, field, name), table)


def write_tables(
    folder: Path,
    *,
    biopsies: pd.DataFrame,
    fields: pd.DataFrame,
    exclusions: pd.DataFrame,
    ratios: pd.DataFrame,
    space: pd.DataFrame | None = None,
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
    ratios
        One row per biopsy and ratio.
    space
        One row per biopsy and measure of where cells lie, if wanted.
    cells
        field -> one row per object.
    cells_csv
        Write the cells as CSV too.
    """
    write_csv(folder / BIOPSIES, biopsies)
    write_csv(folder / FIELDS, fields)
    write_csv(folder / EXCLUSIONS, exclusions)
    write_csv(folder / RATIOS, ratios)
    if space is not None:
        write_csv(folder / SPACE, space)
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
        OUR_KEY: __version__,
        "started": started,
        "finished": now(),
        "user": user_name(),
        "settings": settings.model_dump(mode="json"),
        "settings_hash": fingerprint(settings),
        "panels": {name: panel.model_dump(mode="json") for name, panel in panels.items()},
        "panel_hashes": {name: fingerprint(panel) for name, panel in panels.items()},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def user_name() -> str:
    """Name of who runs this, or `unknown`."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for the user, as in some containers
        return "unknown"
