"""Distances that end at a border: Kaplan-Meier estimates, and labels exchanged at random."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from scipy.spatial import cKDTree

from imganalysis.quantify.statistics import two_sided, wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NAN = float("nan")


@dataclass(frozen=True)
class Value:
    """A number with its interval; NaN where it cannot be had."""

    value: float = NAN
    lo: float = NAN
    hi: float = NAN


@dataclass(frozen=True)
class Distances:
    """Distances of cells, of which some end at a border.

    Parameters
    ----------
    length
        (N,) um: to the nearest of what is looked for, or to the border where that is nearer.
    seen
        (N,) bool: which are no border's.
    cluster
        (N,) number of the field that each cell is of.
    """

    length: NDArray[np.float64]
    seen: NDArray[np.bool_]
    cluster: NDArray[np.intp]

    @classmethod
    def of(
        cls,
        distance: NDArray[np.float64],
        border: NDArray[np.float64],
        cluster: NDArray[np.intp],
    ) -> Distances:
        """Cut distances at the border."""
        return cls(np.minimum(distance, border), distance <= border, cluster)


def nearest_distance(
    points: NDArray[np.float64], targets: NDArray[np.float64], same: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Distance of each point to the nearest target that is not itself.

    Parameters
    ----------
    points, targets
        (N, 2) and (M, 2), um.
    same
        (N,) bool: which points are among the targets.

    Returns
    -------
    array
        (N,) um, inf without a target.
    """
    out = np.full(len(points), np.inf)
    if len(points) and len(targets):
        both = cKDTree(targets).query(points, k=2)[0]
        out = np.where(same, both[:, 1], both[:, 0])
    return out


def survival(
    distances: Distances, at_um: float, *, confidence: float, deff_default: float
) -> tuple[Value, Value]:
    """Median of distances, and the share of them within a distance, with intervals.

    Parameters
    ----------
    distances
        Of all fields.
    at_um
        The distance of the share.
    confidence
        Of the intervals.
    deff_default
        Design effect where one field alone cannot tell it.

    Returns
    -------
    median, share
        NaN where the borders leave it open.

    Notes
    -----
    Kaplan-Meier estimate with the distance to the border as censoring time (Baddeley & Gill,
    Ann Stat 1997;25:263). Its variance is that between fields, by the influence of each field
    on log S (Williams, Biometrics 1995;51:1602), and at least Greenwood's; intervals of the
    share on the log(-log) scale with the t quantile of fields - 1, of the median where that
    interval of S holds one half (Brookmeyer & Crowley, Biometrics 1982;38:29).
    """
    if not distances.seen.any():
        # Where cells go on beyond the distance without one neighbour, the share is 0.
        far = int((distances.length >= at_um).sum())
        lo, hi = wilson(0, far / deff_default, confidence=confidence)
        return Value(), Value(0.0, lo, hi) if far else Value()
    data = stats.CensoredData(
        uncensored=distances.length[distances.seen], right=distances.length[~distances.seen]
    )
    curve = stats.ecdf(data).sf
    times, left = curve.quantiles, curve.probabilities
    spread, z = _spread(distances, times, confidence, deff_default)
    low, high = _band(left, spread, z)
    median = Value(_first(times, left), _first(times, low), _first(times, high))
    if at_um > times[-1] and left[-1] > 0:
        return median, Value()
    last = int(np.searchsorted(times, at_um, side="right")) - 1
    s = float(left[last]) if last >= 0 else 1.0
    if 0 < s < 1:
        return median, Value(1 - s, 1 - float(high[last]), 1 - float(low[last]))
    n = float((distances.seen | (distances.length >= at_um)).sum()) / deff_default
    lo, hi = wilson((1 - s) * n, n, confidence=confidence)
    return median, Value(1 - s, lo, hi)


def _first(times: NDArray[np.float64], left: NDArray[np.float64]) -> float:
    """Distance at which at most half are left."""
    at = np.flatnonzero(left <= 0.5)
    return float(times[at[0]]) if at.size else NAN


