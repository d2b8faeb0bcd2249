"""Objects, cells, fragments and ghosts of a biopsy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from imganalysis.panel import Panel

NAN = float("nan")


def death_columns(
    fields: pd.DataFrame, panels: Mapping[str, Panel]
) -> tuple[dict[str, float], list[str]]:
    """Columns of one biopsy that say what was counted as a cell, and its ghosts.

    Parameters
    ----------
    fields
        The biopsy's analysed fields, columns as in ``fields.csv``.
    panels
        By name.

    Returns
    -------
    columns, reasons
        ``n_objects``, ``n_cells``, ``fragments_per_apoptotic``, ``ghost_n`` and
        ``ghost_area_mm2``; why one of the last three is NaN. Ghosts are summed over the fields
        of panels with a death marker that show tissue; one of these without a count leaves none.
    """
    dying = [name for name, panel in panels.items() if panel.death_marker is not None]
    if not dying:
        return {"n_objects": _sum(fields, "n_objects"), "n_cells": _sum(fields, "n_cells")}, []
    mine = fields[fields["panel"].isin(dying)]
    row = {"n_objects": _sum(fields, "n_objects"), "n_cells": _sum(fields, "n_cells")}
    n = mine["n_apoptotic"].astype(float)
    per_cell = mine["fragments_per_apoptotic"].astype(float)
    total = float(n.sum()) if n.notna().all() else NAN
    row["fragments_per_apoptotic"] = (
        float(np.nansum(n * per_cell)) / total if np.isfinite(total) and total > 0 else NAN
    )
    seen = mine[mine["tissue_mm2"].astype(float) != 0]
    for name in ("ghost_n", "ghost_area_mm2"):
        row[name] = float(seen[name].astype(float).sum(skipna=False)) if len(seen) else NAN
    why = []
    if np.isnan(row["fragments_per_apoptotic"]):
        word = "ungated" if np.isnan(total) else "no_apoptotic_cell"
        why.append(f"fragments_per_apoptotic: {word if len(mine) else 'not_stained'}")
    if np.isnan(row["ghost_n"]):
        why.append(f"ghosts: {_why_no_ghosts(mine, seen)}")
    return row, why


def _why_no_ghosts(stained: pd.DataFrame, seen: pd.DataFrame) -> str:
    if seen.empty:
        return "no_area" if len(stained) else "not_stained"
    lost = seen[seen["ghost_n"].isna()]
    if lost["tissue_mm2"].isna().any():
        return "thick_stack"
    return "no_nuclei" if (lost["n_objects"] == 0).any() else "ungated"


def _sum(fields: pd.DataFrame, name: str) -> float:
    return float(fields[name].astype(float).sum())
