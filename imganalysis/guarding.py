"""Calls guarded against neighbours: what rests on one side or on a bright arc is their light."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.classify.calls import POSITIVE_CODE, call_numbers, call_words, combine
from imganalysis.quantify.neighbours import brighter_side, free_ring_means

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from imganalysis.classify.gates import Gate
    from imganalysis.panel import Panel
    from imganalysis.settings_neighbours import Neighbours


def free_rings(
    cells: pd.DataFrame,
    calls: Mapping[str, NDArray[np.uint8]],
    contacts: Mapping[str, pd.DataFrame],
    panel: Panel,
    settings: Neighbours,
) -> pd.DataFrame:
    """Measure again the rings of cells beside positive neighbours, without the arcs at them.

    Parameters
    ----------
    cells
        One row per cell of this panel.
    calls
        Of them, as `imganalysis.classify.calls.call_numbers` gives them.
    contacts
        Field -> its contacts; a field without any is not measured again.
    panel
        Its gated markers of which the mean of a ring tells.
    settings
        How much of a ring must be left.

    Returns
    -------
    columns
        Index of `cells`; ``MARKER_ring_free_mean``, NaN where the whole ring stands. The arcs
        at neighbours that are positive for the marker, and brighter there than the cell itself,
        are left out; of cells positive for two lineage markers those at every positive neighbour.
    """
    markers = [c.marker for c in panel.gated if any(_of_ring(m) for m in c.measures)]
    lineage = [c.marker for c in panel.gated if c.role == "lineage"]
    positive = {marker: codes == POSITIVE_CODE for marker, codes in calls.items()}
    double = np.sum([positive[marker] for marker in lineage], axis=0) > 1
    found = {marker: np.full(len(cells), np.nan) for marker in markers}
    for name, rows in cells.groupby(t.FIELD, sort=False).indices.items():
        touching = contacts.get(str(name))
        if touching is None or touching.empty:
            continue
        mine = cells.iloc[rows]
        labels = pd.Index(mine[t.LABEL])
        cell, other = (rows[labels.get_indexer(pd.Index(touching[c]))] for c in t.PAIR)
        for marker in markers:
            brighter = brighter_side(touching, marker) | double[cell]
            found[marker][rows] = free_ring_means(
                mine, touching, marker, positive[marker][other] & brighter,
                min_share=settings.min_free,
            )  # fmt: skip
    columns = {t.measure_column(marker, "ring", t.FREE): v for marker, v in found.items()}
    return pd.DataFrame(columns, index=cells.index)


def guarded_calls(
    cells: pd.DataFrame,
    panel: Panel,
    gates: Sequence[Gate],
    band: float,
    calls: Mapping[str, NDArray[np.uint8]] | None = None,
) -> pd.DataFrame:
    """Call every gated marker, with and without what may be a neighbour's light.

    Parameters
    ----------
    cells
        One row per cell of this panel, with its measures, and the columns of `free_rings`
        where neighbours are to be minded.
    panel, gates, band
        As `imganalysis.classify.calls.call_cells` takes them.
    calls
        What `imganalysis.classify.calls.call_numbers` gives of them, where that is known.

    Returns
    -------
    table
        As `call_cells` gives it; a call that is lower by `values_alone` is the lower one, since
        what these leave out is a neighbour's light.
    """
    if calls is None:
        calls = call_numbers(cells, panel, gates, band)
    without = call_numbers(cells, panel, gates, band, values_alone(cells, panel))
    lower = {
        t.call_column(marker): call_words(
            combine([codes, without[marker]], "all") if marker in without else codes
        )
        for marker, codes in calls.items()
    }
    return pd.DataFrame(lower, index=cells.index)


def values_alone(cells: pd.DataFrame, panel: Panel) -> dict[str, NDArray[Any]]:
    """Measures without what may be a neighbour's light.

    Of the ring, the part without the arcs at brighter neighbours; of markers that lie all around,
    no more than its dimmer half, which holds no light that comes from one side, also of cells
    whose nuclei are not in the section.

    Returns
    -------
    dict
        Column of a measure -> (N,) its value; empty where neighbours are not minded.
    """
    alone: dict[str, NDArray[Any]] = {}
    for channel in panel.gated:
        free = t.measure_column(channel.marker, "ring", t.FREE)
        if free not in cells.columns:
            continue
        ring = cells[free].to_numpy(np.float64)
        dim = t.measure_column(channel.marker, "ring", t.DIM_HALF)
        if channel.all_around and dim in cells.columns:
            ring = np.fmin(ring, cells[dim].to_numpy(np.float64))
        for measure in filter(_of_ring, channel.measures):
            column = t.measure_column(channel.marker, measure.compartment, measure.statistic)
            value = ring
            if measure.compartment == "max":
                nucleus = cells[t.measure_column(channel.marker, "nucleus", "mean")]
                value = np.maximum(ring, nucleus.to_numpy(np.float64))
            alone[column] = np.where(np.isnan(ring), cells[column], value)
    return alone


def _of_ring(measure: Any) -> bool:
    return measure.statistic == "mean" and measure.compartment in ("ring", "max")
