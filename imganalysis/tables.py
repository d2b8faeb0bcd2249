"""The names, types and units of every column, and tables written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from imganalysis.errors import OutputError, TableError
from imganalysis.words import EXCLUSIONS as EXCLUSIONS
from imganalysis.words import FLAGS as FLAGS
from imganalysis.words import GATE_FLAGS as GATE_FLAGS
from imganalysis.words import GATE_REASONS as GATE_REASONS
from imganalysis.words import REASONS as REASONS

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
N_NEIGHBOURS, CONTACT_SHARE = "n_neighbours", "contact_share"
AF_SHARE, AF_AFFECTED = "autofluorescent_fraction", "af_affected"
PIGMENT_SHARE = "pigment_fraction"
SHARPNESS = "edge_sharpness_per_um"
COMPARABLE = "comparable"
IN_FRAME = "in_frame"
IN_TISSUE = "in_tissue"
LEFT_OUT = "left_out"
ON_BORDER = "on_border"
ON_FIRST, ON_LAST = "on_first_plane", "on_last_plane"
CAP = "cap"
EVALUABLE = "evaluable"
EXCLUSION = "exclusion"
PHENOTYPE = "phenotype"
WHY = "why"
FRAGMENTS = "n_fragments"
PHENOTYPE_RULES, CORRECTED = "phenotype_rules", "corrected"
N_CORRECTIONS, N_LOST, N_CORRECTED = "n_corrections", "n_corrections_lost", "n_corrected"

LABEL_A, LABEL_B = "label_a", "label_b"
DIAMETER_A, DIAMETER_B = "equivalent_diameter_a_um", "equivalent_diameter_b_um"
GAP, HULL, UNION_SOLIDITY = "gap_um", "hull_diameter_um", "union_solidity"
DNA, BRIDGE, COMPONENT = "dna_ratio", "bridge", "component_diameter_um"
REGION = "region"
MARGIN_DISTANCE, MARGIN_CENSORED = "margin_distance_um", "margin_censored"
BORDER_DISTANCE, VESSEL_DISTANCE = "border_distance_um", "vessel_distance_um"

# One pair of abutting cells per row; a compartment of measurements too.
NEIGHBOUR = "neighbour"
PAIR = (LABEL, NEIGHBOUR)
CONTACT, CONTACT_AREA = "contact_um", "contact_um2"
ARC, ARC_SHARE, FREE = "arc", "arc_share", "free_mean"
DIM_HALF = "dim_half_mean"
COMPENSATED = "compensated"
CONFLICTS, CONFLICT_RATES = "n_conflict_", "conflict_rate_"

GRID_UM = 4.0
"""Side of a square of the coarse grid on which areas and regions are told, um."""

REGION_AREAS = {"region_mm2": "tumour", "margin_mm2": "margin", "stroma_mm2": "stroma"}
"""Columns of the area of each region."""

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
    AF_SHARE: "share of the cell's area on autofluorescence; empty where it was not looked for",
    AF_AFFECTED: "more than `af_share` of it; counted all the same",
    PIGMENT_SHARE: "share of the cell's area under pigment; empty where it cannot be seen",
    SHARPNESS: "1/um, slope of the nucleus's edge over its height",
    COMPARABLE: "its field is not clipped: its intensities may be pooled with other fields'",
    N_NEIGHBOURS: "cells that touch this one, or lie no farther than the settings' gap",
    CONTACT_SHARE: "share of the cell's outline that lies at neighbours",
    IN_FRAME: "centroid inside the guard frame; with the unbiased frame, a pixel inside it",
    LEFT_OUT: "centroid in what a person outlined to be left out; only where something is",
    ON_BORDER: "reaches a line of the unbiased frame that excludes it, or the field's border "
    "where these are cleared",
    ON_FIRST: "reaches the first plane; stacks left in 3-D only",
    ON_LAST: "reaches the last plane, so that its size is not known; stacks left in 3-D only",
    IN_TISSUE: "centroid inside the tissue mask",
    CAP: "profile under half the median diameter of the field's nuclei",
    EVALUABLE: "counted",
    EXCLUSION: "why not counted, else empty",
    CELL_ID: "number of the cell: label of its largest object; fragments of one cell share it",
    FRAGMENTS: "objects that are this cell",
    PHENOTYPE: "class, or unresolved",
    WHY: "the calls and the rule that gave the class",
    BORDER_DISTANCE: "um to where nothing is counted: the frame's side, or what was left out",
    VESSEL_DISTANCE: "um to the edge of the nearest outlined vessel, 0 inside; only where vessels "
    "are outlined",
    PHENOTYPE_RULES: "class by the rules alone; only where a classifier or a log of corrections "
    "was given",
    CORRECTED: "what a person did to it, `;` between: merged, split, drawn, class; likewise",
    REGION: "tumour, margin (the band around it) or stroma; empty where it cannot be had",
    MARGIN_DISTANCE: "um to the tumour's margin, negative inside; empty where the field shows none",
    MARGIN_CENSORED: "the field's border is nearer than the margin",
}

# A person's corrections, one per row: a cell by its field and `label` (or `cell_id`), its class.
CORRECT_CLASS, READER, TIME = "class", "reader", "time"

PAIR_COLUMNS: dict[str, str] = {
    LABEL_A: "the one object, the smaller number",
    LABEL_B: "the other",
    DIAMETER_A: "um, of the one",
    DIAMETER_B: "um, of the other",
    GAP: "um, shortest way from edge to edge",
    HULL: "um, equivalent diameter of the convex hull of both",
    UNION_SOLIDITY: "area of both / area of that hull",
    DNA: "nuclear stain of both / median of the field's nuclei that are no fragments",
    BRIDGE: "highest level of the death marker, above the background, at which one component "
    "of it holds both",
    COMPONENT: "um, equivalent diameter of that component",
}
"""Columns of the pairs of possible fragments, one row per pair."""

CORRECTION_COLUMNS: dict[str, str] = {
    "id": "of the line in the log",
    "time": "UTC",
    "user": "who made the edit",
    FIELD: "name of the field in this study",
    "kind": "what was done",
    LABEL: "number of the nucleus before the edit; of several, `;` between",
    "x_um": "um from the left side of the image, a point in it",
    "y_um": "um from the upper side",
    "before": "what was there",
    "after": "what the person wanted",
    WHY: "the person's reason",
    "status": "applied, lost, undone, outlined (by the file of outlines) or noted (a review)",
    "reason": "fixed word for why it was lost",
    "message": "the same for people",
}
"""Columns of corrections.csv, one row per edit of a log."""

# What a reader says: tables that people or a viewer's counting mode write, one owner for both.
READER, CLASS, CLICK_Y, CLICK_X = "reader", "class", "y_um", "x_um"
READER_CELL_COLUMNS: dict[str, str] = {
    FIELD: "name of the field of view, as in `fields.csv`",
    CLICK_X: "um from the middle of the leftmost pixel, as `centroid_x_um` in `cells/`",
    CLICK_Y: "um from the middle of the uppermost pixel, as `centroid_y_um` in `cells/`",
    CLASS: "class that the reader gives the cell, a name of the panel's phenotype table, or "
    "`unresolved` where the reader cannot tell",
    READER: "who read; the file's name where the column is missing",
    LABEL: "instead of the two positions: number of the nucleus in `labels/`",
}
"""Columns of a reader's table of cells, one row per cell that was looked at."""

