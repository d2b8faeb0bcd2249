"""Where cells lie in a biopsy: one row per measure, class and region, as in ``space.csv``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from imganalysis import tables as t
from imganalysis.errors import SettingsError
from imganalysis.quantify._space_distances import (
    DYING,
    cluster_rows,
    nearest_in_field,
    nearest_rows,
    vessel_rows,
)
from imganalysis.quantify._space_group import Group, SeenField
from imganalysis.quantify._space_regions import region_rows
from imganalysis.quantify.biopsies import COUNTED_ROLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imganalysis.panel import Panel
    from imganalysis.quantify.window import FieldSpace
    from imganalysis.settings import Summary
    from imganalysis.settings_space import Space

__all__ = ["COLUMNS", "MEASURES", "check_pairs", "nearest_in_field", "space_table"]

COLUMNS: dict[str, str] = {
    "biopsy": "name of the biopsy",
    "panel": "name of the panel",
    "measure": "what is given (below)",
    "class": "of which cells; `A+B` are classes taken together",
    "to": "towards, or among, which cells; `tissue` are random places in the counted tissue",
    "region": "tumour, margin or stroma; empty for all tissue",
    "value": "see the measure",
    "lo": "lower end of the interval",
    "hi": "upper end of the interval",
    "n": "cells that entered; for areas, fields",
    "n_fields": "fields that entered",
    "p": "two-sided, of the measures that have a test",
    "reason": "why the value is empty",
}

MEASURES: dict[str, str] = {
    "area_mm2": "counted tissue in the region",
    "stroma_unsure_share": "share of the stroma that is nearer to the field's border than the band "
    "is wide: a tumour beyond the border would make it margin",
    "density_per_mm2": "cells of the class per mm2 of counted tissue in the region",
    "density_ratio": "density in the tumour over that in the margin",
    "nearest_median_um": "median distance to the nearest cell of `to`, um",
    "nearest_share": "share of the class with such a cell within `near_um`",
    "clustering_um": "L(r) of the class less that of random labels among `to`, at `radius_um`; "
    "`lo` and `hi` are what random labels give (95 % envelope of all radii), `p` is of all radii",
    "vessel_median_um": "median distance to the edge of the nearest outlined vessel, um",
    "vessel_share": "share of the class within `near_um` of a vessel",
    "vessel_share_difference": "that share less the same share of `to`; `p` is of all distances",
}


def space_table(
    fields: pd.DataFrame,
    cells: Mapping[str, pd.DataFrame],
    spaces: Mapping[str, FieldSpace],
    areas: Mapping[str, Mapping[str, float]],
    ungated: frozenset[tuple[str, str]],
    panels: Mapping[str, Panel],
    space: Space,
    summary: Summary,
) -> pd.DataFrame:
    """Tell for every biopsy and panel where the cells lie.

    Parameters
    ----------
    fields
        One row per sample field, as in ``fields.csv``.
    cells
        Field -> one row per object with class, region and distances; none without an object.
    spaces
        Field -> where its cells were looked for; a field without does not enter.
    areas
        Field -> area of each region, where it can be had.
    ungated
        (field, marker) pairs without a gate.
    panels
        By name.
    space, summary
        Settings.

    Returns
    -------
    DataFrame
        `COLUMNS`, one row per biopsy, panel, measure, class and region.
    """
    rows: list[dict[str, Any]] = []
    done = fields[(fields["status"] == "analysed") & fields[t.FIELD].isin(list(spaces))]
    for (biopsy, panel), table in done.groupby(["biopsy", "panel"], sort=False):
        names = [str(name) for name in table[t.FIELD]]
        group = Group(
            str(biopsy),
            panels[str(panel)],
            [SeenField(_evaluable(cells.get(n)), spaces[n], i) for i, n in enumerate(names)],
            [areas.get(n) for n in names],
            frozenset(marker for label, marker in ungated if label in names),
            bool(table["tissue_mm2"].isna().any()),
            space,
            summary,
        )
        for part in (region_rows, nearest_rows, cluster_rows, vessel_rows):
            rows += part(group)
    out = pd.DataFrame(rows, columns=list(COLUMNS))
    texts = ["class", "to", "region", "reason"]
    out[texts] = out[texts].fillna("")
    numbers = ["value", "lo", "hi", "p"]
    out[numbers] = out[numbers].astype("float64")
    counts = ["n", "n_fields"]
    out[counts] = out[counts].astype("Int64")
    return out


def _evaluable(cells: pd.DataFrame | None) -> pd.DataFrame:
    if cells is None:  # a field without an object has no table
        columns = [t.FIELD, t.PHENOTYPE, t.Y, t.X, t.REGION, t.BORDER_DISTANCE, t.VESSEL_DISTANCE]
        return pd.DataFrame({name: [] for name in columns})
    return cells[cells[t.EVALUABLE].astype(bool)].reset_index(drop=True)


def check_pairs(panels: Iterable[Panel], space: Space) -> None:
    """Check that the pairs of the settings name classes that there are.

    Raises
    ------
    SettingsError
        A name that is neither a class of any panel nor one of the words.
    """
    classes = list(dict.fromkeys(name for panel in panels for name in panel.classes))
    known = {*classes, *COUNTED_ROLES, DYING}
    for name in dict.fromkeys(name for pair in space.pairs for name in pair):
        if name not in known:
            raise SettingsError(
                f"space.pairs: no panel has a class {name!r}; expected one of "
                f"{', '.join([*COUNTED_ROLES, DYING, *classes])}"
            )
