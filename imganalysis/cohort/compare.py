"""Tests and intervals whose unit is the patient: one value per patient goes in."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from imganalysis.cohort.exact import rank_sum_p, shift_one, shift_two, signed_rank_p
from imganalysis.quantify.statistics import two_sided

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

NAN = float("nan")
FEWEST = 6
"""Patients under which nothing is tested: of 5 the signed-rank test cannot give p below .0625."""

ENOUGH = 12
"""Patients (in each group) from which a t test or mixed model stands, below it an exact test."""

PERMUTATIONS = 9999


@dataclass(frozen=True)
class Comparison:
    """What patients say of a difference; NaN where it cannot be had.

    Parameters
    ----------
    estimate, lo, hi
        On the scale of the values.
    p
        Two-sided; one value per patient went into it.
    method
        Word of `imganalysis.tables_cohort.METHODS`.
    n_patients, n_reference
        Patients; of the reference group, where there is one.
    reason
        Word of `NO_TEST` for why there is no p, else empty.
    """

    estimate: float = NAN
    lo: float = NAN
    hi: float = NAN
    p: float = NAN
    method: str = ""
    n_patients: int = 0
    n_reference: int = 0
    reason: str = ""


def one_sample(
    values: ArrayLike, *, confidence: float = 0.95, t_method: str = "patient_means_t"
) -> Comparison:
    """Compare the patients' values, e.g. differences of two weeks, with 0.

    Parameters
    ----------
    values
        (patients,) one finite value each.
    confidence
        Of the interval.
    t_method
        Word for the t test, which is taken from `ENOUGH` patients on.

    Returns
    -------
    Comparison
        Fewer than `FEWEST` patients: mean and t interval, no p. Fewer than `ENOUGH`: exact
        Wilcoxon test and Hodges and Lehmann's estimate. Else a t test.
    """
    d = np.asarray(values, np.float64)
    n = d.size
    if n == 0:
        return Comparison(reason="no_pairs")
    mean = float(d.mean())
    if n == 1:
        return Comparison(mean, method="t_interval", n_patients=1, reason="too_few_patients")
    half = float(two_sided(confidence, n - 1) * d.std(ddof=1) / np.sqrt(n))
    if _alike(d):  # no spread is seen, which does not make it none
        half = NAN
    if n < FEWEST:
        return Comparison(
            mean, mean - half, mean + half, NAN, "t_interval", n, reason="too_few_patients"
        )
    if n < ENOUGH:
        shift = shift_one(d, confidence)
        return Comparison(*shift, signed_rank_p(d), "signed_rank_exact", n)
    if np.isnan(half):
        return Comparison(mean, method=t_method, n_patients=n, reason="no_variation")
    p = float(stats.ttest_1samp(d, 0.0).pvalue)
    return Comparison(mean, mean - half, mean + half, p, t_method, n)


def two_samples(group: ArrayLike, reference: ArrayLike, *, confidence: float = 0.95) -> Comparison:
    """Compare the patients of a group with those of a reference group.

    Parameters
    ----------
    group, reference
        (patients,) one finite value each.
    confidence
        Of the interval.

    Returns
    -------
    Comparison
        Group minus reference. Where no order of so few patients can give p below 0.05, or
        there are fewer than `FEWEST`: Welch's interval, no p. Fewer than `ENOUGH` in a group:
        exact Mann-Whitney test and Hodges and Lehmann's estimate. Else Welch's t test.
    """
    x, y = np.asarray(group, np.float64), np.asarray(reference, np.float64)
    n, m = x.size, y.size
    counts: dict[str, Any] = {"n_patients": n, "n_reference": m}
    if n == 0 or m == 0:
        return Comparison(**counts, reason="one_group")
    if n + m < FEWEST or 2 / comb(n + m, n) > 0.05:
        mean = float(x.mean() - y.mean())
        lo, hi = _welch_interval(x, y, confidence) if min(n, m) > 1 else (NAN, NAN)
        word = "too_few_patients"
        return Comparison(mean, lo, hi, NAN, "welch_interval", **counts, reason=word)
    if min(n, m) < ENOUGH:
        shift = shift_two(x, y, confidence)
        return Comparison(*shift, rank_sum_p(x, y), "rank_sum_exact", **counts)
    if _alike(x) and _alike(y):
        return Comparison(float(x[0] - y[0]), method="welch", **counts, reason="no_variation")
    lo, hi = _welch_interval(x, y, confidence)
    p = float(stats.ttest_ind(x, y, equal_var=False).pvalue)
    return Comparison(float(x.mean() - y.mean()), lo, hi, p, "welch", **counts)


def _alike(values: NDArray[np.float64]) -> bool:
    """Whether all values are equal but for rounding."""
    return bool(np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())))


def _welch_interval(
    x: NDArray[np.float64], y: NDArray[np.float64], confidence: float
) -> tuple[float, float]:
    a, b = x.var(ddof=1) / x.size, y.var(ddof=1) / y.size
    mean = float(x.mean() - y.mean())
    if _alike(x) and _alike(y):
        return NAN, NAN
    df = (a + b) ** 2 / (a**2 / (x.size - 1) + b**2 / (y.size - 1))
    half = float(stats.t.ppf(0.5 + confidence / 2, df) * np.sqrt(a + b))
    return mean - half, mean + half


def many_samples(groups: Sequence[ArrayLike], *, seed: int = 0) -> Comparison:
    """Ask whether any of several groups of patients differs.

    Parameters
    ----------
    groups
        (patients,) values of each group.
    seed
        Of the permutations; the same input gives the same p.

    Returns
    -------
    Comparison
        Kruskal and Wallis's test by permutation of patients; no estimate.
    """
    parts = [np.asarray(group, np.float64) for group in groups]
    values = np.concatenate(parts) if parts else np.zeros(0)
    sizes = [part.size for part in parts if part.size]
    if len(sizes) < 2:
        return Comparison(n_patients=values.size, reason="one_group")
    if values.size < FEWEST or sum(size > 1 for size in sizes) < 1:
        return Comparison(n_patients=values.size, reason="too_few_patients")
    if np.ptp(values) == 0:
        return Comparison(n_patients=values.size, reason="no_variation")
    label = np.repeat(np.arange(len(sizes)), sizes)
    member = (label[:, None] == np.arange(len(sizes))).astype(float) / np.sqrt(sizes)
    ranks = stats.rankdata(values)

    def between(rows: NDArray[np.float64]) -> Any:
        # Kruskal and Wallis's H but for what permutations leave as it is.
        return ((rows @ member) ** 2).sum(axis=-1)

    p = _permuted(ranks, between, seed)
    return Comparison(p=p, method="kruskal_permutation", n_patients=values.size)


def rank_trend(
    values: ArrayLike, dose: ArrayLike, *, confidence: float = 0.95, seed: int = 0
) -> Comparison:
    """Ask whether the patients' values rise or fall with a number, e.g. a dose.

    Returns
    -------
    Comparison
        Spearman's correlation; interval after Bonett & Wright (Psychometrika 2000;65:23), p by
        permutation of patients.
    """
    y, x = np.asarray(values, np.float64), np.asarray(dose, np.float64)
    n = y.size
    if n < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Comparison(n_patients=n, reason="no_variation" if n > 1 else "too_few_patients")
    a, b = stats.rankdata(y), stats.rankdata(x)
    rho = float(np.corrcoef(a, b)[0, 1])
    lo = hi = NAN
    if n > 3 and abs(rho) < 1:
        z = two_sided(confidence) * np.sqrt((1 + rho**2 / 2) / (n - 3))
        lo, hi = (float(np.tanh(np.arctanh(rho) + sign * z)) for sign in (-1, 1))
    if n < FEWEST:
        return Comparison(rho, lo, hi, NAN, "", n, reason="too_few_patients")
    centred = b - b.mean()
    p = _permuted(a, lambda rows: np.abs(rows @ centred), seed)
    return Comparison(rho, lo, hi, p, "spearman_permutation", n)


def sign_sample(values: ArrayLike, *, confidence: float = 0.95) -> Comparison:
    """Compare values with 0 of which some may be infinite: median, exact sign test.

    Returns
    -------
    Comparison
        The interval is between two values, as the sign test allows; no p below `FEWEST`
        patients.
    """
    d = np.sort(np.asarray(values, np.float64))
    n = d.size
    if n == 0:
        return Comparison(reason="no_contrast")
    middle = d[(n - 1) // 2], d[n // 2]
    median = float(middle[0]) if middle[0] == middle[1] else float(sum(middle) / 2)
    k = int(stats.binom.ppf((1 - confidence) / 2, n, 0.5))  # left out on either side
    lo, hi = (float(d[k - 1]), float(d[n - k])) if k else (NAN, NAN)
    told = d[d != 0]
    if n < FEWEST:
        return Comparison(median, lo, hi, NAN, "sign_exact", n, reason="too_few_patients")
    p = float(stats.binomtest(int((told > 0).sum()), told.size).pvalue) if told.size else 1.0
    return Comparison(median, lo, hi, p, "sign_exact", n)


def _permuted(values: NDArray[np.float64], statistic: Any, seed: int) -> float:
    """Share of permutations with a statistic as large as the one seen, itself among them."""
    rng = np.random.default_rng(seed)
    drawn = rng.permuted(np.tile(values, (PERMUTATIONS, 1)), axis=1)
    seen = statistic(values[None, :])[0]
    extreme = int((statistic(drawn) >= seen * (1 - 1e-12)).sum())
    return (1 + extreme) / (1 + PERMUTATIONS)


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p values for their number (Holm, Scand J Stat 1979;6:65); NaN stays NaN."""
    from statsmodels.stats.multitest import multipletests

    values = np.asarray(p, np.float64)
    out = np.full(values.shape, NAN)
    told = np.isfinite(values)
    if told.any():
        out[told] = multipletests(values[told], method="holm")[1]
    return [float(v) for v in out]
