"""How often a gate calls a control's cells positive: the rate of false calls, and its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imganalysis import tables as t
from imganalysis.classify.calls import (
    NEGATIVE_CODE,
    POSITIVE_CODE,
    call,
    call_between,
    measure_values,
)
from imganalysis.classify.gate_parts import FalsePositives
from imganalysis.classify.scopes import comparable, evaluable, of_place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from imganalysis.classify.gates import Gate
    from imganalysis.panel import Panel

    Numbers = NDArray[np.float64]

SURE = 0.95
"""How sure it is that the limit of blank is not lower than the controls allow."""


def false_positives(
    values: Numbers,
    fields: Sequence[str] | NDArray[np.object_],
    percentile: float,
    band: float,
) -> FalsePositives | None:
    """Find the positive share of each control field, under the gate of the other fields.

    On the cells that set it a gate's share is fixed by construction; only cells that it has not
    seen tell what it lets through.

    Parameters
    ----------
    values
        (N,) statistic of the control cells.
    fields
        (N,) field of each.
    percentile
        That sets the gate.
    band
        Indeterminate band; cells within it are left out, as they are in the samples.

    Returns
    -------
    FalsePositives or None
        None with fewer than two fields.
    """
    names = np.asarray(fields, dtype=str)
    x, n = [], []
    for name in np.unique(names):
        own = names == name
        if own.all():
            return None
        gate = float(np.percentile(values[~own], percentile))
        calls = call(values[own], gate, band)
        x.append(int((calls == POSITIVE_CODE).sum()))
        n.append(x[-1] + int((calls == NEGATIVE_CODE).sum()))
    return pooled_rate(x, n)


def rate_gates(
    gates: Sequence[Gate],
    controls: pd.DataFrame,
    panels: Mapping[str, Panel],
    band: float,
) -> tuple[Gate, ...]:
    """Find what each gate that no control set calls positive of the controls' cells.

    Parameters
    ----------
    gates
        Of a study, each of one place. Those of the control's percentile stay as they are, but
        for one that was given a band of its own.
    controls
        Cells of the controls that set gates, as `imganalysis.classify.ladder.set_gates` takes
        them. However few they are, they tell the rate: the bound of few cells is high.
    panels
        By name.
    band
        Indeterminate band of gates that do not give their own.

    Returns
    -------
    tuple of Gate
        With `control_fpr`; None where the control of the place has fewer than two fields.
    """
    own: dict[tuple[str, str, str], pd.DataFrame] = {}
    out = []
    for gate in gates:
        rated = gate.method == "control_percentile" and gate.band is None
        if gate.value is not None and not rated:
            place = (gate.panel, gate.batch, gate.acquisition)
            if place not in own:  # several gates share the cells of a place
                own[place] = comparable(evaluable(of_place(controls, place)))
            gate = gate.model_copy(
                update={"control_fpr": _rate_at(gate, own[place], panels[gate.panel], band)}
            )
        out.append(gate)
    return tuple(out)


def _rate_at(gate: Gate, cells: pd.DataFrame, panel: Panel, band: float) -> FalsePositives | None:
    if cells.empty:
        return None
    channel = panel.channel(gate.marker)
    measure = channel.measures[channel.columns.index(gate.column)]
    values = measure_values(cells, gate.marker, measure)
    if gate.method == "control_percentile" and gate.percentile is not None:
        # These very cells set it.
        some = np.isfinite(values)
        fields = cells[t.FIELD].to_numpy()[some]
        return false_positives(values[some], fields, gate.percentile, gate.band_or(band))
    calls = call_between(values, *gate.limits(band))
    names, field = np.unique(cells[t.FIELD].astype(str), return_inverse=True)
    x, n = (
        np.bincount(field[np.isin(calls, codes)], minlength=len(names))
        for codes in ((POSITIVE_CODE,), (POSITIVE_CODE, NEGATIVE_CODE))
    )
    return pooled_rate(x, n)


def pooled_rate(positive: ArrayLike, called: ArrayLike) -> FalsePositives | None:
    """Summarise the false calls of control fields.

    Parameters
    ----------
    positive, called
        (fields,) cells called positive, and called at all.

    Returns
    -------
    FalsePositives or None
        None with fewer than two fields in which a cell was called.

    Notes
    -----
    The limit of blank is the mean over fields + 1.645 SD (EP17), but no lower than what the
    rate itself may be: two fields without a false call have an SD of 0, and do not show that
    there are none.
    """
    x, n = (np.asarray(values, dtype=np.float64) for values in (positive, called))
    x, n = x[n > 0], n[n > 0]
    if len(n) < 2:
        return None
    mean, sd = float(np.mean(x / n)), float(np.std(x / n, ddof=1))
    upper = rate_bound(float(x.sum()), float(n.sum()))
    return FalsePositives(
        mean=mean, sd=sd, blank_limit=max(mean + 1.645 * sd, upper), n_fields=len(n),
        n_positive=round(x.sum()), n_called=round(n.sum()), upper=upper,
    )  # fmt: skip


def rate_bound(positive: float, called: float) -> float:
    """Give the one-sided 95 % upper bound of a rate (Clopper and Pearson, 1934): 1 % of 0 in 300.

    Cells count as independent: that fields differ is told by their SD, and to divide the cells
    by a design effect as well makes the limit of blank higher, but hardly ever truer.
    """
    from scipy.special import betaincinv

    if positive >= called:
        return 1.0
    return float(betaincinv(positive + 1, called - positive, SURE))
