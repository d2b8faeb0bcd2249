"""What a marker's false calls make of a fraction, and the fraction without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from imganalysis.panel import FractionOf, Panel

    Floats = NDArray[np.float64]

PATTERNS = 16
"""What a cell counts for if the marker is positive, and if it is negative: four bits."""

WIDTH = 2 * PATTERNS + 2
"""Per field: cells of each pattern called negative, and positive; false positive rate and
sensitivity."""

UNKNOWN_SENSITIVITY, UNKNOWN_BLANK_RATE, NO_BETTER = (
    "sensitivity_unknown", "blank_unknown", "sensitivity_too_low",
)  # fmt: skip


def rogan_gladen(observed: float, false_positive: float, sensitivity: float) -> float:
    """Correct an observed share for false calls.

    Parameters
    ----------
    observed
        Share called positive.
    false_positive
        Share of true negatives that is called positive.
    sensitivity
        Share of true positives that is called positive.

    Returns
    -------
    float
        (observed - false_positive) / (sensitivity - false_positive), within 0 and 1; NaN where
        the sensitivity is no higher than the false positive rate.

    Notes
    -----
    Rogan & Gladen, Am J Epidemiol 1978;107:71.
    """
    if not sensitivity > false_positive:
        return float("nan")
    return float(np.clip((observed - false_positive) / (sensitivity - false_positive), 0.0, 1.0))


def deciding_marker(panel: Panel, fraction: FractionOf) -> str | None:
    """Find the one marker whose positive call puts a cell of the denominator into the numerator.

    Returns
    -------
    str or None
        The marker that every row of the numerator asks to be positive, and not every row of the
        denominator; None where there is none, or several.
    """
    above = [row.when for row in panel.phenotypes if row.name in fraction.numerator]
    below = [row.when for row in panel.phenotypes if row.name in fraction.denominator]
    found = [
        channel.marker
        for channel in panel.gated
        if above
        and all(when.get(channel.marker) == "pos" for when in above)
        and not all(when.get(channel.marker) == "pos" for when in below)
    ]
    return found[0] if len(found) == 1 else None


def pattern(above: NDArray[np.bool_], below: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Give each cell the number of its pattern.

    Parameters
    ----------
    above, below
        (N, 2) bool: whether a cell is in the numerator, and in the denominator, if the marker is
        negative, and if it is positive.
    """
    bits = (above[:, 0], below[:, 0], above[:, 1], below[:, 1])
    return np.asarray(sum(np.uint8(1 << i) * bit for i, bit in enumerate(bits)), dtype=np.intp)


_BITS = (np.arange(PATTERNS)[:, np.newaxis] >> np.arange(4)) & 1
ABOVE = _BITS[:, [0, 2]]
BELOW = _BITS[:, [1, 3]]
"""(patterns, 2) what a cell counts for, the marker negative or positive."""


@dataclass(frozen=True)
class Corrected:
    """A fraction freed of one marker's false calls, with its interval; NaN with a reason."""

    value: float = float("nan")
    lo: float = float("nan")
    hi: float = float("nan")
    reason: str = ""


def correct_fraction(per_field: Floats, lo: float, hi: float) -> Corrected:
    """Correct a fraction for the false calls of the marker that decides on it.

    Parameters
    ----------
    per_field
        (fields, WIDTH) cells of each pattern called negative, then positive, with the marker's
        false positive rate and sensitivity there; NaN where one is not known.
    lo, hi
        Interval of the fraction as observed.

    Notes
    -----
    Rogan and Gladen's correction is made among the cells that are alike in all but the marker:
    true positives are (positive - fpr * n) / (se - fpr) of them, at least 0 and at most n. Where
    every cell of the denominator is of one kind it is their formula. The ends of the interval
    are those that would have been observed with fewer, or more, positive cells.
    """
    counts = per_field[:, : 2 * PATTERNS].reshape(-1, 2, PATTERNS)
    matters = (ABOVE[:, 0] != ABOVE[:, 1]) | (BELOW[:, 0] != BELOW[:, 1])
    cells = counts[:, :, matters].sum(axis=(1, 2))
    weight = (
        cells / cells.sum() if cells.sum() > 0 else np.full(len(cells), 1.0 / max(1, len(cells)))
    )
    used = weight > 0
    rate, sensitivity = (float(weight[used] @ per_field[used, -k]) for k in (2, 1))
    if np.isnan(sensitivity):
        return Corrected(reason=UNKNOWN_SENSITIVITY)
    if np.isnan(rate):
        return Corrected(reason=UNKNOWN_BLANK_RATE)
    if sensitivity <= rate:
        return Corrected(reason=NO_BETTER)
    negative, positive = counts.sum(axis=0)
    n = negative + positive
    counts_up = (ABOVE[:, 1] > ABOVE[:, 0]) & (n > 0)

    def shifted(s: float) -> Floats:
        """Positive cells if a share s of all more were positive, or of the positive fewer."""
        by = (n - positive) * s if s > 0 else positive * s
        return np.where(counts_up, positive + by, positive)

    def fraction(true: Floats) -> float:
        above = (n - true) @ ABOVE[:, 0] + true @ ABOVE[:, 1]
        below = (n - true) @ BELOW[:, 0] + true @ BELOW[:, 1]
        return float(above / below) if below > 0 else float("nan")

    def corrected(s: float) -> float:
        share = np.divide(shifted(s), n, out=np.zeros(PATTERNS), where=n > 0)
        true = [rogan_gladen(p, rate, sensitivity) for p in share]
        return fraction(np.where(n > 0, true, 0.0) * n)

    low, high = (corrected(_reach(lambda s: fraction(shifted(s)), end)) for end in (lo, hi))
    value = corrected(0.0)
    return Corrected(value, low, high) if np.isfinite(value) else Corrected()


def _reach(fraction: Callable[[float], float], goal: float) -> float:
    """Shift, from -1 to 1, at which a fraction that rises with it reaches a goal."""
    from scipy.optimize import brentq

    if not np.isfinite(goal) or not np.isfinite(fraction(0.0)):
        return float("nan")
    low, high = (fraction(s) if np.isfinite(fraction(s)) else 0.0 for s in (-1.0, 1.0))
    if goal <= low:
        return -1.0
    if goal >= high:
        return 1.0
    return float(brentq(lambda s: _or_zero(fraction(s)) - goal, -1.0, 1.0, xtol=1e-12))


def _or_zero(value: float) -> float:
    return value if np.isfinite(value) else 0.0
