"""The second rung of the ladder: cells of the sample itself that cannot be positive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.classify.gate_parts import Verdict
from imganalysis.classify.rung_control import quantiles
from imganalysis.words import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.settings_gating import Ladder

    Numbers = NDArray[np.float64]

MAD_TO_SD = 1.4826
"""Median absolute deviation to standard deviation, of a normal distribution."""

DRAWS, DRAWN, SEED = 200, 2000, 20030
"""Of the bootstrap: repeats, most values drawn from, seed."""


def reference_rung(values: Numbers, ladder: Ladder) -> tuple[Verdict, dict[str, Any]]:
    """Set a gate above the cells of a sample that cannot be positive.

    Parameters
    ----------
    values
        (N,) statistic of the reference cells; what is not finite is left out.
    ladder
        Fewest cells, and how many MADs above the median.

    Returns
    -------
    Verdict
        The median + 3 x 1.4826 x MAD, or why there is none.
    dict
        What else a gate of this rung carries.
    """
    values = np.sort(values[np.isfinite(values)])
    found: dict[str, Any] = {"rung": "reference", "n": int(values.size)}
    if values.size < ladder.min_reference_cells:
        note = (
            f"{plural(values.size, 'reference cell')}, at least {ladder.min_reference_cells} are "
            "needed"
        )
        return Verdict(**found, reason="reference_too_few_cells", note=note), {}
    value = robust_limit(values, ladder.reference_mads)
    if value <= 0:
        return Verdict(**found, reason="reference_no_signal", note=f"the limit is {value:.3g}"), {}
    se = robust_limit_se(values, ladder.reference_mads)
    return Verdict(**found, value=value, se=se), {"quantiles": quantiles(values)}


def robust_limit(values: Numbers, mads: float) -> float:
    """Median + `mads` x 1.4826 x median absolute deviation from it."""
    middle = float(np.median(values))
    return middle + mads * MAD_TO_SD * float(np.median(np.abs(values - middle)))


def robust_limit_se(values: Numbers, mads: float) -> float:
    """Estimate the standard error of `robust_limit` by the bootstrap.

    Parameters
    ----------
    values
        (N,) sorted.
    mads
        As for the limit.

    Returns
    -------
    float
        SD over 200 draws with a fixed seed. Of more than 2000 values as many evenly spaced
        quantiles are drawn from, and the result is scaled by the root of the numbers. Cells count
        as independent.
    """
    n = values.size
    if n > DRAWN:
        values = np.quantile(values, (np.arange(DRAWN) + 0.5) / DRAWN)
    rng = np.random.default_rng(SEED)
    drawn = values[rng.integers(0, values.size, (DRAWS, values.size))]
    middle = np.median(drawn, axis=1, keepdims=True)
    limits = middle[:, 0] + mads * MAD_TO_SD * np.median(np.abs(drawn - middle), axis=1)
    return float(limits.std(ddof=1) * np.sqrt(values.size / n))
