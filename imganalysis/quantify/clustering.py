"""Whether cells of one class lie in clusters among their like: Ripley's K under random labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from scipy import fft, stats
from scipy.spatial import cKDTree

from imganalysis.quantify.nearest import NAN, seed_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

STEP_UM = 2.0
"""Between the radii at which K is looked at."""


@dataclass(frozen=True)
class Pattern:
    """Cells of one field: where they are, which are of the class, where they were looked for.

    Parameters
    ----------
    points
        (N, 2) y and x in um, the class and those whose labels are exchanged with it.
    chosen
        (N,) bool, of the class.
    window
        (Y, X) bool, where cells were looked for.
    step_um
        (Y, X) sides of a square of the window.
    side_um
        Shorter side of the frame around the window.
    """

    points: NDArray[np.float64]
    chosen: NDArray[np.bool_]
    window: NDArray[np.bool_]
    step_um: tuple[float, float]
    side_um: float


@dataclass(frozen=True)
class Clustering:
    """L of a class at each radius, and what random labels give.

    Parameters
    ----------
    radii
        (R,) um.
    observed, expected
        (R,) L in um, of the class and on average of random labels.
    low, high
        (R,) global envelope of random labels.
    p
        Two-sided, of the whole curve.
    n
        Cells of the class in fields with at least two of them.
    """

    radii: NDArray[np.float64]
    observed: NDArray[np.float64]
    expected: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    p: float
    n: int

    def excess(self, radius_um: float) -> tuple[float, float, float]:
        """L less what is expected, and the envelope likewise, at the radius next to one."""
        i = int(np.abs(self.radii - radius_um).argmin())
        middle = self.expected[i]
        found, low, high = (float(v[i] - middle) for v in (self.observed, self.low, self.high))
        return found, low, high


def set_covariance(
    window: NDArray[np.bool_], step_um: tuple[float, float], reach_um: float
) -> NDArray[np.float64]:
    """Area that a window has in common with itself, shifted.

    Parameters
    ----------
    window
        (Y, X) bool.
    step_um
        (Y, X) sides of a square.
    reach_um
        Farthest shift that is needed, um.

    Returns
    -------
    array
        (2 a + 1, 2 b + 1) um2, shifts of -a..a and -b..b squares; no shift in the middle.
    """
    reach = [int(np.ceil(reach_um / step)) + 1 for step in step_um]
    size = [fft.next_fast_len(n + r, real=True) for n, r in zip(window.shape, reach, strict=True)]
    spectrum = fft.rfft2(window.astype(np.float64), size)
    both = fft.irfft2(np.abs(spectrum) ** 2, size)
    rows, columns = (np.arange(-r, r + 1) for r in reach)
    # Numbers of squares: whole, so that rounding leaves nothing of the transform's errors.
    return np.asarray(np.rint(both[np.ix_(rows, columns)])) * (step_um[0] * step_um[1])


def overlap(
    covariance: NDArray[np.float64], step_um: tuple[float, float], shifts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Look up the common area at (N, 2) shifts in um; exact for a window of squares.

    Between whole squares the common area of two sets of squares changes bilinearly.
    """
    middle = [n // 2 for n in covariance.shape]
    y, x = (shifts / step_um + middle).T
    i, j = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    dy, dx = y - i, x - j
    i1, j1 = np.minimum(i + 1, 2 * middle[0]), np.minimum(j + 1, 2 * middle[1])
    area = (
        covariance[i, j] * (1 - dy) * (1 - dx)
        + covariance[i1, j] * dy * (1 - dx)
        + covariance[i, j1] * (1 - dy) * dx
        + covariance[i1, j1] * dy * dx
    )
    # A cell at the very edge may lie beside the window's squares: one square at least.
    return np.asarray(np.maximum(area, step_um[0] * step_um[1]))


@dataclass(frozen=True)
class _Pairs:
    """Neighbours of each point within the largest radius: row starts, partner, radius, weight."""

    start: NDArray[np.int64]
    other: NDArray[np.int64]
    radius: NDArray[np.int64]
    weight: NDArray[np.float64]


def _pairs(pattern: Pattern, radii: NDArray[np.float64]) -> _Pairs:
    points = pattern.points
    found = cKDTree(points).query_pairs(float(radii[-1]), output_type="ndarray")
    found = found[np.lexsort((found[:, 1], found[:, 0]))].astype(np.int64)
    shifts = points[found[:, 1]] - points[found[:, 0]]
    covariance = set_covariance(pattern.window, pattern.step_um, float(radii[-1]))
    weight = 1.0 / overlap(covariance, pattern.step_um, shifts)
    radius = np.searchsorted(radii, np.hypot(shifts[:, 0], shifts[:, 1]), side="left")
    keep = radius < len(radii)
    start = np.searchsorted(found[keep, 0], np.arange(len(points) + 1))
    return _Pairs(start, found[keep, 1], radius[keep], weight[keep])


@njit(cache=True, nogil=True)
def _pair_sums(start, other, radius, weight, chosen, n_radii):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Sum the weights of pairs of chosen points by radius; each pair counts both ways."""
    marked = np.zeros(start.size - 1, dtype=np.bool_)
    marked[chosen] = True
    sums = np.zeros(n_radii)
    for k in range(chosen.size):
        i = chosen[k]
        for at in range(start[i], start[i + 1]):
            if marked[other[at]]:
                sums[radius[at]] += 2.0 * weight[at]
    return sums


def k_function(pattern: Pattern, radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ripley's K of the chosen cells of one field, with the translation correction.

    Parameters
    ----------
    pattern
        The field.
    radii
        (R,) um, rising.

    Returns
    -------
    array
        (R,) um2; NaN for fewer than two cells.

    Notes
    -----
    K(r) = |W|^2 / (n (n - 1)) * sum 1(d <= r) / |W n W_d| over ordered pairs, with W the window
    and W_d the window shifted by the pair's difference (Ohser, Math Operationsforsch Stat
    1983;14:63).
    """
    n = int(pattern.chosen.sum())
    if n < 2:
        return np.full(len(radii), NAN)
    pairs = _pairs(pattern, radii)
    sums = _sums(pairs, np.flatnonzero(pattern.chosen), len(radii))
    return _area(pattern) ** 2 / (n * (n - 1)) * np.cumsum(sums)


def _sums(pairs: _Pairs, chosen: NDArray[np.intp], n_radii: int) -> NDArray[np.float64]:
    return np.asarray(
        _pair_sums(pairs.start, pairs.other, pairs.radius, pairs.weight, chosen, n_radii)
    )


def _area(pattern: Pattern) -> float:
    return float(pattern.window.sum()) * pattern.step_um[0] * pattern.step_um[1]


def clustering(
    patterns: Sequence[Pattern],
    *,
    max_radius_um: float,
    permutations: int,
    min_cells: int,
    alpha: float = 0.05,
) -> Clustering | None:
    """Test whether a class lies in clusters, or apart, among those it could be.

    Parameters
    ----------
    patterns
        One per field; those with fewer than two cells of the class do not enter.
    max_radius_um
        Largest radius; a quarter of the shorter side of the smallest frame where that is less.
    permutations
        Number of times that labels are exchanged within each field.
    min_cells
        Fewer cells in all give no test.
    alpha
        Of the envelope.

    Returns
    -------
    Clustering or None
        None where there are fewer cells than `min_cells`, or no frame is wide enough.

    Notes
    -----
    K of the fields is pooled with weights n (n - 1), and L = sqrt(K / pi). Labels are exchanged
    at random within each field: where all these cells may be at all, clustered or not, is
    given. Curves are compared by extreme rank length (Myllymaki et al., J R Stat Soc B
    2017;79:381), which is exact for any number of permutations; the envelope holds those curves
    whose p is above alpha.
    """
    used = [p for p in patterns if int(p.chosen.sum()) >= 2]
    total = sum(int(p.chosen.sum()) for p in used)
    if total < min_cells:
        return None
    largest = min(max_radius_um, *(p.side_um / 4 for p in used))
    radii = np.arange(1, int(largest / STEP_UM + 1e-9) + 1) * STEP_UM
    if not radii.size:
        return None
    sums = np.zeros((permutations + 1, len(radii)))
    rng = np.random.default_rng(seed_of(*(part for p in used for part in (p.points, p.chosen))))
    for pattern in used:
        pairs = _pairs(pattern, radii)
        scale = _area(pattern) ** 2  # times n (n - 1) / n (n - 1)
        chosen = np.flatnonzero(pattern.chosen)
        size = len(pattern.points)
        sums[0] += scale * _sums(pairs, chosen, len(radii))
        for i in range(1, permutations + 1):
            drawn = rng.choice(size, len(chosen), replace=False, shuffle=False)
            # In one order, so that a sum does not depend on how the labels were drawn.
            sums[i] += scale * _sums(pairs, np.sort(drawn), len(radii))
    weights = sum(int(p.chosen.sum()) * (int(p.chosen.sum()) - 1) for p in used)
    curves = np.sqrt(np.cumsum(sums, axis=1) / weights / np.pi)
    p = rank_lengths(curves)
    inner = curves[p > alpha]
    return Clustering(
        radii,
        curves[0],
        curves[1:].mean(axis=0),
        inner.min(axis=0),
        inner.max(axis=0),
        float(p[0]),
        total,
    )


def rank_lengths(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of curves that are as extreme as each, by two-sided extreme rank length.

    Parameters
    ----------
    curves
        (S, R).

    Returns
    -------
    array
        (S,) 0 to 1. Of the first of S exchangeable curves it is at most alpha with a
        probability of at most alpha.
    """
    # Digits beyond these are errors of the sums, and would break ties.
    ranks = stats.rankdata(np.round(curves, 9), axis=0)
    ranks = np.sort(np.minimum(ranks, len(curves) + 1 - ranks), axis=1)
    order = np.lexsort(ranks.T[::-1])
    ordered = ranks[order]
    new = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])
    # All curves alike get the share up to the last of them.
    last = np.append(np.flatnonzero(new)[1:], len(curves))[np.cumsum(new) - 1]
    out = np.empty(len(curves))
    out[order] = last / len(curves)
    return out
