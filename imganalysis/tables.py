"""The names, types and units of every column, and tables written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from imganalysis.errors import OutputError, TableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pandas as pd

# One object or cell per row. Lengths um, areas um2, volumes um3; the unit is in the name.
FIELD = "field"
BIOPSY, SECTION, ROLE = "biopsy", "section", "role"
PANEL, BATCH, ACQUISITION = "panel", "batch", "acquisition"
LABEL = "label"
CELL_ID = "cell_id"
Z, Y, X = "centroid_z_um", "centroid_y_um", "centroid_x_um"
AREA, VOLUME = "area_um2", "volume_um3"
DIAMETER = "equivalent_diameter_um"
ASPECT = "aspect_ratio"
MAJOR, MINOR = "major_axis_um", "minor_axis_um"
ECCENTRICITY, ORIENTATION, EXTENT = "eccentricity", "orientation_deg", "extent"
BOX_Z0, BOX_Y0, BOX_X0 = "box_z0_um", "box_y0_um", "box_x0_um"
BOX_Z1, BOX_Y1, BOX_X1 = "box_z1_um", "box_y1_um", "box_x1_um"
SOLIDITY = "solidity"
PERIMETER = "perimeter_um"
RING_AREA, CELL_AREA = "ring_area_um2", "cell_area_um2"
SATURATED = "saturated_fraction"
IN_FRAME = "in_frame"
IN_TISSUE = "in_tissue"
CAP = "cap"
EVALUABLE = "evaluable"
EXCLUSION = "exclusion"
PHENOTYPE = "phenotype"
WHY = "why"

GRID_UM = 4.0
"""Side of a square of the coarse grid on which areas and regions are told, um."""

CELL_COLUMNS: dict[str, str] = {
    FIELD: "name of the field of view",
    BIOPSY: "name of the biopsy",
    SECTION: "name of the section",
    ROLE: "sample, or kind of control",
    PANEL: "name of the panel",
    BATCH: "staining batch",
    ACQUISITION: "acquisition setting",
    LABEL: "number of the object in labels/, from 1",
    Z: "um from the middle of the first plane; stacks left in 3-D only",
    Y: "um from the middle of the uppermost pixel",
    X: "um from the middle of the leftmost pixel",
    AREA: "um2, nucleus",
    VOLUME: "um3, nucleus; stacks left in 3-D only",
    DIAMETER: "um, of the circle (sphere) of the same area (volume)",
    MAJOR: "um, long axis of the ellipse (ellipsoid) with the second moments of the nucleus",
    MINOR: "um, its short axis",
    ASPECT: "long axis / short axis of the nucleus",
    ECCENTRICITY: "of that ellipse, 0 = circle; planes only",
    ORIENTATION: "degrees from the Y axis to the long axis, counter-clockwise, -90 to 90; "
    "planes only",
    EXTENT: "area (volume) / area (volume) of the box around the nucleus",
    SOLIDITY: "area / area of the convex hull; planes only",
    PERIMETER: "um, nucleus",
    BOX_Z0: "um, where the box around the nucleus begins; stacks left in 3-D only",
    BOX_Y0: "um, its upper side",
    BOX_X0: "um, its left side",
    BOX_Z1: "um, where it ends; stacks left in 3-D only",
    BOX_Y1: "um, its lower side",
    BOX_X1: "um, its right side",
    RING_AREA: "um2, ring around the nucleus",
    CELL_AREA: "um2, nucleus and what expansion gave it",
    SATURATED: "share of the nucleus's pixels that are clipped, worst channel",
    IN_FRAME: "centroid inside the guard frame",
    IN_TISSUE: "centroid inside the tissue mask",
    CAP: "profile under half the median diameter of the field's nuclei",
    EVALUABLE: "counted",
    EXCLUSION: "why not counted, else empty",
    PHENOTYPE: "class, or unresolved",
    WHY: "the calls and the rule that gave the class",
}

# Calls and classes that every panel shares.
POSITIVE, NEGATIVE = "positive", "negative"
INDETERMINATE, NOT_MEASURED = "indeterminate", "not_measured"
UNRESOLVED = "unresolved"

EXCLUSIONS: dict[str, str] = {
    "too_small": "nucleus under the smallest evaluable diameter",
    "outside_frame": "centroid in the guard frame, or counted in a neighbouring tile",
    "outside_tissue": "centroid outside the tissue",
    "saturated": "too many clipped pixels in the nucleus",
    "not_measurable": "no finite value in the nucleus or its ring",
}


FLAGS: dict[str, str] = {
    "below_minimum": "fewer cells or fields than a fraction needs; do not use the value alone",
    "low_count": "fewer cells or fields than pathologists count",
    "below_LoD": "the interval reaches down to what false calls alone would give; of another "
    "fraction than the endpoint with its name in front, as in `FRACTION:below_LoD`",
    "lod_unknown": "a gate from a file, by hand or from one control field has no limit of blank, "
    "so that `below_LoD` cannot be told",
    "no_negative_population": "hardly a cell looks like the control: every cell positive, or a "
    "staining fault",
    "form_not_cleaved": "the death marker's antibody is not known to see the active form only",
    "adjacent_sections": "sections of one panel were pooled; neighbours share nuclei",
    "panels_pooled": "sections of several panels were pooled",
    "fields_failed": "some fields of the biopsy could not be analysed",
    "weak_nuclear_contrast": "much of the nuclear stain's signal lies outside the nuclei found",
    "no_nuclei": "a field without a nucleus",
    "axes_guessed": "the file does not say its axes; planes were taken for Z",
    "axes_ignored": "the axes that were given do not fit what the file says",
    "loose_image": "an image beside the folders of the biopsies",
    "time_series": "one time point of several; `time_point` says which",
    "overlap_unknown": "tiles whose overlap is unknown; cells there count twice",
    "rgb": "colours read as intensities",
    "saturated": "more than 1 % of a channel's pixels are clipped",
    "zero_clipped": "many pixels are 0: the offset was set too low",
    "not_finite": "pixels that are NaN or infinite; objects on them are excluded",
    "short_stack": "the stack is thinner than the section",
    "z_step_unknown": "several planes, the step between them unknown; all were averaged",
    "z_descending": "the planes were taken from the far side",
}
"""Fixed words in the column ``flags``."""

REASONS: dict[str, str] = {
    "ungated": "a marker that the value needs has no gate",
    "not_stained": "no field of a panel that shows it",
    "no_field": "the biopsy has no field of view that could be analysed",
    "thick_stack": "cells of a stack left in 3-D have no density per area",
    "fields_failed": "every field that could show it failed",
    "no_evaluable_tumour": "no evaluable tumour cell, or no more than false calls alone would give",
    "no_defined_lymphocytes": "no cell of the denominator, or no more than false calls would give",
    "empty_denominator": "no cell of the denominator, or no more than false calls would give",
}
"""Fixed words in the column ``reason`` of biopsies.csv, after the name of the value."""


def measure_column(marker: str, compartment: str, statistic: str) -> str:
    """Name of a measurement's column, e.g. ``CD3_ring_mean``; never taken apart again."""
    return f"{marker}_{compartment}_{statistic}"


