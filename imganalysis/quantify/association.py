"""Whether a state goes with the loss of a marker, within fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Association:
    """An association pooled over fields; NaN where it cannot be had.

    Parameters
    ----------
    value, lo, hi
        Odds ratio or rank correlation, and its interval by resampling fields.
    n_fields, n_cells
        Fields that tell something, and their cells.
    reason
        Fixed word for why ``value`` or the interval is NaN: ``no_contrast`` (no field holds
        both), ``one_field``, ``no_interval`` (too few of the resampled sets of fields tell
        anything); else empty.
    """

    value: float = float("nan")
    lo: float = float("nan")
    hi: float = float("nan")
    n_fields: int = 0
    n_cells: int = 0
    reason: str = ""


def mantel_haenszel(tables: ArrayLike) -> float:
    """Odds ratio of loss, common to all fields.

    Parameters
    ----------
    tables
        (fields, 2, 2) counts [[a, b], [c, d]]: rows with and without the state, columns with
        the marker kept and lost.

    Returns
    -------
    float
        odds(lost | state) / odds(lost | no state) = sum(b c / n) / sum(a d / n): above 1 where
        cells in the state have lost the marker more often. Infinite where only the lower sum
        is 0, NaN where both are.

    Notes
    -----
    Mantel & Haenszel, J Natl Cancer Inst 1959;22:719.
    """
    counts = np.asarray(tables, np.float64)
    if counts.ndim != 3 or counts.shape[1:] != (2, 2):
        raise ValueError(f"expected tables of axes (fields, 2, 2), got shape {counts.shape}")
    if np.any(counts < 0):
        raise ValueError("counts cannot be negative")
    above, below = _sums(counts)
    return float(_ratio(above.sum(), below.sum()))


def _sums(counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = np.maximum(counts.sum(axis=(1, 2)), 1.0)  # a field without cells adds 0
    above = counts[:, 0, 1] * counts[:, 1, 0] / n
    below = counts[:, 0, 0] * counts[:, 1, 1] / n
    return above, below


def _ratio(above: Any, below: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(above, below)


def loss_odds_ratio(
    state: ArrayLike,
    kept: ArrayLike,
    field: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Association:
    """Odds ratio of the loss of a marker in cells of a state, stratified by field.

    Every cell that could have either counts, those without state and marker too: what a rule
    puts into a class because of its state must not decide who enters.

    Parameters
    ----------
    state
        (N,) bool, e.g. positive for a death marker.
    kept
        (N,) bool, positive for the marker that may be lost.
    field
        (N,) name of each cell's field.
    confidence
        Of the interval.
    resamples, seed
        Of the bootstrap; the same input gives the same interval.

    Returns
    -------
    Association
        As `mantel_haenszel`; percentile interval over sets of fields drawn with replacement.

    Notes
    -----
    Fields, not cells, are drawn: cells of one field are alike (Davison & Hinkley, Bootstrap
    Methods and their Application, 1997, 3.8). With few fields the interval is too narrow.
    """
    has, marker, names = (np.asarray(v) for v in (state, kept, field))
    if not has.shape == marker.shape == names.shape or has.ndim != 1:
        raise ValueError("state, kept and field are one value per cell each, of equal length")
    has, marker = has.astype(bool), marker.astype(bool)
    _, which = np.unique(names.astype(str), return_inverse=True)
    m = int(which.max()) + 1 if which.size else 0
    cell = 2 * (~has).astype(np.intp) + (~marker).astype(np.intp)
    counts = np.bincount(4 * which + cell, minlength=4 * m).reshape(m, 2, 2).astype(np.float64)
    above, below = _sums(counts)
    tells = (above > 0) | (below > 0)
    above, below = above[tells], below[tells]
    value = float(_ratio(above.sum(), below.sum()))
    n_cells = int(counts[tells].sum())
    if not above.size:
        return Association(reason="no_contrast")
    lo, hi, reason = _interval(
        lambda draw: _ratio(above[draw].sum(axis=1), below[draw].sum(axis=1)),
        above.size,
        confidence,
        resamples,
        seed,
    )
    return Association(value, lo, hi, above.size, n_cells, reason)


def rank_correlation(
    x: ArrayLike,
    y: ArrayLike,
    field: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Association:
    """Spearman's rank correlation within fields, pooled.

    Parameters
    ----------
    x, y
        (N,) values of two markers; cells without a finite value of both play no part.
    field
        (N,) name of each cell's field.
    confidence, resamples, seed
        As in `loss_odds_ratio`.

    Returns
    -------
    Association
        Fields are pooled on Fisher's z with weights n - 3; fields of fewer than 4 cells, or in
        which a value does not vary, say nothing.
    """
    one, other, names = np.asarray(x, float), np.asarray(y, float), np.asarray(field).astype(str)
    if not one.shape == other.shape == names.shape or one.ndim != 1:
        raise ValueError("x, y and field are one value per cell each, of equal length")
    finite = np.isfinite(one) & np.isfinite(other)
    z, weight = [], []
    for name in np.unique(names[finite]):
        mine = finite & (names == name)
        a, b = one[mine], other[mine]
        if a.size < 4 or np.ptp(a) == 0 or np.ptp(b) == 0:
            continue
        rho = float(stats.spearmanr(a, b).statistic)
        z.append(np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12)))
        weight.append(a.size - 3.0)
    if not z:
        return Association(reason="no_contrast")
    zs, ws = np.array(z), np.array(weight)
    lo, hi, reason = _interval(
        lambda draw: np.tanh((zs * ws)[draw].sum(axis=1) / ws[draw].sum(axis=1)),
        zs.size,
        confidence,
        resamples,
        seed,
    )
    value = float(np.tanh((zs * ws).sum() / ws.sum()))
    return Association(value, lo, hi, zs.size, int(ws.sum() + 3 * zs.size), reason)


def _interval(
    statistic: Any, m: int, confidence: float, resamples: int, seed: int
) -> tuple[float, float, str]:
    """Percentiles of a statistic over sets of m fields drawn with replacement."""
    if m < 2:
        return float("nan"), float("nan"), "one_field"
    draws = np.random.default_rng(seed).integers(0, m, (resamples, m))
    values = np.sort(np.asarray(statistic(draws), np.float64))  # NaN last
    values = values[~np.isnan(values)]
    if values.size < 0.9 * resamples:
        return float("nan"), float("nan"), "no_interval"
    # Taken from the values, not between them: one may be infinite.
    tail = (1 - confidence) / 2
    low = values[int(np.floor(tail * (values.size - 1)))]
    high = values[int(np.ceil((1 - tail) * (values.size - 1)))]
    return float(low), float(high), ""