def _spread(
    distances: Distances, times: NDArray[np.float64], confidence: float, deff_default: float
) -> tuple[NDArray[np.float64], float]:
    """Estimate the standard error of log S at each time, and the quantile that goes with it."""
    number = np.unique(distances.cluster, return_inverse=True)[1]
    m = int(number.max()) + 1
    events, risk = np.zeros((m, len(times))), np.zeros((m, len(times)))
    for i in range(m):
        mine = number == i
        ends = np.sort(distances.length[mine])
        risk[i] = len(ends) - np.searchsorted(ends, times, side="left")
        died = np.searchsorted(times, distances.length[mine & distances.seen])
        events[i] = np.bincount(died, minlength=len(times))
    d, y = events.sum(axis=0), risk.sum(axis=0)
    rest = np.maximum(y - d, 1e-9)
    greenwood = np.cumsum(d / (y * rest))
    if m == 1:
        return np.sqrt(deff_default * greenwood), two_sided(confidence)
    # (y - d) in place of y, as in Greenwood's formula, is what makes small samples come out.
    influence = np.cumsum((events - risk * d / y) / np.sqrt(y * rest), axis=1)
    between = m / (m - 1) * (influence**2).sum(axis=0)
    return np.sqrt(np.maximum(between, greenwood)), two_sided(confidence, m - 1)


def _band(
    left: NDArray[np.float64], spread: NDArray[np.float64], z: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Interval of S on the log(-log) scale; S itself where it is 0 or 1."""
    low, high = left.copy(), left.copy()
    open_ = (left > 0) & (left < 1)
    log_s = np.log(left[open_])
    width = np.exp(np.minimum(z * spread[open_] / np.abs(log_s), 50.0))
    low[open_], high[open_] = np.exp(log_s * width), np.exp(log_s / width)
    return low, high


def seed_of(*arrays: NDArray[np.generic]) -> int:
    """Seed from the data, so that the same data give the same permutations."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(np.round(array.astype(np.float64), 6)).tobytes())
    return int.from_bytes(digest.digest()[:8], "little")


def compare(distances: Distances, chosen: NDArray[np.bool_], permutations: int) -> float:
    """Ask whether chosen cells lie nearer, or farther, than the others of their field.

    Parameters
    ----------
    distances
        Of the chosen and the others.
    chosen
        (N,) bool.
    permutations
        Number of times that labels are exchanged within each field.

    Returns
    -------
    float
        Two-sided p; NaN where no field has both.

    Notes
    -----
    The sum of the chosen ones' log-rank scores (Peto & Peto, J R Stat Soc A 1972;135:185), each
    field by itself; exact whatever the censoring.
    """
    rng = np.random.default_rng(seed_of(distances.length, distances.seen, chosen))
    observed, null = 0.0, np.zeros(permutations)
    any_field = False
    for name in np.unique(distances.cluster):
        mine = np.flatnonzero(distances.cluster == name)
        picked = chosen[mine]
        n = int(picked.sum())
        if n in (0, len(mine)):
            continue
        any_field = True
        scores = _scores(distances.length[mine], distances.seen[mine])
        observed += float(scores[picked].sum())
        for i in range(permutations):
            null[i] += scores[rng.choice(len(mine), n, replace=False, shuffle=False)].sum()
    if not any_field:
        return NAN
    # Scores sum to 0 in each field, so 0 is what is expected. Sums differ in their last digits.
    extreme = int((np.abs(null) >= abs(observed) * (1 - 1e-9) - 1e-9).sum())
    return (1 + extreme) / (1 + permutations)


def _scores(length: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Log-rank scores: whether seen, less the hazard up to there."""
    times = np.unique(length[seen])
    if not times.size:
        return np.zeros(len(length))
    ends = np.sort(length)
    risk = len(ends) - np.searchsorted(ends, times, side="left")
    events = np.bincount(np.searchsorted(times, length[seen]), minlength=len(times))
    hazard = np.concatenate([[0.0], np.cumsum(events / risk)])
    return np.asarray(seen - hazard[np.searchsorted(times, length, side="right")])


def together(parts: Sequence[Distances]) -> Distances:
    """Distances of several fields in one, each field a cluster of its own."""
    return Distances(
        np.concatenate([p.length for p in parts]) if parts else np.zeros(0),
        np.concatenate([p.seen for p in parts]) if parts else np.zeros(0, dtype=bool),
        np.concatenate([p.cluster for p in parts]) if parts else np.zeros(0, dtype=np.intp),
    )
