"""What is true of a simulated field: labels, a row per cell, a row per object, counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.simulate.cells import Cell
    from imganalysis.simulate.numeric import F32
    from imganalysis.simulate.recipe import GroupSpec, PanelSpec, Recipe
    from imganalysis.simulate.render import Rendered
    from imganalysis.simulate.section import Section

LABELS, N_OBJECTS, KIND, COMPARTMENT = "labels", "n_objects", "kind", "compartment"
STAGE, N_FRAGMENTS, TRUE_DIAMETER = "stage", "n_fragments", "diameter_3d_um"
VESSEL = "vessel_distance_um"
PIGMENTED = "pigmented"
"""Column of the cells that hold pigment; only where a recipe has any."""


def level_column(marker: str) -> str:
    """Name of the column of a marker's true level."""
    return f"{marker}_level"


def positive_column(marker: str) -> str:
    """Name of the column that says whether a cell is positive in truth."""
    return f"{marker}_positive"


def group_column(panel: str) -> str:
    """Name of the column of the group that a panel's true calls put a cell in."""
    return f"group_{panel}"


def draw_labels(
    recipe: Recipe, section: Section, rendered: Rendered
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], list[int]]:
    """Draw the nuclei that can be seen, with numbers from 1.

    A pixel belongs to the nucleus through which light has the longest path there, if that is
    at least the recipe's ``path_um``.

    Returns
    -------
    flat : (Y, X) uint32
    solid : (Z, Y, X) uint32, at the planes; nuclei that are not in ``flat`` are not here either
    owners : position of the cell of label i + 1
    """
    flat = np.zeros(section.shape[1:], np.uint32)
    longest: F32 = np.full(section.shape[1:], np.float32(recipe.truth.path_um))
    for number, (window, path) in enumerate(rendered.path_um, start=1):
        wins = path >= longest[window]
        flat[window][wins] = number
        longest[window] = np.where(wins, path, longest[window])
    # Numbers without a gap, in the order of the cells.
    seen = np.unique(flat)
    seen = seen[seen > 0]
    renumber = np.zeros(len(rendered.owners) + 1, np.uint32)
    renumber[seen] = np.arange(1, len(seen) + 1, dtype=np.uint32)
    solid = renumber[rendered.objects[section.plane_slices]]
    return renumber[flat], solid, [rendered.owners[n - 1] for n in seen.tolist()]


def object_table(labels: NDArray[np.uint32], owners: list[int], pixel_um: float) -> pd.DataFrame:
    """One row per label: its cell, area in um2, centroid in um from the upper left edge."""
    count = np.bincount(labels.ravel(), minlength=len(owners) + 1)[1:]
    rows, columns = np.nonzero(labels)
    which = labels[rows, columns]
    sums = [np.bincount(which, v + 0.5, minlength=len(owners) + 1)[1:] for v in (rows, columns)]
    ids = np.array(owners, dtype=np.int64)
    return pd.DataFrame(
        {
            tables.LABEL: np.arange(1, len(owners) + 1),
            tables.CELL_ID: np.unique(ids, return_inverse=True)[1] + 1 if len(ids) else ids,
            tables.AREA: np.round(count * pixel_um**2, 3),
            tables.Y: np.round(sums[0] / np.maximum(count, 1) * pixel_um, 3),
            tables.X: np.round(sums[1] / np.maximum(count, 1) * pixel_um, 3),
        }
    )


def cell_table(
    recipe: Recipe,
    cells: list[Cell],
    owners: list[int],
    objects: pd.DataFrame,
    side_um: tuple[float, float],
    vessel_um: NDArray[np.float64],
) -> pd.DataFrame:
    """One row per cell of which a nucleus is seen.

    Parameters
    ----------
    recipe
        What positive and evaluable mean.
    cells
        All cells.
    owners
        For each label, the position of its cell.
    objects
        As `object_table` gives it.
    side_um
        Height and width of the field.
    vessel_um
        For each cell, the distance to the nearest capillary; inf where there is none.

    Returns
    -------
    DataFrame
        ``cell_id``, ``label`` (the first), ``labels`` (all, blank between), what the cell is,
        for each marker ``MARKER_level`` and ``MARKER_positive``, the merged profile's area and
        diameter, ``cap``, ``evaluable``, and for each panel ``group_PANEL``.
    """
    rows = []
    for cell_id, merged in objects.groupby(tables.CELL_ID, sort=True):
        index = owners[int(merged[tables.LABEL].iloc[0]) - 1]
        rows.append(_row(recipe, cells[index], int(str(cell_id)), merged, vessel_um[index]))
    columns = list(_row_names(recipe))
    table = pd.DataFrame(rows, columns=columns)
    diameter = table[tables.DIAMETER].astype(float)
    median = float(diameter.median()) if len(table) else 0.0
    table[tables.CAP] = diameter < recipe.truth.cap_share * median
    guard = recipe.truth.guard_um
    y, x = table[tables.Y].astype(float), table[tables.X].astype(float)
    inside = (y >= guard) & (y < side_um[0] - guard) & (x >= guard) & (x < side_um[1] - guard)
    table[tables.EVALUABLE] = inside & (diameter >= recipe.truth.diameter_um)
    for name, panel in recipe.panels.items():
        table[group_column(name)] = group(table, panel)
    return table