PERCENT, FRACTION, N_POSITIVE, N_TOTAL = "percent", "fraction", "positive", "total"
READER_BIOPSY_COLUMNS: dict[str, str] = {
    BIOPSY: "name of the biopsy, as in `biopsies.csv`",
    READER: "who read; the file's name where the column is missing",
    FRACTION: "the reading, 0 to 1",
    PERCENT: "or the reading, 0 to 100",
    N_POSITIVE: "or the cells counted that have the property, with `total`",
    N_TOTAL: "all cells counted",
}
"""Columns of a reader's table of biopsies, one row per biopsy and reader; one kind of reading."""

# Calls and classes that every panel shares.
POSITIVE, NEGATIVE = "positive", "negative"
INDETERMINATE, NOT_MEASURED = "indeterminate", "not_measured"
UNRESOLVED = "unresolved"


def measure_column(marker: str, compartment: str, statistic: str) -> str:
    """Name of a measurement's column, e.g. ``CD3_ring_mean``; never taken apart again."""
    return f"{marker}_{compartment}_{statistic}"


def call_column(marker: str) -> str:
    """Name of the column of a marker's calls."""
    return f"{marker}_call"


def side_column(fraction: str, side: str) -> str:
    """Column of fields.csv: cells of a field in the numerator or denominator of a fraction."""
    return f"n_{side}_{fraction}"


def indeterminate_column(marker: str) -> str:
    """Name of the column of the cells whose call of a marker is indeterminate."""
    return f"n_indeterminate_{marker}"


def probability_column(marker: str) -> str:
    """Name of the column of the probability that a cell is positive for a marker."""
    return f"{marker}_probability"


def ghost_column(marker: str) -> str:
    """Name of the column of a marker's mean level in a ghost."""
    return f"{marker}_mean"


def context_column(name: str) -> str:
    """Name of the column of a context of the phenotype table."""
    return f"is_{name}"


def dominance_column(marker: str) -> str:
    """Name of the column of how a marker stands against the neighbours'."""
    return f"{marker}_neighbour_dominance"


def conflict_column(a: str, b: str) -> str:
    """Name of the column of the cells positive for two markers that exclude each other."""
    return f"{CONFLICTS}{a}_{b}"


def conflict_rate_column(a: str, b: str) -> str:
    """Name of the column of their share of the evaluable cells."""
    return f"{CONFLICT_RATES}{a}_{b}"


def field_runs(cells: pd.DataFrame) -> list[tuple[str, int, int]]:
    """Field, first row, row after the last one; the cells of a field stand together."""
    import numpy as np
    import pandas as pd

    code, names = pd.factorize(cells[FIELD])
    ends = np.searchsorted(code, np.arange(len(names) + 1)).tolist()
    return list(zip(map(str, names), ends, ends[1:], strict=False))


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
