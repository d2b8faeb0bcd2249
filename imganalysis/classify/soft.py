"""Soft calls: how probable it is that a cell is positive, where a distribution tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imganalysis import tables as t
from imganalysis.classify.calls import batches_of, measure_values
from imganalysis.classify.gates import select_gate
from imganalysis.classify.rung_mixture import posterior

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.classify.gates import Gate
    from imganalysis.panel import Panel


def positive_probabilities(
    cells: pd.DataFrame, panel: Panel, gates: Sequence[Gate]
) -> pd.DataFrame:
    """Tell for every gated marker how probable it is that a cell is positive.

    Parameters
    ----------
    cells
        One row per cell of this panel, with the measures; ``batch`` and ``acquisition`` say
        which gate holds for a row (absent: the same for all).
    panel
        Its gated channels are asked for.
    gates
        Those of the study.

    Returns
    -------
    DataFrame
        Index of `cells`, one column of float64 per marker, named by
        `imganalysis.tables.probability_column`; 0 to 1, never falling as the value rises. NaN
        where there is no basis: the gate is a person's, a reference's or none, or the value is
        unknown. Of a marker with several measures the greatest counts.

    Raises
    ------
    TableError
        A column is missing.
    GatesError
        Two gates fit equally well.

    Notes
    -----
    By a mixture it is the posterior; by a control one minus the local false discovery rate, see
    `imganalysis.classify.rung_control.soft_curve`. Both describe the distributions that set the
    gate: they stay as they are if the gate is multiplied.
    """
    import pandas as pd

    keys, group = batches_of(cells)
    out = {}
    for channel in panel.gated:
        found = np.full(len(cells), -np.inf)
        for measure, column in zip(channel.measures, channel.columns, strict=True):
            values = measure_values(cells, channel.marker, measure)
            mine = np.full(len(cells), np.nan)
            for i, (batch, acquisition) in enumerate(keys):
                gate = select_gate(
                    gates, channel.marker, column,
                    panel=panel.name, batch=batch, acquisition=acquisition,
                )  # fmt: skip
                if gate is not None:
                    rows = slice(None) if len(keys) == 1 else group == i
                    mine[rows] = gate_probability(gate, values[rows])
            found = np.maximum(found, mine)  # NaN stays NaN
        out[t.probability_column(channel.marker)] = found
    return pd.DataFrame(out, index=cells.index)


def gate_probability(gate: Gate, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tell how probable it is that values are of positive cells, by one gate.

    Returns
    -------
    array
        (N,) 0 to 1; NaN where the gate or the value does not tell.
    """
    if gate.method == "mixture" and gate.mixture is not None:
        return posterior(values, gate.mixture)
    if gate.method == "control_percentile" and gate.soft is not None:
        steps = np.array([0.0, *gate.soft.probabilities])
        found = steps[np.searchsorted(gate.soft.values, values, side="right")]
        return np.where(np.isnan(values), np.nan, found)
    return np.full(values.shape, np.nan)
