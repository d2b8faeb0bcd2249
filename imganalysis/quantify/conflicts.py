"""Conflicts: cells positive for two markers that no one cell has. Spillover, or two cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imganalysis.panel import Panel

FAILED = "conflict_rate"
"""Reason of a field that has too many of them."""


def conflict_counts(cells: pd.DataFrame, panels: Mapping[str, Panel]) -> pd.DataFrame:
    """Count the conflicts of each field.

    Parameters
    ----------
    cells
        One row per object of every sample field, with ``field``, ``panel``, ``evaluable`` and
        the calls.
    panels
        By name; their pairs of markers that exclude each other.

    Returns
    -------
    DataFrame
        Index: field, those of panels with such pairs; ``n_conflict_A_B`` evaluable cells
        positive for both, and ``conflict_rate_A_B``, of the evaluable cells; missing for
        the pairs of other panels and, the rate, where nothing is evaluable.
    """
    parts = []
    for panel in panels.values():
        mine = cells[(cells[t.PANEL] == panel.name) & cells[t.EVALUABLE].astype(bool)]
        names = cells.loc[cells[t.PANEL] == panel.name, t.FIELD].unique()
        if not panel.conflict_pairs or not len(names):
            continue
        total = mine[t.FIELD].value_counts().reindex(names, fill_value=0)
        columns: dict[str, pd.Series[Any]] = {}
        for pair in panel.conflict_pairs:
            both = (mine[[t.call_column(marker) for marker in pair]] == t.POSITIVE).all(axis=1)
            n = mine[t.FIELD][both].value_counts().reindex(names, fill_value=0)
            columns[t.conflict_column(*pair)] = n.astype("Int64")
            columns[t.conflict_rate_column(*pair)] = n / total.where(total > 0)
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts) if parts else pd.DataFrame(index=pd.Index([], dtype=object))


def fail_conflicts(
    fields: pd.DataFrame, counts: pd.DataFrame, panels: Mapping[str, Panel], limit: float
) -> pd.DataFrame:
    """Enter the conflicts into the table of fields; one with too many fails.

    Parameters
    ----------
    fields
        As in ``fields.csv``.
    counts
        As `conflict_counts` gives them.
    panels
        By name.
    limit
        Greatest rate of one pair that is let pass.

    Returns
    -------
    DataFrame
        A copy; of the fields that fail ``status``, ``reason`` and ``message`` say so.
    """
    if counts.empty:
        return fields
    wide = counts.reindex(fields[t.FIELD]).reset_index(drop=True)
    table = pd.concat([fields.drop(columns="flags"), wide, fields["flags"]], axis=1)
    analysed = (table["status"] == "analysed").to_numpy(bool)
    said: dict[int, str] = {}
    for panel in panels.values():
        mine = analysed & (table[t.PANEL] == panel.name).to_numpy(bool)
        for a, b in panel.conflict_pairs:
            rates = table[t.conflict_rate_column(a, b)].to_numpy(np.float64, na_value=np.nan)
            for i in np.flatnonzero(mine & (rates > limit)).tolist():
                said.setdefault(
                    i,
                    f"{table[t.FIELD].iloc[i]}: {rates[i]:.1%} of the cells are positive for {a} "
                    f"and {b}, which exclude each other; at most {limit:.1%} may be; look for "
                    "bleed-through between the two channels and for merged nuclei, and check the "
                    "two gates",
                )
    rows = list(said)
    table.loc[rows, "status"], table.loc[rows, "reason"] = "failed", FAILED
    table.loc[rows, "message"] = list(said.values())
    return table


def biopsy_conflicts(biopsies: pd.DataFrame, fields: pd.DataFrame) -> pd.DataFrame:
    """Enter the conflicts into the table of biopsies, pooled over all fields that were measured.

    Parameters
    ----------
    biopsies
        As in ``biopsies.csv``.
    fields
        Of `fail_conflicts`; those that failed are pooled too.
    """
    pairs = [str(c) for c in fields.columns if str(c).startswith(t.CONFLICTS)]
    table = biopsies.copy()
    for column in pairs:
        known = fields[fields[column].notna()]
        groups = known.groupby("biopsy")
        count, cells = groups[column].sum(), groups["n_evaluable"].sum()
        n = count.reindex(biopsies["biopsy"])
        rate = (count / cells.where(cells > 0)).reindex(biopsies["biopsy"])
        for name, values in (
            (column, n),
            (t.CONFLICT_RATES + column.removeprefix(t.CONFLICTS), rate),
        ):
            table.insert(list(table.columns).index("flags"), name, values.to_numpy())
    return table
