"""Exact rank tests of few patients, ties and all, and the intervals that go with them.

The null distribution is counted by the shift algorithm (Streitberg & Roehmel, Stat Software
Newsl 1986;12:10): every way to give signs, or groups, to the ranks that were seen is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def signed_rank_p(differences: ArrayLike) -> float:
    """Two-sided p of Wilcoxon's signed-rank test.

    Parameters
    ----------
    differences
        (patients,) differences of 0 say nothing and are left out.

    Returns
    -------
    float
        1 where none is left.
    """
    d = np.asarray(differences, np.float64)
    d = d[d != 0]
    if not d.size:
        return 1.0
    ranks = _whole_ranks(np.abs(d))
    ways = _sums_of_any(ranks)
    return _two_sided(ways, int(ranks[d > 0].sum()))


def rank_sum_p(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p of Mann and Whitney's test.

    Parameters
    ----------
    a, b
        (patients,) values of two groups.
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    ranks = _whole_ranks(np.concatenate([x, y]))
    ways = _sums_of_some(ranks, x.size)
    return _two_sided(ways, int(ranks[: x.size].sum()))


def shift_one(differences: ArrayLike, confidence: float) -> tuple[float, float, float]:
    """Hodges and Lehmann's estimate of a shift from 0, and its exact interval.

    Returns
    -------
    value, lo, hi
        NaN for the ends where there are too few patients for the confidence.

    Notes
    -----
    Median of the Walsh averages; its interval leaves out as many of them on either side as the
    signed-rank test allows (Hollander & Wolfe, Nonparametric Statistical Methods, 1999, 3.3).
    """
    d = np.asarray(differences, np.float64)
    i, j = np.triu_indices(d.size)
    walsh = np.sort((d[i] + d[j]) / 2)
    ways = _sums_of_any(np.arange(1, d.size + 1))
    return _middle(walsh, ways, confidence)


def shift_two(a: ArrayLike, b: ArrayLike, confidence: float) -> tuple[float, float, float]:
    """Hodges and Lehmann's estimate of the shift of `a` against `b`, and its exact interval.

    Returns
    -------
    value, lo, hi
        As `shift_one`.
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    apart = np.sort((x[:, None] - y[None, :]).ravel())
    least = x.size * (x.size + 1) // 2
    ways = _sums_of_some(np.arange(1, x.size + y.size + 1), x.size)[least:]
    return _middle(apart, ways[: apart.size + 1], confidence)


def _middle(
    values: NDArray[np.float64], ways: NDArray[np.float64], confidence: float
) -> tuple[float, float, float]:
    below = np.cumsum(ways) / ways.sum()
    # How many values may be left out on each side.
    k = int(np.searchsorted(below, (1 - confidence) / 2, side="right"))
    if k == 0:
        return float(np.median(values)), float("nan"), float("nan")
    return float(np.median(values)), float(values[k - 1]), float(values[-k])


def _whole_ranks(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Twice the mean ranks, so that they are whole numbers with ties too."""
    ranks: NDArray[np.int64] = np.rint(2 * stats.rankdata(values)).astype(np.int64)
    return ranks


def _sums_of_any(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """In how many ways each sum of any of the ranks comes about."""
    ways = np.zeros(int(ranks.sum()) + 1)
    ways[0] = 1
    for rank in ranks:
        ways[rank:] += ways[:-rank].copy()
    return ways


def _sums_of_some(ranks: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """In how many ways each sum of k of the ranks comes about."""
    ways = np.zeros((k + 1, int(ranks.sum()) + 1))
    ways[0, 0] = 1
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, :-rank].copy()
    last: NDArray[np.float64] = ways[k]
    return last


def _two_sided(ways: NDArray[np.float64], seen: int) -> float:
    total = ways.sum()
    tail = min(ways[: seen + 1].sum(), ways[seen:].sum()) / total
    return float(min(1.0, 2 * tail))