def call_column(marker: str) -> str:
    """Name of the column of a marker's calls."""
    return f"{marker}_call"


def context_column(name: str) -> str:
    """Name of the column of a context of the phenotype table."""
    return f"is_{name}"


def require(table: pd.DataFrame, columns: Iterable[str], *, source: str) -> None:
    """Check that a table has the columns that are needed.

    Raises
    ------
    TableError
        Names the missing columns and those that were found.
    """
    missing = [name for name in columns if name not in table.columns]
    if missing:
        found = ", ".join(str(name) for name in table.columns)
        raise TableError(f"{source}: missing column(s) {', '.join(missing)}; found: {found}")


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file whole or not at all.

    Parameters
    ----------
    path
        Where it shall stand; its folder is made.
    write
        Writes to the path it is given, which has the same suffix.

    Raises
    ------
    OutputError
        The folder or file cannot be written.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The name begins with a dot so that no half-written file is taken for a result.
        handle, name = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        if temporary is not None and temporary.exists():
            temporary.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def guard_cell(value: object) -> object:
    """Keep a spreadsheet from taking a text for a formula."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value


def _guarded(table: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    safe = table.copy()
    safe.columns = pd.Index([guard_cell(name) for name in safe.columns])
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name].dtype):
            safe[name] = safe[name].map(guard_cell, na_action="ignore")
    return safe


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as UTF-8 CSV with commas, empty for missing.

    A byte order mark is written only where a text is not ASCII: spreadsheets need it there,
    and no other program has to strip one.
    """
    text = _guarded(table).to_csv(index=False, lineterminator="\n", float_format="%.8g")
    data = text.encode("utf-8") if text.isascii() else text.encode("utf-8-sig")

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    write_atomic(path, write)


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write a table as parquet; the same table gives the same bytes."""
    write_atomic(path, lambda temporary: table.to_parquet(temporary, index=False))


def write_xlsx(path: Path, sheets: dict[str, pd.DataFrame]) -> None:
    """Write tables as sheets of one workbook, first row frozen, no formulas."""
    import pandas as pd

    def write(temporary: Path) -> None:
        with pd.ExcelWriter(temporary, engine="openpyxl") as writer:
            for name, table in sheets.items():
                _guarded(table).to_excel(writer, sheet_name=name[:31], index=False)
                writer.sheets[name[:31]].freeze_panes = "A2"

    write_atomic(path, write)


def read_csv(path: Path, **options: object) -> pd.DataFrame:
    """Read a CSV with or without a byte order mark.

    Raises
    ------
    TableError
        Not there, not UTF-8, or not a table.
    """
    import pandas as pd

    try:
        return pd.read_csv(path, encoding="utf-8-sig", **options)  # type: ignore[call-overload,no-any-return]
    except FileNotFoundError:
        raise TableError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise TableError(
            f"{path}: not UTF-8 text; save it as 'CSV UTF-8' in the spreadsheet"
        ) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise TableError(f"{path}: not a table with commas ({error})") from None
