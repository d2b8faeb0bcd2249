"""Fractions and densities of cells that come in fields, with intervals that know it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Estimate:
    """A value with its interval and how that was had; NaN where it cannot be had.

    Parameters
    ----------
    value, lo, hi
        The estimate and its interval, knowing that fields are clusters.
    naive_lo, naive_hi
        The interval that takes every cell for independent.
    deff
        Design effect: variance between fields over binomial (Poisson) variance, at least 1.
    icc
        Correlation of cells in one field; fractions only.
    method
        Fixed word for how the interval was had.
    """

    value: float = float("nan")
    lo: float = float("nan")
    hi: float = float("nan")
    naive_lo: float = float("nan")
    naive_hi: float = float("nan")
    deff: float = float("nan")
    icc: float = float("nan")
    method: str = ""


@cache
def two_sided(confidence: float, df: int | None = None) -> float:
    """How many standard errors an interval reaches to either side.

    Parameters
    ----------
    confidence
        Of the interval.
    df
        Degrees of freedom of Student's t; the normal distribution if not given.
    """
    upper = 0.5 + confidence / 2
    return float(special.ndtri(upper) if df is None else special.stdtrit(df, upper))


def wilson(
    x: float, n: float, *, confidence: float = 0.95, z: float | None = None
) -> tuple[float, float]:
    """Wilson score interval of a proportion.

    Parameters
    ----------
    x, n
        Successes and trials; need not be whole numbers.
    confidence
        Of the interval, used where `z` is not given.
    z
        Quantile to use instead of the normal one.

    Returns
    -------
    lo, hi
        NaN for n = 0.

    Notes
    -----
    Wilson, J Am Stat Assoc 1927;22:209.
    """
    if n <= 0:
        return float("nan"), float("nan")
    if z is None:
        z = two_sided(confidence)
    p = x / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    # At p = 0 and 1 a bound equals p, but for rounding.
    return (0.0 if x <= 0 else max(0.0, centre - half), 1.0 if x >= n else min(1.0, centre + half))


def _clusters(x: ArrayLike, n: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    successes, trials = np.asarray(x, dtype=float), np.asarray(n, dtype=float)
    if successes.shape != trials.shape or successes.ndim != 1:
        raise ValueError("x and n are one number per field each, of equal length")
    if np.any(successes < 0) or np.any(trials < 0):
        raise ValueError("counts cannot be negative")
    keep = trials > 0
    return successes[keep], trials[keep]


def cluster_proportion(
    x: ArrayLike, n: ArrayLike, *, confidence: float = 0.95, deff_default: float = 5.0
) -> Estimate:
    """Proportion of cells counted in several fields, by a design-effect Wilson interval.

    Parameters
    ----------
    x, n
        (fields,) cells that have the property, and all cells, of each field; fields without
        cells say nothing.
    confidence
        Of the intervals.
    deff_default
        Design effect where the fields cannot tell it: one field, or a proportion of 0 or 1.

    Returns
    -------
    Estimate
        All NaN and ``method`` empty where no field has a cell.

    Notes
    -----
    Ratio estimator p = sum x / sum n with linearised variance between fields
    v = m / (m - 1) * sum (x_i - p n_i)^2 / N^2 (Kish, Survey Sampling, 1965); Wilson interval
    at N / DEFF cells with the t quantile of m - 1 degrees of freedom.
    """
    xs, ns = _clusters(x, n)
    if np.any(xs > ns):
        raise ValueError("more cells with the property than cells")
    m, total = len(ns), float(ns.sum())
    if m == 0:
        return Estimate()
    p = float(xs.sum() / total)
    naive_lo, naive_hi = wilson(xs.sum(), total, confidence=confidence)
    if m == 1 or p in (0.0, 1.0):
        effective = total / deff_default
        lo, hi = wilson(p * effective, effective, confidence=confidence)
        method = "wilson_deff_default"
        return Estimate(p, lo, hi, naive_lo, naive_hi, deff_default, float("nan"), method)
    variance = m / (m - 1) * float(np.sum((xs - p * ns) ** 2)) / total**2
    deff = max(1.0, variance / (p * (1 - p) / total))
    t = two_sided(confidence, m - 1)
    lo, hi = wilson(p * total / deff, total / deff, z=t)
    return Estimate(p, lo, hi, naive_lo, naive_hi, deff, anova_icc(xs, ns), "wilson_deff_t")


def anova_icc(x: ArrayLike, n: ArrayLike) -> float:
    """Correlation of cells in one field by one-way analysis of variance of a binary property.

    Parameters
    ----------
    x, n
        As in `cluster_proportion`.

    Returns
    -------
    float
        NaN for fewer than two fields with cells, or one cell per field.

    Notes
    -----
    Ridout, Demetrio & Firth, Biometrics 1999;55:137, estimator AOV.
    """
    xs, ns = _clusters(x, n)
    m, total = len(ns), float(ns.sum())
    if m < 2 or total <= m:
        return float("nan")
    p = xs / ns
    between = float(np.sum(ns * (p - xs.sum() / total) ** 2)) / (m - 1)
    within = float(np.sum(ns * p * (1 - p))) / (total - m)
    n0 = (total - float(np.sum(ns**2)) / total) / (m - 1)
    denominator = between + (n0 - 1) * within
    return (between - within) / denominator if denominator > 0 else float("nan")


def cluster_density(
    counts: ArrayLike, areas: ArrayLike, *, confidence: float = 0.95, deff_default: float = 5.0
) -> Estimate:
    """Cells per area, counted in several fields, by a design-effect Poisson interval.

    Parameters
    ----------
    counts
        (fields,) cells of each field.
    areas
        (fields,) area in which they were counted; the result's unit is 1 over it.
    confidence
        Of the intervals.
    deff_default
        Design effect where the fields cannot tell it: one field, or no cell at all.

    Returns
    -------
    Estimate
        All NaN where no field has an area.

    Notes
    -----
    Ratio estimator over fields; score interval of a Poisson count at count / DEFF with the t
    quantile of m - 1 degrees of freedom. The naive interval is exact (Garwood, Biometrika
    1936;28:437).
    """
    xs, areas_ = _clusters(counts, areas)
    m, area = len(areas_), float(areas_.sum())
    if m == 0:
        return Estimate()
    n = float(xs.sum())
    density = n / area
    naive_lo, naive_hi = _garwood(n, 1 - confidence)
    z = two_sided(confidence)
    if m == 1 or n == 0:
        deff, method = deff_default, "poisson_deff_default"
    else:
        variance = m / (m - 1) * float(np.sum((xs - density * areas_) ** 2)) / area**2
        deff, method = max(1.0, variance / (density / area)), "poisson_deff_t"
        z = two_sided(confidence, m - 1)
    lo, hi = _poisson_score(n / deff, z)
    return Estimate(
        density,
        lo * deff / area,
        hi * deff / area,
        naive_lo / area,
        naive_hi / area,
        deff,
        float("nan"),
        method,
    )


def _garwood(n: float, alpha: float) -> tuple[float, float]:
    lo = float(special.gammaincinv(n, alpha / 2)) if n > 0 else 0.0
    return lo, float(special.gammaincinv(n + 1, 1 - alpha / 2))


def _poisson_score(n: float, z: float) -> tuple[float, float]:
    """Means under which n is z standard deviations off; finite for any z."""
    centre, half = n + z * z / 2, z * float(np.sqrt(n + z * z / 4))
    return (0.0 if n == 0 else max(0.0, centre - half)), centre + half
