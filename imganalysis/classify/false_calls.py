"""How often a gate calls a control's cells positive: the rate of false calls, and its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imganalysis.classify.calls import NEGATIVE_CODE, POSITIVE_CODE, call
from imganalysis.classify.gate_parts import FalsePositives

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

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