def group(table: pd.DataFrame, panel: PanelSpec) -> pd.Series[Any]:
    """Put cells into a panel's groups; empty where none takes a cell."""
    out = pd.Series("", index=table.index, dtype=object)
    for name, spec in panel.groups.items():
        out[(out == "") & _matches(table, spec)] = name
    return out


def count_truth(
    recipe: Recipe, panel_name: str, cells: pd.DataFrame, *, group: str | None = None
) -> dict[str, Any]:
    """Count the evaluable cells of a panel's groups, and take its fractions of them.

    Parameters
    ----------
    recipe, panel_name
        Which groups and fractions.
    cells
        Of `SimulatedField.cells`, of one field or of many.
    group
        Column that names a cell's group; ``group_PANEL`` by default.

    Returns
    -------
    dict
        ``n_evaluable``, ``n_GROUP`` for each group, each fraction (NaN where nothing is in its
        denominator) and ``reason``.
    """
    panel = recipe.panels[panel_name]
    evaluable = cells[cells[tables.EVALUABLE].astype(bool)]
    counts = evaluable[group or group_column(panel_name)].value_counts()
    n = {name: int(counts.get(name, 0)) for name in panel.groups}
    out: dict[str, Any] = {"n_evaluable": len(evaluable)}
    out.update({f"n_{name}": value for name, value in n.items()})
    reasons: list[str] = []
    for name, fraction in panel.fractions.items():
        below = sum(n[g] for g in fraction.denominator)
        above = sum(n[g] for g in fraction.numerator)
        out[name] = round(fraction.scale * above / below, 4) if below else math.nan
        if not below and fraction.empty_reason not in reasons:
            reasons.append(fraction.empty_reason)
    out["reason"] = ";".join(reasons)
    return out


def _matches(table: pd.DataFrame, spec: GroupSpec) -> pd.Series[Any]:
    hit = ~table[KIND].isin(spec.not_kinds)
    if spec.kinds is not None:
        hit &= table[KIND].isin(spec.kinds)
    for marker in spec.positive:
        hit &= table[positive_column(marker)].astype(bool)
    for marker in spec.negative:
        hit &= ~table[positive_column(marker)].astype(bool)
    return hit


def _row_names(recipe: Recipe) -> list[str]:
    names = [tables.CELL_ID, tables.LABEL, LABELS, N_OBJECTS, KIND, COMPARTMENT, STAGE]
    names += [N_FRAGMENTS, TRUE_DIAMETER, tables.AREA, tables.DIAMETER, tables.Y, tables.X, VESSEL]
    for marker in antigens(recipe):
        names += [level_column(marker), positive_column(marker)]
    return names


def antigens(recipe: Recipe) -> list[str]:
    """Markers of the recipe that are no nuclear dyes."""
    return [name for name, pattern in recipe.markers.items() if pattern.pattern != "chromatin"]


def _row(
    recipe: Recipe, cell: Cell, cell_id: int, merged: pd.DataFrame, vessel_um: float
) -> list[Any]:
    area = merged[tables.AREA].to_numpy(float)
    total = math.fsum(area)
    row: list[Any] = [
        cell_id,
        int(merged[tables.LABEL].iloc[0]),
        " ".join(str(v) for v in merged[tables.LABEL]),
        len(merged),
        cell.kind,
        cell.compartment,
        math.nan if cell.stage is None else cell.stage,
        len(cell.nuclei),
        round(cell.diameter_um, 3),
        round(total, 3),
        round(math.sqrt(4.0 * total / math.pi), 3),
        round(math.fsum(area * merged[tables.Y].to_numpy(float)) / total, 3),
        round(math.fsum(area * merged[tables.X].to_numpy(float)) / total, 3),
        round(float(vessel_um), 3) if math.isfinite(vessel_um) else math.nan,
    ]
    for marker in antigens(recipe):
        level = max(cell.levels[marker], cell.inside[marker])
        row += [round(level, 4), level >= recipe.truth.positive_level]
    return row
