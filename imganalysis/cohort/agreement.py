"""How well two ways of reading the same biopsies agree: numbers in, statistics out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.quantify.statistics import two_sided

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

NAN = float("nan")

MINIMUM = 3
"""Biopsies below which nothing is said of agreement."""

LIMIT_SD = 1.96
"""Standard deviations from the bias to a limit of agreement."""

BANDS = ((0.5, "poor"), (0.75, "moderate"), (0.9, "good"), (float("inf"), "excellent"))
"""Upper end and name of the bands of an intraclass correlation (Koo and Li, 2016)."""


@dataclass(frozen=True)
class Statistic:
    """A number with its interval; NaN where it cannot be had.

    Parameters
    ----------
    value, lo, hi
        The estimate and its interval.
    method
        How the interval was had.
    reason
        Fixed word (`imganalysis.words.AGREEMENT`) where the value or its interval is NaN.
    """

    value: float = NAN
    lo: float = NAN
    hi: float = NAN
    method: str = ""
    reason: str = ""


@dataclass(frozen=True)
class BlandAltman:
    """Differences of pairs, second minus first, in the unit of the values.

    Parameters
    ----------
    n
        Pairs.
    bias
        Mean difference.
    sd
        Standard deviation of the differences.
    lower, upper
        Limits of agreement.
    slope
        Of the difference on the mean of both: not 0 where the bias grows with the value.
    intercept
        Of the same line.
    """

    n: int
    bias: Statistic
    sd: float
    lower: Statistic
    upper: Statistic
    slope: Statistic
    intercept: float


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError("two lists of numbers of the same biopsies, of equal length")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("every value is finite; leave out biopsies without one first")
    return a, b


def _flat(values: NDArray[Any]) -> bool:
    """Whether values differ by no more than rounding."""
    return bool(np.ptp(values) <= 1e-9 * max(1.0, float(np.abs(values).max())))


def bland_altman(first: ArrayLike, second: ArrayLike, *, confidence: float = 0.95) -> BlandAltman:
    """Bias and limits of agreement of pairs of readings.

    Parameters
    ----------
    first, second
        (biopsies,) readings in percent points; the difference is second minus first.
    confidence
        Of the intervals.

    Returns
    -------
    BlandAltman
        Of fewer than three pairs all NaN with reason ``too_few_biopsies``.

    Raises
    ------
    ValueError
        Unequal lengths, or a value that is not finite.

    Notes
    -----
    Bland and Altman, Lancet 1986;i:307, Stat Methods Med Res 1999;8:135. Intervals of the limits
    are exact for normal differences, from the noncentral t distribution (Carkeet, Optom Vis
    Sci 2015;92:e71).
    """
    from scipy import stats

    a, b = _pair(first, second)
    n = len(a)
    if n < MINIMUM:
        none = Statistic(reason="too_few_biopsies")
        return BlandAltman(n, none, NAN, none, none, none, NAN)
    d, mean = b - a, (a + b) / 2
    bias, sd = float(d.mean()), float(d.std(ddof=1))
    tails = (0.5 - confidence / 2, 0.5 + confidence / 2)
    se = sd / np.sqrt(n)
    low, high = (float(v) for v in se * stats.t.ppf(tails, n - 1))
    # scipy's noncentral t is inaccurate for negative noncentrality: mirror the upper limit.
    near, far = (float(v) for v in se * stats.nct.ppf(tails, n - 1, LIMIT_SD * np.sqrt(n)))
    reach = LIMIT_SD * sd
    return BlandAltman(
        n,
        Statistic(bias, bias + low, bias + high, "t"),
        sd,
        Statistic(bias - reach, bias - far, bias - near, "noncentral_t"),
        Statistic(bias + reach, bias + near, bias + far, "noncentral_t"),
        *_line(mean, d, confidence),
    )


def _line(
    mean: NDArray[Any], difference: NDArray[Any], confidence: float
) -> tuple[Statistic, float]:
    """Slope and intercept of the difference on the mean."""
    from scipy import stats

    if _flat(mean):
        return Statistic(reason="no_spread"), NAN
    fit = stats.linregress(mean, difference)
    half = float(fit.stderr * two_sided(confidence, len(mean) - 2))
    slope = float(fit.slope)
    return Statistic(slope, slope - half, slope + half, "t"), float(fit.intercept)


def concordance(first: ArrayLike, second: ArrayLike, *, confidence: float = 0.95) -> Statistic:
    """Lin's concordance correlation coefficient.

    Parameters
    ----------
    first, second
        (biopsies,) readings.
    confidence
        Of the interval.

    Returns
    -------
    Statistic
        NaN for fewer than three pairs or where neither varies.

    Notes
    -----
    Lin, Biometrics 1989;45:255 (variances over n), the interval on Fisher's z with the variance
    as corrected in Biometrics 2000;56:324.
    """
    a, b = _pair(first, second)
    n = len(a)
    if n < MINIMUM:
        return Statistic(reason="too_few_biopsies")
    if _flat(np.concatenate([a, b])):
        return Statistic(reason="no_spread")
    va, vb, shift = float(a.var()), float(b.var()), float(a.mean() - b.mean())
    cov = float(((a - a.mean()) * (b - b.mean())).mean())
    value = 2 * cov / (va + vb + shift**2)
    if _flat(b - a) and _flat(np.array([shift, 0.0])):
        return Statistic(1.0, reason="no_difference")
    if _flat(a) or _flat(b):
        return Statistic(value, reason="no_spread")
    # value = r * accuracy; so written nothing is divided by r, which may be 0.
    r, accuracy = cov / np.sqrt(va * vb), 2 * np.sqrt(va * vb) / (va + vb + shift**2)
    u2 = shift**2 / np.sqrt(va * vb)
    variance = (
        (1 - r**2) * accuracy**2 * (1 - value**2)
        + 2 * accuracy * value**2 * (1 - value) * u2
        - (accuracy * value * u2) ** 2 / 2
    ) / (n - 2)
    se = np.sqrt(max(variance, 0.0)) / (1 - value**2)
    z = two_sided(confidence)
    lo, hi = np.tanh(np.arctanh(value) + np.array([-z, z]) * se)
    return Statistic(value, float(lo), float(hi), "fisher_z")


def icc_agreement(readings: ArrayLike, *, confidence: float = 0.95) -> Statistic:
    """Intraclass correlation ICC(2,1): two-way random, absolute agreement, one reading.

    Parameters
    ----------
    readings
        (biopsies, readers) numbers, none missing.
    confidence
        Of the interval.

    Returns
    -------
    Statistic
        NaN for fewer than three biopsies or where nothing varies.

    Raises
    ------
    ValueError
        Fewer than two readers, or a value that is not finite.

    Notes
    -----
    Shrout and Fleiss, Psychol Bull 1979;86:420; interval by McGraw and Wong, Psychol Methods
    1996;1:30, table 7. Readers are a sample too: with two of them that differ by a constant the
    interval is wide, and has to be.
    """
    from scipy import stats

    x = np.asarray(readings, dtype=float)
    if x.ndim != 2 or x.shape[1] < 2 or not np.isfinite(x).all():
        raise ValueError("one row per biopsy, one column per reader, two or more, none missing")
    n, k = x.shape
    if n < MINIMUM:
        return Statistic(reason="too_few_biopsies")
    if _flat(x.ravel()):
        return Statistic(reason="no_spread")
    if _flat((x - x[:, :1]).ravel()):
        return Statistic(1.0, reason="no_difference")
    rows, columns, grand = x.mean(axis=1), x.mean(axis=0), x.mean()
    msr = k * float(((rows - grand) ** 2).sum()) / (n - 1)
    msc = n * float(((columns - grand) ** 2).sum()) / (k - 1)
    rest = x - rows[:, np.newaxis] - columns + grand
    mse = float((rest**2).sum()) / ((n - 1) * (k - 1))
    if _flat(rows) and _flat(rest.ravel()):
        return Statistic(0.0, reason="no_spread")  # readers differ, biopsies do not
    value = (msr - mse) / (msr + (k - 1) * mse + k * (msc - mse) / n)
    odds = value / (1 - value)
    of_columns, of_error = k * odds / n * msc, (1 + k * odds * (n - 1) / n) * mse
    df = (of_columns + of_error) ** 2 / (
        of_columns**2 / (k - 1) + of_error**2 / ((n - 1) * (k - 1))
    )
    df = max(df, k - 1.0)  # Satterthwaite's df is no less for weights that are not negative
    at = 0.5 + confidence / 2
    below, above = float(stats.f.ppf(at, n - 1, df)), float(stats.f.ppf(at, df, n - 1))
    spread = k * msc + (k * n - k - n) * mse
    lo = n * (msr / below - mse) / (spread + n * msr / below)
    hi = n * (above * msr - mse) / (spread + n * above * msr)
    return Statistic(value, lo, min(hi, 1.0), "mcgraw_wong")


def correlation(first: ArrayLike, second: ArrayLike, *, confidence: float = 0.95) -> Statistic:
    """Pearson's correlation, which does not see a bias: for warning, never for judging.

    Parameters
    ----------
    first, second
        (biopsies,) readings.
    confidence
        Of the interval (Fisher's z).
    """
    a, b = _pair(first, second)
    if len(a) < MINIMUM:
        return Statistic(reason="too_few_biopsies")
    if _flat(a) or _flat(b):
        return Statistic(reason="no_spread")
    r = float(np.clip(np.corrcoef(a, b)[0, 1], -1.0, 1.0))
    if len(a) == MINIMUM or 1 - abs(r) < 1e-12:
        word = "too_few_biopsies" if len(a) == MINIMUM else "no_difference"
        return Statistic(r, reason=word)
    half = two_sided(confidence) / np.sqrt(len(a) - 3)
    lo, hi = np.tanh(np.arctanh(r) + np.array([-half, half]))
    return Statistic(r, float(lo), float(hi), "fisher_z")


def band(icc: Statistic) -> str:
    """Say in words how good an intraclass correlation is, by its interval and not its value."""
    if not np.isfinite(icc.lo + icc.hi):
        return ""
    low, high = (next(name for end, name in BANDS if v < end) for v in (icc.lo, icc.hi))
    return low if low == high else f"{low} to {high}"
